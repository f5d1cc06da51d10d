//! The API servers as replicas of a front, asked for their readiness with the component's own certificate.
//! Refuses anonymous questions: an API server that does not know our certificate serves us nothing.

use std::net::SocketAddr;
use std::time::Duration;

use kubernetes_health::HealthAnswer;
use mutual_tls::{TlsError, TlsFiles};
use serving_api_servers::{ApiServer, ServingApiServers};
use tcp_front::{Answer, Backends, CutAfter};

use crate::api_server::readiness;

/// An API server that answers that it is not ready may be draining: its connections are its own to end. One that is
/// silent is given up well before a leader's lease: client-go gives up after 10 s without a renewal.
pub(crate) const CUT_AFTER: CutAfter =
    CutAfter { silent: Duration::from_secs(3), refusing: None, ending: None };
/// One question; the front itself is less patient.
const LIMIT: Duration = Duration::from_secs(3);

pub(crate) struct FrontedApiServers {
    pub(crate) servers: ServingApiServers,
    pub(crate) files: TlsFiles,
}

impl Backends for FrontedApiServers {
    type Backend = ApiServer;
    type Connection = Kept;

    async fn find(&self) -> Result<Vec<(SocketAddr, ApiServer)>, String> {
        let mut found = Vec::new();
        for server in self.servers.now().await? {
            found.push((server.address().await?, server));
        }
        Ok(found)
    }

    async fn ask(&self, _: SocketAddr, server: &ApiServer, kept: Option<Kept>) -> (Answer, Option<Kept>) {
        let kept = match self.kept(server, kept) {
            Ok(kept) => kept,
            Err(error) => return (Answer::Silent(telemetry::error_chain(&error)), None),
        };
        let answer = readiness(&kept.client, &server.url()).await;
        if let HealthAnswer::None(why) = answer {
            return (Answer::Silent(why), None);
        }
        (answer.healthy().map_or_else(Answer::Refuses, |()| Answer::Serves), Some(kept))
    }
}

/// A client, and with which certificate: an API server looks at its end at each request, not only when a connection begins.
pub(crate) struct Kept {
    client: reqwest::Client,
    certificate_pem: Vec<u8>,
}

impl FrontedApiServers {
    /// What was kept, unless the certificate was renewed since.
    fn kept(&self, server: &ApiServer, kept: Option<Kept>) -> Result<Kept, TlsError> {
        let certificate_pem = self.files.read()?.certificate_pem;
        match kept {
            Some(kept) if kept.certificate_pem == certificate_pem => Ok(kept),
            // Should it be renewed between the two lines, it is made anew once more by the next question.
            _ => Ok(Kept { client: server.client(&self.files, LIMIT)?, certificate_pem }),
        }
    }
}
