//! The API server as a kubeconfig names it, perhaps under several addresses: how to connect, and who we are.
//! Refuses proxies and plugins that fetch credentials: what lies between would be measured too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::trouble::{Meaning, Trouble};

/// A connection attempt that takes longer has failed.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Kept connections are given up as the controllers under Pilothouse give theirs up: silent for 5 s, then 3 s for an
/// answer to a ping.
const PING_AFTER: Duration = Duration::from_secs(5);
const PING_LIMIT: Duration = Duration::from_secs(3);

/// Why no load can be put on a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The kubeconfig cannot be read or used.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server address has no port.
    #[error("the server address {address:?} is not HOST:PORT")]
    Address {
        /// The address.
        address: String,
    },
}

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Server {
    addresses: Vec<String>,
    name: ServerName<'static>,
    authority: String,
    tls: TlsConnector,
    token: Option<HeaderValue>,
}

impl Server {
    /// `addresses` (HOST:PORT) take the place of the kubeconfig's own address; the name in the certificate stays.
    pub(crate) async fn from_kubeconfig(path: &Path, addresses: &[String]) -> Result<Self, ServerError> {
        mutual_tls::install_provider();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServerError::Kubeconfig {
            path: path.to_owned(),
            source,
        };
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(error.into()))?;
        let configuration = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| failed(error.into()))?;
        let mut tls = configuration.rustls_client_config().map_err(|error| failed(error.into()))?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let host = configuration.cluster_url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = configuration.cluster_url.port_u16().unwrap_or(443);
        let name = configuration.tls_server_name.clone().unwrap_or_else(|| host.clone());
        let name = ServerName::try_from(name).map_err(|error| failed(error.into()))?;
        for address in addresses {
            if address
                .rsplit_once(':')
                .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
            {
                return Err(ServerError::Address { address: address.clone() });
            }
        }
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let addresses = if addresses.is_empty() { vec![authority.clone()] } else { addresses.to_vec() };
        let token = bearer(&configuration.auth_info).map_err(failed)?;
        Ok(Self { addresses, name, authority, tls: TlsConnector::from(Arc::new(tls)), token })
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// One attempt at one address: the `turn`th, counted around.
    pub(crate) async fn connect(&self, turn: usize) -> Result<Connection, Trouble> {
        let address = &self.addresses[turn % self.addresses.len()];
        match timeout(CONNECT_LIMIT, self.connect_to(address)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                let kind = format!("connect: no answer within {} s", CONNECT_LIMIT.as_secs());
                Err(Trouble::new(kind, address, Meaning::NotDone))
            }
        }
    }

    async fn connect_to(&self, address: &str) -> Result<Connection, Trouble> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| Trouble::connecting(&error.kind().to_string(), &error))?;
        // Small requests one after the other: waiting to fill a packet would be measured.
        stream.set_nodelay(true).map_err(|error| Trouble::connecting("socket", &error))?;
        let stream = self
            .tls
            .connect(self.name.clone(), stream)
            .await
            .map_err(|error| Trouble::connecting(&format!("TLS, {}", error.kind()), &error))?;
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_LIMIT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Trouble::connecting("HTTP/2", &error))?;
        Ok(Connection::new(sender, driver, &self.authority, self.token.clone()))
    }
}

fn bearer(
    identity: &kube::config::AuthInfo,
) -> Result<Option<HeaderValue>, Box<dyn std::error::Error + Send + Sync>> {
    if identity.exec.is_some() || identity.auth_provider.is_some() || identity.username.is_some() {
        return Err("only client certificates and tokens can be used".into());
    }
    // kube keeps the token in a type of a crate that it does not export; its own serialization opens it.
    let written = serde_json::to_value(identity)?;
    let token = match (written.get("token").and_then(serde_json::Value::as_str), &identity.token_file) {
        (Some(token), _) => token.to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file)?.trim().to_owned(),
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
