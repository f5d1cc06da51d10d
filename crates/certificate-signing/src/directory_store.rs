//! CA keys and shared keys in a directory: made once, then only ever read and checked against the manifest.
//! Refuses a set that is half there, damaged, swapped or open to others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use certificates::{Authority, SharedKeySet, bundle_certificates};
use durable_files::{
    FileError, create_directory_once, is_private, read_limited, read_private, write_private,
};
use rcgen::KeyPair;
use time::OffsetDateTime;

use crate::authority_keys::{PairError, SigningAuthority};
use crate::founding::{
    FORMAT_VERSION, MANIFEST, Manifest, STORED_SETS, certificate_file, fingerprint, found, json, key_file,
    shared_keys_file,
};
use crate::rotation::StoredKeys;
use crate::{AuthorityKeys, Origin, StateError};

/// No file of the set is longer, in bytes.
const FILE_LIMIT: u64 = 256 * 1024;

impl AuthorityKeys {
    /// Reads the set in `directory` (0700), making it first if the directory is absent or empty. Of several processes
    /// that do so at once one makes it, and all read the same.
    pub fn open_or_found(directory: &Path, now: OffsetDateTime) -> Result<(Self, Origin), StateError> {
        let is_absent_or_empty = match std::fs::read_dir(directory) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        let mut origin = Origin::Found;
        if is_absent_or_empty {
            if let Some(parent) = directory.parent().filter(|parent| !parent.exists()) {
                durable_files::create_private_directory(parent)?;
            }
            if create_directory_once(directory, &found(now)?)? {
                origin = Origin::Founded;
            }
        }
        Ok((Self::open(directory)?, origin))
    }

    fn open(directory: &Path) -> Result<Self, StateError> {
        is_private(directory)?;
        let (manifest, founding) = read_manifest(directory)?;
        let mut authorities = BTreeMap::new();
        for authority in Authority::ALL {
            authorities.insert(authority, read_authority(directory, &manifest, authority)?);
        }
        let mut stored = BTreeMap::new();
        for set in STORED_SETS {
            stored.insert(set, read_set(directory, &manifest, &founding, set)?);
        }
        Ok(Self::assemble(authorities, stored, founding))
    }

    /// Refuses to go on when what was published before does not hold these CAs: then the directories were mixed up.
    pub fn check_published(&self, directory: &Path, published: &Path) -> Result<(), StateError> {
        for authority in Authority::ALL {
            let published = published.join(authority.bundle());
            let bundle = match read_limited(&published, FILE_LIMIT) {
                Ok(bundle) => bundle,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            // What is no bundle is replaced by a right one.
            let Ok(known) = bundle_certificates(&bundle) else { continue };
            let own = bundle_certificates(self.bundle(authority).as_bytes()).unwrap_or_default();
            if !own.iter().all(|certificate| known.contains(certificate)) {
                return Err(StateError::Foreign {
                    published,
                    certificate: directory.join(certificate_file(authority)),
                });
            }
        }
        Ok(())
    }
}

/// Puts the next set in place of a stored one, at once.
pub(crate) fn write_set(directory: &Path, set: SharedKeySet, stored: &StoredKeys) -> Result<(), FileError> {
    write_private(&directory.join(shared_keys_file(set)), &json(stored))
}

/// The manifest vouches for a set as it was founded, its own seal for what came later.
fn read_set(
    directory: &Path,
    manifest: &Manifest,
    founding: &str,
    set: SharedKeySet,
) -> Result<StoredKeys, StateError> {
    let name = shared_keys_file(set);
    let path = directory.join(&name);
    let damaged = |why: String| StateError::Damaged { path: path.clone(), why };
    if let Ok(stored) = serde_json::from_slice::<StoredKeys>(&read(&path)?)
        && let Some(sealed) = stored.is_sealed(set, founding)
    {
        return if sealed { Ok(stored) } else { Err(damaged("it is not what was written last".to_owned())) };
    }
    let content = read_known(directory, manifest, &name, |_| None)?;
    serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))
}

/// The manifest, and its fingerprint.
fn read_manifest(directory: &Path) -> Result<(Manifest, String), StateError> {
    let path = directory.join(MANIFEST);
    let content = read(&path)?;
    let manifest: Manifest = serde_json::from_slice(&content)
        .map_err(|error| StateError::Damaged { path: path.clone(), why: error.to_string() })?;
    if manifest.format_version == FORMAT_VERSION {
        Ok((manifest, fingerprint(&content)))
    } else {
        Err(StateError::Version { path, found: manifest.format_version, known: FORMAT_VERSION })
    }
}

fn read_authority(
    directory: &Path,
    manifest: &Manifest,
    authority: Authority,
) -> Result<SigningAuthority, StateError> {
    let (certificate_name, key_name) = (certificate_file(authority), key_file(authority));
    let (certificate_path, key_path) = (directory.join(&certificate_name), directory.join(&key_name));
    let damaged = |path: &PathBuf, why: String| StateError::Damaged { path: path.clone(), why };
    let certificate = read_known(directory, manifest, &certificate_name, |content| {
        // Something else that is a certificate is another CA; the rest is damage.
        (is_whole(content) && bundle_certificates(content).is_ok())
            .then(|| StateError::Swapped { path: certificate_path.clone() })
    })?;
    let key = read_known(directory, manifest, &key_name, |content| {
        let is_key =
            is_whole(content) && str::from_utf8(content).is_ok_and(|text| KeyPair::from_pem(text).is_ok());
        is_key.then(|| StateError::Mismatch { key: key_path.clone(), certificate: certificate_path.clone() })
    })?;
    let certificate_pem =
        String::from_utf8(certificate).map_err(|error| damaged(&certificate_path, error.to_string()))?;
    let key_pem = String::from_utf8(key).map_err(|error| damaged(&key_path, error.to_string()))?;
    SigningAuthority::of(certificate_pem, &key_pem).map_err(|error| match error {
        PairError::Certificate(why) => damaged(&certificate_path, why),
        PairError::Key(why) => damaged(&key_path, why),
        PairError::Mismatch => {
            StateError::Mismatch { key: key_path.clone(), certificate: certificate_path.clone() }
        }
    })
}

/// Readers of PEM forgive a cut off end, which is damage all the same.
fn is_whole(pem: &[u8]) -> bool {
    pem.ends_with(b"-----\n") || pem.ends_with(b"-----\r\n")
}

/// Reads a file and compares it with the manifest; `verdict` may know better than "damaged".
fn read_known(
    directory: &Path,
    manifest: &Manifest,
    name: &str,
    verdict: impl FnOnce(&[u8]) -> Option<StateError>,
) -> Result<Vec<u8>, StateError> {
    let path = directory.join(name);
    let content = read(&path)?;
    if manifest.sha256.get(name) == Some(&fingerprint(&content)) {
        return Ok(content);
    }
    let why = if content.is_empty() { "it is empty" } else { "it is not what was written when it was made" };
    Err(verdict(&content).unwrap_or_else(|| StateError::Damaged { path, why: why.to_owned() }))
}

fn read(path: &Path) -> Result<Vec<u8>, StateError> {
    read_private(path, FILE_LIMIT).map_err(|error: FileError| {
        if error.is_not_found() { StateError::Missing { path: path.to_owned() } } else { error.into() }
    })
}
