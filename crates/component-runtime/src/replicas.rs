//! The other replicas of the component, found anew at each look: a list, or the addresses behind a name.
//! Refuses to remember who they were: Pods come and go.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use health_endpoints::{HealthClient, StatusDocument};
use tokio::time::Instant;

use crate::ReplicaName;

/// Behind a name that shows ready replicas only, being alone and being the last ready one look the same for a while.
const ALONE_AFTER: Duration = Duration::from_secs(5 * 60);

/// Where the other replicas are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replicas {
    /// At these URLs; there are no others.
    Listed(Vec<String>),
    /// At the addresses of a name, but for our own.
    Behind {
        /// The name with an address for each of them.
        service: ReplicaName,
        /// Our own address.
        own: Option<IpAddr>,
    },
}

/// What is known of the other replicas of the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// There are none.
    None,
    /// None of them is ready.
    NoneReady,
    /// At least one is ready.
    SomeReady {
        /// One that is ready has not taken up yet what it was asked for.
        behind: bool,
    },
}

/// What a replica is to trust: fingerprints of each bundle, by the CA's name.
pub(crate) type Trusted = BTreeMap<&'static str, Vec<String>>;

/// Looks at the others, again and again.
pub(crate) struct Lookout {
    replicas: Replicas,
    health: HealthClient,
    alone_since: Option<Instant>,
}

impl Lookout {
    pub(crate) fn new(replicas: Replicas, health: HealthClient) -> Self {
        Self { replicas, health, alone_since: None }
    }

    /// How the others are now, and whether those that are ready trust what they are to trust.
    pub(crate) async fn look(&mut self, expected: &Trusted) -> Others {
        let endpoints = match &self.replicas {
            Replicas::Listed(endpoints) if endpoints.is_empty() => return Others::None,
            Replicas::Listed(endpoints) => endpoints.clone(),
            // A name without any ready replica does not resolve at all.
            Replicas::Behind { service, own } => look_up(service, *own).await,
        };
        if endpoints.is_empty() {
            let since = *self.alone_since.get_or_insert_with(Instant::now);
            return if since.elapsed() >= ALONE_AFTER { Others::None } else { Others::NoneReady };
        }
        self.alone_since = None;
        let mut others = Others::NoneReady;
        for endpoint in &endpoints {
            if !self.health.is_ready(endpoint).await {
                continue;
            }
            let behind = !expected.is_empty() && self.is_behind(endpoint, expected).await;
            others = Others::SomeReady { behind };
            if behind || expected.is_empty() {
                break;
            }
        }
        others
    }

    /// Who cannot be asked is not waited for.
    async fn is_behind(&self, endpoint: &str, expected: &Trusted) -> bool {
        self.health.status(endpoint).await.is_ok_and(|document| differs(&document, expected))
    }
}

fn differs(document: &StatusDocument, expected: &Trusted) -> bool {
    let in_use = |authority: &str| document.authorities.get(authority).map(|in_use| &in_use.trusted);
    expected.iter().any(|(authority, trusted)| in_use(authority) != Some(trusted))
}

/// The health endpoints behind a name, but for our own; none when it could not be looked up.
async fn look_up(service: &ReplicaName, own: Option<IpAddr>) -> Vec<String> {
    match service.look_up().await {
        Ok(addresses) => {
            let others = addresses.iter().filter(|address| Some(address.ip().to_canonical()) != own);
            others.map(|address| format!("http://{address}")).collect()
        }
        Err(why) => {
            tracing::debug!(%service, why, "the replicas cannot be looked up");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use health_endpoints::{AuthorityInUse, StatusBoard};
    use naming_contract::Component;

    use super::*;

    #[tokio::test]
    async fn our_own_address_is_left_out() {
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        let service: ReplicaName = "127.0.0.1:8686".parse().unwrap();
        assert_eq!(look_up(&service, Some(own)).await, Vec::<String>::new());
        assert_eq!(look_up(&service, Some("127.0.0.2".parse().unwrap())).await, ["http://127.0.0.1:8686"]);
        assert_eq!(look_up(&"[::1]:8686".parse().unwrap(), None).await, ["http://[::1]:8686"]);
    }

    #[test]
    fn behind_is_who_has_another_bundle_in_use_or_tells_of_none() {
        let board = StatusBoard::new("etcd-1", Component::Etcd, "1");
        let expected = Trusted::from([("etcd", vec!["old".to_owned(), "new".to_owned()])]);
        assert!(differs(&board.document(), &expected));
        let trusts = |trusted: &[&str]| AuthorityInUse {
            trusted: trusted.iter().map(ToString::to_string).collect(),
            signed_by: Vec::new(),
        };
        board.authority("etcd", trusts(&["old"]));
        assert!(differs(&board.document(), &expected));
        board.authority("etcd", trusts(&["old", "new"]));
        assert!(!differs(&board.document(), &expected));
        assert!(!differs(&board.document(), &Trusted::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sees_nobody_else_for_long_is_alone() {
        let replicas = Replicas::Behind {
            service: "127.0.0.1:1".parse().unwrap(),
            own: Some("127.0.0.1".parse().unwrap()),
        };
        mutual_tls::install_provider();
        let mut lookout = Lookout::new(replicas, HealthClient::new(Duration::from_secs(1)).unwrap());
        assert_eq!(lookout.look(&Trusted::new()).await, Others::NoneReady);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(lookout.look(&Trusted::new()).await, Others::NoneReady);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(lookout.look(&Trusted::new()).await, Others::None);
    }
}
