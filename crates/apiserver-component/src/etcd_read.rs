//! A linearizable read from etcd over mutual TLS: the only proof that an API server could work.
//! Refuses weaker signs: a port that accepts or a member that answers may have no quorum.

use std::rc::Rc;

use conditions::{Condition, Sighting};
use mutual_tls::{TlsFiles, etcd_client};
use tcp_front::Front;
use tokio::task::JoinSet;

/// Any key does: a linearizable read asks the quorum before it looks. It lies outside of what API servers store.
const KEY: &str = "pilothouse/linearizable-read";

/// The id of the etcd cluster that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EtcdCluster(pub(crate) u64);

/// etcd, as the API server will reach it.
#[derive(Debug, Clone)]
pub(crate) struct EtcdQuorum {
    pub(crate) endpoints: Vec<String>,
    /// What is on the way, if anything is.
    pub(crate) front: Option<Rc<Front>>,
    /// What people call it.
    pub(crate) known_as: String,
    pub(crate) files: TlsFiles,
}

impl EtcdQuorum {
    /// Asks every endpoint; the first answer is enough. Clients are made anew: certificates may have been renewed.
    pub(crate) async fn read(&self) -> Result<EtcdCluster, String> {
        let mut reads = JoinSet::new();
        for endpoint in &self.endpoints {
            let (endpoint, files) = (endpoint.clone(), self.files.clone());
            reads.spawn(async move {
                read_from(&endpoint, &files).await.map_err(|why| format!("{endpoint}: {why}"))
            });
        }
        let mut failures = Vec::new();
        while let Some(finished) = reads.join_next().await {
            match finished {
                Ok(Ok(cluster)) => return Ok(cluster),
                Ok(Err(failure)) => failures.push(failure),
                Err(error) => failures.push(error.to_string()),
            }
        }
        failures.sort();
        Err(failures.join("; "))
    }
}

async fn read_from(endpoint: &str, files: &TlsFiles) -> Result<EtcdCluster, String> {
    let client = etcd_client(&[endpoint.to_owned()], files).await;
    let mut client = client.map_err(|error| telemetry::error_chain(&error))?;
    linearizable_read(&mut client).await.map(|agreed| agreed.cluster)
}

/// What a member said with a linearizable read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreed {
    pub(crate) cluster: EtcdCluster,
    /// raft's: nobody but one leads in a term, for as long as it lasts.
    pub(crate) term: u64,
}

/// The read itself; the error is for people.
pub(crate) async fn linearizable_read(client: &mut etcd_client::Client) -> Result<Agreed, String> {
    match client.get(KEY, None).await {
        Ok(answer) => {
            let header = answer.header().ok_or("etcd answers without saying which cluster it is")?;
            Ok(Agreed { cluster: EtcdCluster(header.cluster_id()), term: header.raft_term() })
        }
        Err(error) => Err(told(&error)),
    }
}

/// The code and the deepest cause: gRPC's own text drags all of its metadata along.
pub(crate) fn told(error: &etcd_client::Error) -> String {
    let etcd_client::Error::GRpcStatus(status) = error else { return telemetry::error_chain(error) };
    let mut cause = std::error::Error::source(status);
    let mut deepest = status.message().to_owned();
    while let Some(deeper) = cause {
        deepest = deeper.to_string();
        cause = deeper.source();
    }
    format!("{}: {deepest}", status.code())
}

impl Condition for EtcdQuorum {
    type Output = EtcdCluster;

    fn awaits(&self) -> String {
        format!("a linearizable read from etcd at {}", self.known_as)
    }

    async fn look(&mut self) -> Sighting<EtcdCluster> {
        if let Some(why) = self.front.as_deref().and_then(Front::nobody) {
            return Sighting::NotYet(why);
        }
        match self.read().await {
            Ok(cluster) => Sighting::Holds(cluster),
            Err(why) => Sighting::NotYet(why),
        }
    }
}
