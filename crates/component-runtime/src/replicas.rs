//! The other replicas of the component, found anew at each look: a list, or the addresses behind a name.
//! Refuses to remember who they were: Pods come and go.

use std::net::IpAddr;
use std::time::Duration;

use health_endpoints::HealthClient;
use tokio::time::Instant;

/// A resolver that does not answer says nothing about replicas.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(2);
/// Behind a name that shows ready replicas only, being alone and being the last ready one look the same for a while.
const ALONE_AFTER: Duration = Duration::from_secs(5 * 60);

/// Where the other replicas are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replicas {
    /// At these URLs; there are no others.
    Listed(Vec<String>),
    /// At the addresses of a name, but for our own.
    Behind {
        /// `HOST:PORT`.
        service: String,
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
    SomeReady,
}

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

    /// How the others are now.
    pub(crate) async fn look(&mut self) -> Others {
        let endpoints = match &self.replicas {
            Replicas::Listed(endpoints) if endpoints.is_empty() => return Others::None,
            Replicas::Listed(endpoints) => endpoints.clone(),
            // A name without any ready replica does not resolve at all.
            Replicas::Behind { service, own } => look_up(service, *own).await.unwrap_or_default(),
        };
        if endpoints.is_empty() {
            let since = *self.alone_since.get_or_insert_with(Instant::now);
            return if since.elapsed() >= ALONE_AFTER { Others::None } else { Others::NoneReady };
        }
        self.alone_since = None;
        for endpoint in &endpoints {
            if self.health.is_ready(endpoint).await {
                return Others::SomeReady;
            }
        }
        Others::NoneReady
    }
}

/// The health endpoints behind a name; none when it could not be looked up.
async fn look_up(service: &str, own: Option<IpAddr>) -> Option<Vec<String>> {
    match tokio::time::timeout(LOOK_UP_LIMIT, tokio::net::lookup_host(service)).await {
        Ok(Ok(addresses)) => {
            let others = addresses.filter(|address| Some(address.ip().to_canonical()) != own);
            let mut endpoints: Vec<String> = others.map(|address| format!("http://{address}")).collect();
            endpoints.sort();
            endpoints.dedup();
            Some(endpoints)
        }
        Ok(Err(error)) => {
            tracing::debug!(service, %error, "the replicas cannot be looked up");
            None
        }
        Err(_late) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_address_is_left_out() {
        let own: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(look_up("127.0.0.1:8686", Some(own)).await, Some(vec![]));
        assert_eq!(
            look_up("127.0.0.1:8686", Some("127.0.0.2".parse().unwrap())).await,
            Some(vec!["http://127.0.0.1:8686".to_owned()])
        );
        assert_eq!(look_up("[::1]:8686", None).await, Some(vec!["http://[::1]:8686".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sees_nobody_else_for_long_is_alone() {
        let replicas =
            Replicas::Behind { service: "127.0.0.1:1".to_owned(), own: Some("127.0.0.1".parse().unwrap()) };
        mutual_tls::install_provider();
        let mut lookout = Lookout::new(replicas, HealthClient::new(Duration::from_secs(1)).unwrap());
        assert_eq!(lookout.look().await, Others::NoneReady);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(lookout.look().await, Others::NoneReady);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(lookout.look().await, Others::None);
    }
}
