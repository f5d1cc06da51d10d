//! How much load, for how long, on what. All of it is bounded.

use std::path::PathBuf;
use std::time::Duration;

/// Which share of the requests is what. Writes are creations and updates; what is left of deletes when there is nothing
/// to delete is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// GETs of one object.
    pub reads: u32,
    /// GETs of all.
    pub lists: u32,
    /// POSTs and PUTs.
    pub writes: u32,
    /// DELETEs.
    pub deletes: u32,
}

impl Mix {
    pub(crate) fn total(self) -> u32 {
        (self.reads + self.lists + self.writes + self.deletes).max(1)
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self { reads: 60, lists: 5, writes: 30, deletes: 5 }
    }
}

/// What a run does.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names the server and who we are. A certificate or a token; no plugins.
    pub kubeconfig: PathBuf,
    /// HOST:PORT, taken in turn by new connections; none: the kubeconfig's server.
    pub servers: Vec<String>,
    /// The namespace, which is made and deleted.
    pub namespace: String,
    /// Clients that keep their connection.
    pub clients: usize,
    /// Clients that make a new connection for every request.
    pub fresh_clients: usize,
    /// Requests per second of all clients together.
    pub rate: f64,
    /// What they are.
    pub mix: Mix,
    /// Watches, each over a connection of its own.
    pub watches: usize,
    /// The load ends by itself after this.
    pub duration: Duration,
    /// A request without an answer for this long has failed.
    pub request_limit: Duration,
    /// How long the checks before and after the load may be tried: while the server is away they cannot succeed.
    pub patience: Duration,
    /// The leases of kube-system whose history is written down.
    pub leases: Vec<String>,
}

impl Settings {
    /// The load of the published tables: 20 clients, 200 requests/s, 50 watches.
    #[must_use]
    pub fn new(kubeconfig: impl Into<PathBuf>) -> Self {
        Self {
            kubeconfig: kubeconfig.into(),
            servers: Vec::new(),
            namespace: format!("disruption-{:08x}", rand::random::<u32>()),
            clients: 18,
            fresh_clients: 2,
            rate: 200.0,
            mix: Mix::default(),
            watches: 50,
            duration: Duration::from_secs(60),
            request_limit: Duration::from_secs(10),
            patience: Duration::from_secs(60),
            leases: ["kube-controller-manager", "kube-scheduler"].map(str::to_owned).to_vec(),
        }
    }

    /// A load that tests can put beside everything else on two cores: 8 clients, 40 requests/s, 6 watches, until stopped
    /// but at most for ten minutes.
    #[must_use]
    pub fn light(kubeconfig: impl Into<PathBuf>) -> Self {
        Self {
            clients: 6,
            fresh_clients: 2,
            rate: 40.0,
            watches: 6,
            duration: Duration::from_secs(600),
            ..Self::new(kubeconfig)
        }
    }
}
