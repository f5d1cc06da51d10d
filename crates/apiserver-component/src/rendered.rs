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
    /// The generation of the keys is none.
    #[error("{} holds no number", path.display())]
    Generation { path: PathBuf },
    /// The JWT authenticators are malformed.
    #[error("{} holds no JSON list of JWT authenticators", path.display())]
    Jwt {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl RenderError {
    /// Whether it passes when somebody makes space.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_disk_full())
    }
}

/// The sources of the files and what was last written.
#[derive(Debug)]
pub(crate) struct Rendered {
    generation: PathBuf,
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
    /// Of the keys in it.
    generation: u64,
    complaint: Option<String>,
}

impl Rendered {
    pub(crate) fn new(paths: &Paths, jwt: Option<PathBuf>) -> Self {
        Self {
            generation: paths.shared_key(SharedKeySet::Encryption, SharedKeySet::GENERATION),
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
        let (generation, encryption) = self.render_encryption()?;
        let encryption = pretty(&encryption);
        let mut written = self.written.borrow_mut();
        replace_if_new(&self.authentication, authentication, &mut written.authentication)?;
        replace_if_new(&self.encryption, encryption, &mut written.encryption)?;
        written.generation = generation;
        written.complaint = None;
        Ok(())
    }

    /// The generation of the encryption keys in the file, and the file's content.
    pub(crate) fn encryption(&self) -> (u64, Vec<u8>) {
        let written = self.written.borrow();
        (written.generation, written.encryption.clone())
    }

    fn generation(&self) -> Result<u64, RenderError> {
        let text = read_private(&self.generation, LONGEST)?;
        let number = str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| RenderError::Generation { path: self.generation.clone() })
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

    fn render_encryption(&self) -> Result<(u64, serde_json::Value), RenderError> {
        let mut generation = self.generation()?;
        loop {
            let bytes = read_private(&self.keys, LONGEST)?;
            // Replaced while it was read: generations are minutes apart.
            let now = self.generation()?;
            if std::mem::replace(&mut generation, now) != now {
                continue;
            }
            let keys = encryption_keys(&bytes)
                .map_err(|source| RenderError::Keys { path: self.keys.clone(), source })?;
            return Ok((generation, encryption_configuration(&keys)));
        }
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
            RenderError::Keys { .. } | RenderError::Generation { .. } => {
                "restore the encryption keys that the certificate-authority keeps"
            }
            RenderError::Jwt { .. } => "correct the file given with --jwt-authenticators",
        };
        Self {
            what: "a configuration file of kube-apiserver cannot be written".to_owned(),
            remedy: remedy.to_owned(),
            source: Some(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = r#"{"name":"NAME","secret":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}"#;

    fn keys(names: &[&str]) -> Vec<u8> {
        let keys: Vec<String> = names.iter().map(|name| KEY.replace("NAME", name)).collect();
        format!("[{}]", keys.join(",")).into_bytes()
    }

    #[test]
    fn a_new_key_is_rendered_and_a_broken_one_leaves_the_last_good_file() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::new(directory.path().to_owned());
        let source = paths.shared_key(SharedKeySet::Encryption, SharedKeySet::ENCRYPTION);
        durable_files::create_private_directory(source.parent().unwrap()).unwrap();
        durable_files::create_private_directory(paths.configuration("").as_path()).unwrap();
        write_private(&source.with_file_name(SharedKeySet::GENERATION), b"1").unwrap();
        let rendered = Rendered::new(&paths, None);
        assert!(matches!(rendered.refresh(), Err(RenderError::File(_))));

        let read = || read_private(&paths.configuration(ENCRYPTION), LONGEST).unwrap();
        write_private(&source, &keys(&["key1"])).unwrap();
        rendered.refresh().unwrap();
        assert!(String::from_utf8(read()).unwrap().contains("\"key1\""));

        write_private(&source, &keys(&["key2", "key1"])).unwrap();
        rendered.keep_fresh();
        let two_keys = read();
        let text = String::from_utf8(two_keys.clone()).unwrap();
        assert!(text.find("key2").unwrap() < text.find("key1").unwrap());

        write_private(&source, b"[]").unwrap();
        rendered.keep_fresh();
        assert_eq!(read(), two_keys);
        assert!(rendered.refresh().is_err());
        assert_eq!(rendered.encryption(), (1, two_keys));
    }

    #[test]
    fn jwt_authenticators_join_the_authentication_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let jwt = directory.path().join("jwt.json");
        durable_files::write_public(&jwt, br#"[{"issuer":{"url":"https://login.example.com"}}]"#).unwrap();
        let rendered = Rendered::new(&Paths::new(directory.path().to_owned()), Some(jwt.clone()));
        assert_eq!(
            rendered.render_authentication().unwrap()["jwt"][0]["issuer"]["url"],
            "https://login.example.com"
        );
        durable_files::write_public(&jwt, b"{}").unwrap();
        let error = PrepareError::from(rendered.render_authentication().unwrap_err());
        assert!(error.remedy.contains("--jwt-authenticators"));
    }
}
