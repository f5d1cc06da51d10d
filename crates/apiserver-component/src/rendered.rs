//! The configuration files that the supervisor writes for kube-apiserver, kept up with what they are made of.
//! kube-apiserver reloads both by itself. Refuses to write what is unreadable: the last good file stays.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use certificates::SharedKeySet;
use component_flags::{authentication_configuration, encryption_configuration, encryption_keys};
use component_runtime::Paths;
use durable_files::{FileError, read_limited, read_private, write_private};
use supervision::PrepareError;

/// Name of the rendered `AuthenticationConfiguration`.
pub(crate) const AUTHENTICATION: &str = "authentication.json";
/// Name of the rendered `EncryptionConfiguration`.
pub(crate) const ENCRYPTION: &str = "encryption.json";

/// Longest source file; kube-apiserver itself refuses an `AuthenticationConfiguration` of 1 MiB.
const LONGEST: u64 = 512 * 1024;

/// Why a file cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    /// A source cannot be read, or the result not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The keys are malformed.
    #[error("{} holds no usable encryption keys", path.display())]
    Keys {
        path: PathBuf,
        #[source]
        source: component_flags::EncryptionKeyError,
    },
    /// The JWT authenticators are malformed.
    #[error("{} holds no JSON list of JWT authenticators", path.display())]
    Jwt {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// The sources of the files and what was last written.
#[derive(Debug)]
pub(crate) struct Rendered {
    keys: PathBuf,
    jwt: Option<PathBuf>,
    authentication: PathBuf,
    encryption: PathBuf,
    written: RefCell<Written>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Written {
    authentication: Vec<u8>,
    encryption: Vec<u8>,
    complaint: Option<String>,
}

impl Rendered {
    pub(crate) fn new(paths: &Paths, jwt: Option<PathBuf>) -> Self {
        Self {
            keys: paths.shared_key(SharedKeySet::Encryption, SharedKeySet::ENCRYPTION),
            jwt,
            authentication: paths.configuration(AUTHENTICATION),
            encryption: paths.configuration(ENCRYPTION),
            written: RefCell::default(),
        }
    }

    /// Writes both files if what they should hold has changed. Small files on a memory-backed volume: it may block.
    pub(crate) fn refresh(&self) -> Result<(), RenderError> {
        let authentication = pretty(&self.render_authentication()?);
        let encryption = pretty(&self.render_encryption()?);
        let mut written = self.written.borrow_mut();
        replace_if_new(&self.authentication, authentication, &mut written.authentication)?;
        replace_if_new(&self.encryption, encryption, &mut written.encryption)?;
        written.complaint = None;
        Ok(())
    }

    /// The same while the child runs: trouble is told once and leaves the last good files.
    pub(crate) fn keep_fresh(&self) {
        if let Err(error) = self.refresh() {
            let complaint = telemetry::error_chain(&error);
            let mut written = self.written.borrow_mut();
            if written.complaint.as_ref() != Some(&complaint) {
                tracing::warn!(
                    error = complaint,
                    "configuration files of kube-apiserver stay as they were; correct the source"
                );
                written.complaint = Some(complaint);
            }
        }
    }

    fn render_authentication(&self) -> Result<serde_json::Value, RenderError> {
        let Some(path) = &self.jwt else { return Ok(authentication_configuration(&[])) };
        let bytes = read_limited(path, LONGEST)?;
        let jwt: Vec<serde_json::Value> = serde_json::from_slice(&bytes)
            .map_err(|source| RenderError::Jwt { path: path.clone(), source })?;
        Ok(authentication_configuration(&jwt))
    }

    fn render_encryption(&self) -> Result<serde_json::Value, RenderError> {
        let bytes = read_private(&self.keys, LONGEST)?;
        let keys = encryption_keys(&bytes)
            .map_err(|source| RenderError::Keys { path: self.keys.clone(), source })?;
        Ok(encryption_configuration(&keys))
    }
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn replace_if_new(path: &Path, wanted: Vec<u8>, written: &mut Vec<u8>) -> Result<(), FileError> {
    if *written != wanted {
        write_private(path, &wanted)?;
        *written = wanted;
    }
    Ok(())
}

impl From<RenderError> for PrepareError {
    fn from(error: RenderError) -> Self {
        let remedy = match &error {
            RenderError::File(_) => "make it readable and its directory writable for this user",
            RenderError::Keys { .. } => "restore the encryption keys that the certificate-authority keeps",
            RenderError::Jwt { .. } => "correct the file given with --jwt-authenticators",
        };
        Self {
            what: "a configuration file of kube-apiserver cannot be written".to_owned(),
            remedy: remedy.to_owned(),
            source: Some(Box::new(error)),
        }
    }
}
