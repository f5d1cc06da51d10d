//! Where the address comes from that the endpoints of the Service `kubernetes` hold: given once, whatever a name resolves to
//! now, or that of a Service of the management cluster, whatever it is now. What was seen last holds while nobody can be asked.
//! Refuses to guess.

use std::cell::RefCell;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use management_api::{Followed, ManagementApi, follow};

use crate::ApiServerAddress;

/// A resolver that does not answer in this time is asked again in the next round.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(3);

/// Where the address comes from.
pub enum EndpointSource {
    /// These; without any the endpoints are left alone.
    Given(Vec<ApiServerAddress>),
    /// At whatever these names resolve to.
    Named(Vec<String>),
    /// A Service.
    Service(Box<EndpointService>),
}

/// A Service of the management cluster, followed by [`EndpointService::follow`].
pub struct EndpointService {
    api: ManagementApi,
    name: String,
    seen: RefCell<Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    reached: Option<Reached>,
    told: String,
}

/// How a Service is reached from outside of its cluster, as far as that is known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reached {
    /// At these addresses.
    At(Vec<ApiServerAddress>),
    /// At whatever these names resolve to: some load balancers have no address of their own.
    By(Vec<String>),
}

impl EndpointSource {
    /// The addresses now; an error says what they are waited for and what was seen instead.
    pub(crate) async fn addresses(&self) -> Result<Vec<ApiServerAddress>, String> {
        match self {
            Self::Given(addresses) => Ok(addresses.clone()),
            Self::Named(names) => {
                resolved(names).await.map_err(|why| format!("no address of the API servers: {why}"))
            }
            Self::Service(service) => service.addresses().await,
        }
    }

    /// Keeps the source up to date. Never returns.
    pub(crate) async fn keep_up(&self) {
        match self {
            Self::Given(_) | Self::Named(_) => std::future::pending().await,
            Self::Service(service) => service.follow().await,
        }
    }
}

impl EndpointService {
    /// The Service called `name`; nobody is asked yet.
    #[must_use]
    pub fn new(api: ManagementApi, name: &str) -> Self {
        let seen = Seen { reached: None, told: "not asked yet".to_owned() };
        Self { api, name: name.to_owned(), seen: RefCell::new(seen) }
    }

    async fn follow(&self) {
        follow::<Service>(&self.api, &self.name, |followed| {
            let before = self.seen.borrow().clone();
            let now = after(before.clone(), followed);
            if now != before {
                tracing::info!(service = self.name, seen = now.told, "where the API servers are reached");
            }
            *self.seen.borrow_mut() = now;
        })
        .await;
    }

    async fn addresses(&self) -> Result<Vec<ApiServerAddress>, String> {
        let Seen { reached, told } = self.seen.borrow().clone();
        let lacking =
            |why: &str| format!("no address of Service {}/{}: {why}", self.api.namespace(), self.name);
        match reached {
            Some(Reached::At(addresses)) => Ok(addresses),
            Some(Reached::By(names)) => resolved(&names).await.map_err(|why| lacking(&why)),
            None => Err(lacking(&told)),
        }
    }
}

/// What is known after a sighting.
fn after(before: Seen, followed: Followed<Service>) -> Seen {
    match followed {
        Followed::Seen(service) => match reached(&service) {
            Ok(reached) => {
                let told = match &reached {
                    Reached::At(addresses) => joined(addresses.iter().map(ToString::to_string)),
                    Reached::By(names) => joined(names.iter().cloned()),
                };
                Seen { reached: Some(reached), told }
            }
            Err(told) => Seen { told, ..before },
        },
        Followed::Absent => Seen { told: "it does not exist".to_owned(), ..before },
        Followed::Trouble(error) => Seen { told: error.told(), ..before },
    }
}

/// The load balancer's addresses once it has any, else its names, else the addresses inside of the management cluster.
fn reached(service: &Service) -> Result<Reached, String> {
    let spec = service.spec.as_ref();
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
        .filter(|_| spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer")))
        .unwrap_or_default();
    let mut refused = Vec::new();
    let mut usable = |texts: Vec<&str>| {
        let mut addresses: Vec<ApiServerAddress> = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(error) => refused.push(format!("{error}")),
            }
        }
        addresses
    };
    let balanced = usable(ingress.iter().filter_map(|entry| entry.ip.as_deref()).collect());
    if !balanced.is_empty() {
        return Ok(Reached::At(balanced));
    }
    let names: Vec<String> = ingress.iter().filter_map(|entry| entry.hostname.clone()).collect();
    if !names.is_empty() {
        return Ok(Reached::By(names));
    }
    let inside: Vec<&str> = spec
        .map(|spec| match spec.cluster_ips.as_deref() {
            Some([]) | None => spec.cluster_ip.as_deref().into_iter().collect(),
            Some(several) => several.iter().map(String::as_str).collect(),
        })
        .unwrap_or_default();
    let inside = usable(inside.into_iter().filter(|address| !["", "None"].contains(address)).collect());
    if inside.is_empty() {
        refused.insert(0, "it has none that Pods could reach".to_owned());
        return Err(refused.join("; "));
    }
    Ok(Reached::At(inside))
}

/// Endpoints hold addresses only, so names are resolved in each round. The alternative, the address inside of the
/// management cluster, is one that workers elsewhere certainly do not reach.
async fn resolved(names: &[String]) -> Result<Vec<ApiServerAddress>, String> {
    let mut addresses: Vec<ApiServerAddress> = Vec::new();
    for name in names {
        let found = tokio::time::timeout(LOOK_UP_LIMIT, tokio::net::lookup_host((name.as_str(), 0))).await;
        match found {
            Ok(Ok(found)) => {
                addresses.extend(
                    found.filter_map(|address| address.ip().to_string().parse::<ApiServerAddress>().ok()),
                );
            }
            Ok(Err(error)) => return Err(format!("{name} does not resolve: {error}")),
            Err(_late) => return Err(format!("no DNS answer about {name} within {LOOK_UP_LIMIT:?}")),
        }
    }
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        Err(format!("{} has no usable address", names.join(", ")))
    } else {
        Ok(addresses)
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reached_by(spec: &Value, ingress: &Value) -> Result<Reached, String> {
        let service = json!({ "spec": spec, "status": { "loadBalancer": { "ingress": ingress } } });
        reached(&serde_json::from_value(service).unwrap())
    }

    fn at(addresses: &[&str]) -> Reached {
        Reached::At(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }

    #[test]
    fn the_load_balancers_address_comes_before_the_clusters_own() {
        let inside = json!({ "type": "LoadBalancer", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"] });
        assert_eq!(reached_by(&inside, &json!([])), Ok(at(&["10.96.0.9", "fd00::9"])));
        assert_eq!(reached_by(&inside, &json!([{ "ip": "192.0.2.7" }])), Ok(at(&["192.0.2.7"])));
        assert_eq!(
            reached_by(&inside, &json!([{ "hostname": "lb.example" }])),
            Ok(Reached::By(vec!["lb.example".into()]))
        );
        assert_eq!(
            reached_by(&inside, &json!([{ "hostname": "lb.example", "ip": "192.0.2.7" }])),
            Ok(at(&["192.0.2.7"]))
        );
        // Kubernetes would refuse it in endpoints.
        assert_eq!(reached_by(&inside, &json!([{ "ip": "127.0.0.1" }])), Ok(at(&["10.96.0.9", "fd00::9"])));
    }

    #[test]
    fn what_was_a_load_balancer_once_is_not_believed() {
        let spec = json!({ "type": "ClusterIP", "clusterIP": "10.96.0.9" });
        assert_eq!(reached_by(&spec, &json!([{ "ip": "192.0.2.7" }])), Ok(at(&["10.96.0.9"])));
    }

    #[test]
    fn without_an_address_the_reason_is_told() {
        let why =
            reached_by(&json!({ "clusterIP": "None", "clusterIPs": ["None"] }), &json!([])).unwrap_err();
        assert!(why.contains("none that Pods could reach"), "{why}");
    }

    #[tokio::test]
    async fn names_are_resolved_in_each_round_and_only_what_pods_can_reach_counts() {
        let of = async |names: &[&str]| {
            EndpointSource::Named(names.iter().map(|name| (*name).to_owned()).collect()).addresses().await
        };
        // Written as numbers, no server is asked; several names may be one place.
        let known = ["192.0.2.7", "192.0.2.7", "2001:db8::7"];
        let expected: Vec<ApiServerAddress> =
            ["192.0.2.7", "2001:db8::7"].map(|address| address.parse().unwrap()).into();
        assert_eq!(of(&known).await, Ok(expected));
        let why = of(&["127.0.0.1"]).await.unwrap_err();
        assert!(why.contains("127.0.0.1 has no usable address"), "{why}");
    }

    #[test]
    fn what_was_seen_last_stays() {
        let nothing = Seen { reached: None, told: String::new() };
        let service = json!({ "spec": { "clusterIP": "10.96.0.9" } });
        let seen = after(nothing, Followed::Seen(Box::new(serde_json::from_value(service).unwrap())));
        assert_eq!(seen.told, "10.96.0.9");
        let gone = after(seen.clone(), Followed::Absent);
        assert_eq!((gone.reached, gone.told.as_str()), (seen.reached, "it does not exist"));
    }
}
