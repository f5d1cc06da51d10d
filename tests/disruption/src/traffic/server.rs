//! The API server as a kubeconfig names it, perhaps under several addresses, and how to connect.
//! Refuses proxies: what lies between would be measured too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use durable_files::FileIdentity;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::Connection;
use super::credentials::Credentials;
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
    kubeconfig: PathBuf,
    addresses: Vec<String>,
    credentials: Arc<Mutex<Arc<Credentials>>>,
}

impl Server {
    /// `addresses` (HOST:PORT) take the place of the kubeconfig's own address; the name in the certificate stays.
    pub(crate) async fn from_kubeconfig(path: &Path, addresses: &[String]) -> Result<Self, ServerError> {
        mutual_tls::install_provider();
        let credentials = Credentials::read(path)
            .await
            .map_err(|source| ServerError::Kubeconfig { path: path.to_owned(), source })?;
        for address in addresses {
            if address
                .rsplit_once(':')
                .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
            {
                return Err(ServerError::Address { address: address.clone() });
            }
        }
        let addresses = if addresses.is_empty() {
            vec![credentials.caller.authority.clone()]
        } else {
            addresses.to_vec()
        };
        let credentials = Arc::new(Mutex::new(Arc::new(credentials)));
        Ok(Self { kubeconfig: path.to_owned(), addresses, credentials })
    }

    /// Whether a connection was made with what the kubeconfig said before it was replaced.
    pub(crate) fn is_of_before(&self, connection: &Connection) -> bool {
        let now = FileIdentity::of(&self.kubeconfig);
        now.is_some() && connection.made_with() != now
    }

    /// What the kubeconfig says now. One that cannot be used, since somebody is at it, changes nothing.
    async fn credentials(&self) -> Arc<Credentials> {
        let known = self.known();
        if FileIdentity::of(&self.kubeconfig) == known.caller.file {
            return known;
        }
        let Ok(read) = Credentials::read(&self.kubeconfig).await else { return known };
        let read = Arc::new(read);
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        read
    }

    fn known(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.lock().unwrap_or_else(PoisonError::into_inner))
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
        let credentials = self.credentials().await;
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| Trouble::connecting(&error.kind().to_string(), &error))?;
        // Small requests one after the other: waiting to fill a packet would be measured.
        stream.set_nodelay(true).map_err(|error| Trouble::connecting("socket", &error))?;
        let stream = credentials
            .tls
            .connect(credentials.name.clone(), stream)
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
        Ok(Connection::new(sender, driver, credentials.caller.clone()))
    }
}
