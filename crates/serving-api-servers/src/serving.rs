//! Which API servers may serve a component: a list of URLs, or the addresses behind a name, looked up at each question.
//! Refuses to ask "the API server" about its version where several are behind one address: they may differ.

use std::net::SocketAddr;
use std::time::Duration;

use component_runtime::{ReplicaName, RuntimeError};
use mutual_tls::{TlsError, TlsFiles, http_client, http_client_of_one};

/// The API servers that may serve a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServingApiServers {
    /// These, at their URLs.
    Listed(Vec<String>),
    /// Those behind a name. Their certificates are checked for the name by which clients know all of them.
    Behind {
        /// The name with an address for each of them.
        replicas: ReplicaName,
        /// The host of the URL behind which all of them are.
        server_name: String,
    },
}

/// One API server, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiServer {
    /// At a URL.
    At(String),
    /// One of several behind a name.
    Replica {
        /// The name that its certificate is checked for.
        server_name: String,
        /// Its own address.
        address: SocketAddr,
    },
}

impl ServingApiServers {
    /// Those behind `replicas`, known to clients by the host of `api_server`.
    pub fn behind(replicas: ReplicaName, api_server: &str) -> Result<Self, RuntimeError> {
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

    /// Whether there may be several, so that one that is lost can be left for another.
    #[must_use]
    pub fn may_be_several(&self) -> bool {
        !matches!(self, Self::Listed(urls) if urls.len() == 1)
    }

    /// All of them as they are now; the error says why there are none.
    pub async fn now(&self) -> Result<Vec<ApiServer>, String> {
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
    /// All of those behind `api_server`, on the way through a front at `address`.
    #[must_use]
    pub fn through(address: SocketAddr, api_server: &str) -> Self {
        let url = reqwest::Url::parse(api_server).ok();
        match url.as_ref().and_then(reqwest::Url::domain) {
            Some(name) => Self::Replica { server_name: name.to_owned(), address },
            // Every API server's certificate holds the loopback addresses.
            None => Self::At(format!("https://{address}")),
        }
    }

    /// Where it is dialled; the error is for people.
    pub async fn address(&self) -> Result<SocketAddr, String> {
        let url = match self {
            Self::Replica { address, .. } => return Ok(*address),
            Self::At(url) => reqwest::Url::parse(url).map_err(|error| format!("{url}: {error}"))?,
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(format!("{url} names no host"));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((host, port)).await;
        let mut found = found.map_err(|error| format!("{host} has no address: {error}"))?;
        found.next().ok_or_else(|| format!("{host} has no address"))
    }

    /// The URL that is dialled. Unlike [`Self::url`] it names the address.
    #[must_use]
    pub fn dialled(&self) -> String {
        match self {
            Self::At(_) => self.url(),
            Self::Replica { address, .. } => format!("https://{address}"),
        }
    }

    /// The name that its certificate is checked for, if that is not the host that is dialled.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::At(_) => None,
            Self::Replica { server_name, .. } => Some(server_name),
        }
    }

    /// A client of it alone, with this certificate; no answer takes longer than `limit`.
    pub fn client(&self, files: &TlsFiles, limit: Duration) -> Result<reqwest::Client, TlsError> {
        match self {
            Self::At(_) => http_client(&files.authority, Some(files), limit),
            Self::Replica { server_name, address } => {
                http_client_of_one(&files.authority, Some(files), limit, server_name, *address)
            }
        }
    }

    /// Its URL, by the name that its certificate is checked for.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::At(url) => url.trim_end_matches('/').to_owned(),
            Self::Replica { server_name, address } => format!("https://{server_name}:{}", address.port()),
        }
    }

    /// Which one it is, for people.
    #[must_use]
    pub fn described(&self) -> String {
        match self {
            Self::At(url) => url.clone(),
            Self::Replica { address, .. } => address.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(text: &str) -> ReplicaName {
        text.parse().unwrap()
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
    async fn through_a_front_the_name_stays_where_there_is_one() {
        let front: SocketAddr = "127.0.0.1:4711".parse().unwrap();
        let named = ApiServer::through(front, "https://demo.n.svc:6443");
        assert_eq!(
            (named.dialled().as_str(), named.server_name()),
            ("https://127.0.0.1:4711", Some("demo.n.svc"))
        );
        let unnamed = ApiServer::through(front, "https://127.0.0.1:6443");
        assert_eq!((unnamed.dialled().as_str(), unnamed.server_name()), ("https://127.0.0.1:4711", None));
        for server in [named, unnamed] {
            assert_eq!(server.address().await.unwrap(), front);
        }
    }

    #[tokio::test]
    async fn no_address_is_a_reason_to_wait() {
        // A label of 64 characters is refused before any name server is asked.
        let nobody = format!("{}.invalid", "n".repeat(64));
        let replicas = replicas(&format!("{nobody}:6443"));
        let serving = ServingApiServers::behind(replicas, "https://demo.n.svc:6443").unwrap();
        let why = serving.now().await.unwrap_err();
        assert!(why.contains(&nobody) && why.contains("nobody is there yet"), "{why}");
    }
}
