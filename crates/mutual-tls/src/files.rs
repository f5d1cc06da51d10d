//! PEM files on disk and what can be wrong with them.
//! Refuses to print keys: the material's `Debug` shows lengths only.

use std::fmt;
use std::path::{Path, PathBuf};

/// The PEM files of one mutual-TLS identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The bundle by which peers are checked.
    pub authority: PathBuf,
    /// Our own chain.
    pub certificate: PathBuf,
    /// Our own key.
    pub key: PathBuf,
}

/// The contents of [`TlsFiles`].
#[derive(Clone)]
pub struct TlsMaterial {
    /// The bundle by which peers are checked.
    pub authority_pem: Vec<u8>,
    /// Our own chain.
    pub certificate_pem: Vec<u8>,
    /// Our own key.
    pub key_pem: Vec<u8>,
}

/// Why no client or server can be made of what is there.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no such PEM item.
    #[error("{origin} holds no valid {wanted}")]
    Pem {
        /// The file, or what the bytes are.
        origin: String,
        /// "certificate" or "private key".
        wanted: &'static str,
        /// What the parser says.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate, key or bundle do not work together.
    #[error("{origin} cannot be used for TLS")]
    Rustls {
        /// The file, or what the bytes are.
        origin: String,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client")]
    Http(#[source] reqwest::Error),
    /// The etcd client could not be made.
    #[cfg(feature = "etcd")]
    #[error("cannot make an etcd client for {endpoints}")]
    Etcd {
        /// The endpoints, comma-separated.
        endpoints: String,
        /// What the client says.
        #[source]
        source: etcd_client::Error,
    },
    /// The Kubernetes client could not be made.
    #[cfg(feature = "kubernetes")]
    #[error("cannot make a Kubernetes client for {server}")]
    Kubernetes {
        /// The API server's URL.
        server: String,
        /// What the client says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TlsFiles {
    /// Reads all three files.
    pub fn read(&self) -> Result<TlsMaterial, TlsError> {
        Ok(TlsMaterial {
            authority_pem: read(&self.authority)?,
            certificate_pem: read(&self.certificate)?,
            key_pem: read(&self.key)?,
        })
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsMaterial")
            .field("authority_bytes", &self.authority_pem.len())
            .field("certificate_bytes", &self.certificate_pem.len())
            .finish_non_exhaustive()
    }
}
