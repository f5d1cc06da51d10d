//! Which API servers may serve a component: a list of URLs, or the addresses behind a name, looked up at each question.
//! Refuses to ask "the API server" about its version where several are behind one address: they may differ.

use std::net::SocketAddr;
use std::time::Duration;

use component_runtime::RuntimeError;
use mutual_tls::{TlsError, TlsFiles, http_client, http_client_of_one};

/// A resolver that does not answer in this time is asked again later.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(3);

/// The API servers that may serve a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServingApiServers {
    /// These, at their URLs.
    Listed(Vec<String>),
    /// Those behind a name. Their certificates are checked for the name by which clients know all of them.
    Behind {
        /// The name with an address for each of them.
        replicas: ApiServerReplicas,
        /// The host of the URL behind which all of them are.
        server_name: String,
    },
}

/// A name and a port: one address for each API server that serves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServerReplicas {
    host: String,
    port: u16,
}

/// One API server, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiServer {
    At(String),
    Replica { server_name: String, address: SocketAddr },
}

impl ApiServerReplicas {
    /// Reads `HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if port > 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err("write it as HOST:PORT".to_owned()),
        }
    }

    /// Their addresses now; the error is for people.
    async fn look_up(&self) -> Result<Vec<SocketAddr>, String> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::time::timeout(LOOK_UP_LIMIT, tokio::net::lookup_host((host, self.port))).await;
        let mut addresses: Vec<SocketAddr> = match found {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                return Err(format!("{host} has no address: no API server is ready yet ({error})"));
            }
            Err(_late) => return Err(format!("no DNS answer about {host} within {LOOK_UP_LIMIT:?}")),
        };
        addresses.sort();
        addresses.dedup();
        if addresses.is_empty() {
            Err(format!("{host} has no address: no API server is ready yet"))
        } else {
            Ok(addresses)
        }
    }
}

impl ServingApiServers {
    /// Those behind `replicas`, known to clients by the host of `api_server`.
    pub(crate) fn behind(replicas: ApiServerReplicas, api_server: &str) -> Result<Self, RuntimeError> {
        let url = reqwest::Url::parse(api_server).ok();
        match url.as_ref().and_then(reqwest::Url::domain) {
            Some(name) => Ok(Self::Behind { replicas, server_name: name.to_owned() }),
            None => Err(RuntimeError::setting(
                format!(
                    "--api-server {api_server} has no name for which each replica's certificate can be checked"
                ),
                "give it as https://NAME:PORT, or list the API servers with --serving-api-server",
            )),
        }
    }

    /// All of them as they are now; the error says why there are none.
    pub(crate) async fn now(&self) -> Result<Vec<ApiServer>, String> {
        match self {
            Self::Listed(urls) => Ok(urls.iter().cloned().map(ApiServer::At).collect()),
            Self::Behind { replicas, server_name } => {
                let replica = |address| ApiServer::Replica { server_name: server_name.clone(), address };
                Ok(replicas.look_up().await?.into_iter().map(replica).collect())
            }
        }
    }
}

impl ApiServer {
    pub(crate) fn client(&self, files: &TlsFiles, limit: Duration) -> Result<reqwest::Client, TlsError> {
        match self {
            Self::At(_) => http_client(&files.authority, Some(files), limit),
            Self::Replica { server_name, address } => {
                http_client_of_one(&files.authority, Some(files), limit, server_name, *address)
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::At(url) => url.trim_end_matches('/').to_owned(),
            Self::Replica { server_name, address } => format!("https://{server_name}:{}", address.port()),
        }
    }

    /// Which one it is, for people.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::At(url) => url.clone(),
            Self::Replica { address, .. } => address.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(text: &str) -> ApiServerReplicas {
        ApiServerReplicas::parse(text).unwrap()
    }

    #[test]
    fn a_name_and_a_port_are_read_and_nothing_else_is() {
        assert_eq!(
            replicas("replicas.n.svc:6443"),
            ApiServerReplicas { host: "replicas.n.svc".into(), port: 6443 }
        );
        for wrong in ["replicas.n.svc", ":6443", "a:0", "a:b", "https://a:x"] {
            assert!(ApiServerReplicas::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn each_address_is_asked_by_the_name_of_all() {
        let serving =
            ServingApiServers::behind(replicas("127.0.0.7:6443"), "https://demo.n.svc:443").unwrap();
        let found = serving.now().await.unwrap();
        let expected = ApiServer::Replica {
            server_name: "demo.n.svc".into(),
            address: "127.0.0.7:6443".parse().unwrap(),
        };
        assert_eq!(found, [expected]);
        assert_eq!(found[0].url(), "https://demo.n.svc:6443");
        let error =
            ServingApiServers::behind(replicas("a:1"), "https://10.0.0.1:443").unwrap_err().to_string();
        assert!(error.contains("10.0.0.1") && error.contains("NAME"), "{error}");
    }

    #[tokio::test]
    async fn no_address_is_a_reason_to_wait() {
        // A label of 64 characters is refused before any name server is asked.
        let nobody = format!("{}.invalid", "n".repeat(64));
        let replicas = replicas(&format!("{nobody}:6443"));
        let serving = ServingApiServers::behind(replicas, "https://demo.n.svc:6443").unwrap();
        let why = serving.now().await.unwrap_err();
        assert!(why.contains(&nobody) && why.contains("no API server is ready yet"), "{why}");
    }
}
