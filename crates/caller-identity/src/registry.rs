//! The registry of embedded callers: one 0600 file per instance with the hashes of its tokens, read anew for every
//! question. Refuses files that lie open or are not what they should be, one by one; the others stay good.

use std::path::{Path, PathBuf};

use certificates::LeafName;
use durable_files::{FileError, is_private, read_private, write_private};
use naming_contract::Component;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::token::{NoRandomness, TokenHash};
use crate::{Caller, IdentifyCaller, Unidentified};

/// A registry file holds a few hashes and names, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;
const EXTENSION: &str = "json";

/// What is on disk about one caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) component: Component,
    pub(crate) instance: String,
    pub(crate) tokens: Vec<KnownToken>,
    #[serde(default)]
    pub(crate) names: Vec<String>,
}

/// A token by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownToken {
    pub(crate) sha256: TokenHash,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires: OffsetDateTime,
}

/// Why a caller cannot be enrolled or looked up.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file or directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory cannot be listed.
    #[error("cannot list the callers in {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a registry file.
    #[error("{} is no registry file; remove it, and `pilothouse up` makes it anew", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not a name for an instance: it becomes a file name and a certificate's subject.
    #[error("{name:?} cannot be an instance's name; use letters, digits and -")]
    Name {
        /// What was given.
        name: String,
    },
    /// The caller was never enrolled.
    #[error("{instance} is not enrolled in {}", directory.display())]
    NotEnrolled {
        /// Who.
        instance: String,
        /// Where.
        directory: PathBuf,
    },
    /// No token can be made.
    #[error("no token for {instance} can be made: the system gives no random bytes")]
    Randomness {
        /// For whom.
        instance: String,
    },
}

/// Embedded callers, known by a registry directory (0700).
#[derive(Debug, Clone)]
pub struct EmbeddedCallers {
    directory: PathBuf,
}

impl EmbeddedCallers {
    /// Callers enrolled in `directory`; nothing is read yet.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    fn look_up(&self, bearer: &str, now: OffsetDateTime) -> Result<Caller, Unidentified> {
        let unavailable = |error: RegistryError| Unidentified::Unavailable(error.into());
        is_private(&self.directory).map_err(|error| unavailable(error.into()))?;
        let asked = TokenHash::of(bearer);
        let mut unusable = Vec::new();
        let mut found = None;
        for path in entry_paths(&self.directory).map_err(unavailable)? {
            match Entry::read(&path).and_then(|entry| entry.caller(&path).map(|caller| (entry, caller))) {
                Ok((entry, caller)) => {
                    // Every hash is compared, found or not: the time must not tell which caller it was.
                    for token in &entry.tokens {
                        if token.sha256.is(&asked) {
                            found = Some((caller.clone(), token.expires));
                        }
                    }
                }
                Err(error) => unusable.push(told(&error)),
            }
        }
        match found {
            Some((caller, expires)) if now < expires => Ok(caller),
            Some((caller, expired)) => Err(Unidentified::Expired { instance: caller.instance, expired }),
            None => Err(Unidentified::Unknown { unusable }),
        }
    }
}

impl IdentifyCaller for EmbeddedCallers {
    async fn identify(&self, bearer: &str, now: OffsetDateTime) -> Result<Caller, Unidentified> {
        self.look_up(bearer, now)
    }
}

impl Entry {
    pub(crate) fn path(directory: &Path, instance: &str) -> Result<PathBuf, RegistryError> {
        // A DNS name has no slash and does not begin with a dot.
        match instance.parse() {
            Ok(LeafName::Dns(name)) if name == instance => {
                Ok(directory.join(format!("{instance}.{EXTENSION}")))
            }
            _ => Err(RegistryError::Name { name: instance.to_owned() }),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self, RegistryError> {
        let content = read_private(path, FILE_LIMIT)?;
        serde_json::from_slice(&content)
            .map_err(|source| RegistryError::Content { path: path.to_owned(), source: source.into() })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), RegistryError> {
        let content = serde_json::to_vec_pretty(self)
            .map_err(|source| RegistryError::Content { path: path.to_owned(), source: source.into() })?;
        Ok(write_private(path, &content)?)
    }

    fn caller(&self, path: &Path) -> Result<Caller, RegistryError> {
        let wrong = |source: certificates::ContentsError| RegistryError::Content {
            path: path.to_owned(),
            source: source.into(),
        };
        let names = self.names.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Caller { component: self.component, instance: self.instance.clone(), names })
    }
}

impl From<(NoRandomness, &str)> for RegistryError {
    fn from((_, instance): (NoRandomness, &str)) -> Self {
        Self::Randomness { instance: instance.to_owned() }
    }
}

fn entry_paths(directory: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let failed = |source| RegistryError::List { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // What is being staged begins with a dot.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn told(error: &RegistryError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
