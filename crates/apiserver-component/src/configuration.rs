//! What one API server is told by its operator, the certificates it needs, and how long its drain may take.
//! Refuses defaults: those are the command line's.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use certificates::{Authority, KeysNeeded, Profile, SharedKeySet};
use component_runtime::{Needs, ReplicaName};
use health_endpoints::ReloadBehaviour::{NeedsRestart, Reloads, ReloadsLate};
use serving_api_servers::ServingApiServers;
use supervision::{Configuration, GoodEndings};
use version_record::VersionRecord;

use crate::EtcdMembers;

/// What one API server is told.
#[derive(Debug, Clone)]
pub struct ApiserverConfiguration {
    /// Where etcd is.
    pub etcd: EtcdMembers,
    /// Where it listens; its serving certificate must hold this address unless it is unspecified.
    pub bind_address: IpAddr,
    /// Where it listens.
    pub secure_port: u16,
    /// Where the other API servers reach it.
    pub advertise_address: IpAddr,
    /// Ranges of Service addresses.
    pub service_subnets: Vec<String>,
    /// Issuers of `ServiceAccount` tokens; the first one signs.
    pub service_account_issuers: Vec<String>,
    /// From SIGTERM until new requests are refused.
    pub shutdown_delay: Duration,
    /// How long open watches get to end.
    pub watch_grace: Duration,
    /// Least time from a crash to the next start. One that starts again refuses requests with 403 until its caches of roles are
    /// filled; by then its Service should have left it out.
    pub pause_after_crash: Duration,
    /// Whether requests get 429 with Retry-After while draining.
    pub send_retry_after: bool,
    /// Share of requests after which a client connects anew; none with a single replica.
    pub goaway_chance: Option<f64>,
    /// The highest version that all API servers ever ran; none: it is neither asked nor written.
    pub version_record: Option<VersionRecord>,
    /// The API servers that may serve, this one among them.
    pub serving_api_servers: ServingApiServers,
    /// Where the supervisors of all API servers are, also of those that are not ready; none: only those that serve are known.
    pub api_server_supervisors: Option<ReplicaName>,
    /// A JSON list of entries for the `jwt` list of the `AuthenticationConfiguration`.
    pub jwt_authenticators: Option<PathBuf>,
}

/// The certificates and keys of an API server. etcd's bundle and the service-account key are only read at start, the
/// cluster's bundle by some of its parts: before 1.36 kubelets are checked, and always peers, with the one of the start.
/// All CAs are replaced in step, so one restart takes up all bundles, and tells for certain.
pub const NEEDS: Needs = Needs {
    leaves: &[
        (Profile::ApiserverServing, Reloads),
        (Profile::ApiserverEtcdClient, Reloads),
        (Profile::ApiserverKubeletClient, ReloadsLate),
        (Profile::ApiserverFrontProxyClient, Reloads),
    ],
    shared_keys: &[
        KeysNeeded::all_of(SharedKeySet::ServiceAccount, NeedsRestart),
        // Within a minute; the component sees when.
        KeysNeeded::all_of(SharedKeySet::Encryption, ReloadsLate),
    ],
    bundles: &[
        (Authority::Cluster, NeedsRestart),
        (Authority::Etcd, NeedsRestart),
        (Authority::FrontProxy, NeedsRestart),
    ],
};

/// kube-apiserver's --request-timeout, for which a drain waits for requests.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// What kube-apiserver needs after its drain: audit flush, HTTP shutdown, exit.
const DRAIN_RESERVE: Duration = Duration::from_secs(5);

impl ApiserverConfiguration {
    /// How it is supervised. kube-apiserver exits with 0 after SIGTERM, but handles it only when all its packages are
    /// initialized (cmd/kube-apiserver/app/server.go `NewAPIServerCommand`): stopped before that, it dies of it.
    #[must_use]
    pub fn policy(&self) -> Configuration {
        let mut policy = Configuration::new(GoodEndings::EXIT_ZERO_OR_SIGTERM);
        policy.timings.drain_budget = self.drain_budget();
        let first = policy.timings.back_off_first.max(self.pause_after_crash);
        policy.timings.back_off_first = first;
        policy.timings.back_off_longest = policy.timings.back_off_longest.max(first);
        policy
    }

    /// From SIGTERM to SIGKILL. A Pod's grace period is 5 s longer.
    #[must_use]
    pub fn drain_budget(&self) -> Duration {
        self.shutdown_delay + REQUEST_TIMEOUT.max(self.watch_grace) + DRAIN_RESERVE
    }

    /// Where it listens.
    #[must_use]
    pub fn listens_at(&self) -> SocketAddr {
        SocketAddr::new(self.bind_address, self.secure_port)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use supervision::ChildEnding;

    use super::*;

    #[test]
    fn an_api_server_that_is_stopped_in_its_first_moments_ends_well() {
        let configuration = ApiserverConfiguration {
            etcd: EtcdMembers { endpoints: Vec::new(), replicas: None },
            bind_address: Ipv4Addr::LOCALHOST.into(),
            secure_port: 6443,
            advertise_address: Ipv4Addr::LOCALHOST.into(),
            service_subnets: Vec::new(),
            service_account_issuers: Vec::new(),
            shutdown_delay: Duration::ZERO,
            watch_grace: Duration::ZERO,
            pause_after_crash: Duration::ZERO,
            send_retry_after: false,
            goaway_chance: None,
            version_record: None,
            serving_api_servers: ServingApiServers::Listed(Vec::new()),
            api_server_supervisors: None,
            jwt_authenticators: None,
        };
        let good = configuration.policy().good_endings;
        assert!(good.contain(ChildEnding::Exited(0)));
        assert!(good.contain(ChildEnding::Signalled(15)));
        assert!(!good.contain(ChildEnding::Exited(1)));
        assert!(!good.contain(ChildEnding::Signalled(9)));
    }
}
