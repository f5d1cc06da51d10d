//! The API servers as replicas of a front, asked for their readiness with the component's own certificate.
//! Refuses anonymous questions: an API server that does not know our certificate serves us nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use kubernetes_health::HealthAnswer;
use mutual_tls::TlsFiles;
use tcp_front::{Answer, Backends, CutAfter};

use crate::api_server::readiness;
use crate::serving::{ApiServer, ServingApiServers};

/// An API server that answers that it is not ready may be draining: its connections are its own to end. One that is
/// silent is given up well before a leader's lease: client-go gives up after 10 s without a renewal.
pub(crate) const CUT_AFTER: CutAfter = CutAfter { silent: Duration::from_secs(3), refusing: None };
/// One question; the front itself is less patient.
const LIMIT: Duration = Duration::from_secs(3);

pub(crate) struct FrontedApiServers {
    servers: ServingApiServers,
    files: TlsFiles,
    /// Connections that are kept between questions; made anew after a failure, since certificates may have been renewed.
    clients: RefCell<HashMap<SocketAddr, reqwest::Client>>,
}

impl FrontedApiServers {
    pub(crate) fn new(servers: ServingApiServers, files: TlsFiles) -> Self {
        Self { servers, files, clients: RefCell::default() }
    }

    fn client(&self, address: SocketAddr, server: &ApiServer) -> Result<reqwest::Client, String> {
        if let Some(client) = self.clients.borrow().get(&address) {
            return Ok(client.clone());
        }
        let client = server.client(&self.files, LIMIT).map_err(|error| telemetry::error_chain(&error))?;
        self.clients.borrow_mut().insert(address, client.clone());
        Ok(client)
    }
}

impl Backends for FrontedApiServers {
    type Backend = ApiServer;

    async fn find(&self) -> Result<Vec<(SocketAddr, ApiServer)>, String> {
        let mut found = Vec::new();
        for server in self.servers.now().await? {
            found.push((server.address().await?, server));
        }
        self.clients.borrow_mut().retain(|address, _| found.iter().any(|(known, _)| known == address));
        Ok(found)
    }

    async fn ask(&self, address: SocketAddr, server: ApiServer) -> Answer {
        let client = match self.client(address, &server) {
            Ok(client) => client,
            Err(why) => return Answer::Silent(why),
        };
        // Taken out until it has answered: a question that is given up half-way leaves nothing to go by.
        self.clients.borrow_mut().remove(&address);
        let answer = readiness(&client, &server.url()).await;
        if let HealthAnswer::None(why) = answer {
            return Answer::Silent(why);
        }
        self.clients.borrow_mut().insert(address, client);
        match answer.healthy() {
            Ok(()) => Answer::Serves,
            Err(why) => Answer::Refuses(why),
        }
    }
}
