//! CA keys and shared keys in a directory: made once, then only ever read and checked against the manifest.
//! Refuses a set that is half there, damaged, swapped or open to others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use certificates::{Authority, bundle_certificates, sha256_hex};
use durable_files::{
    FileError, create_directory_once, is_private, read_limited, read_private, write_private,
};
use rcgen::KeyPair;
use time::OffsetDateTime;

use crate::authority_keys::PairError;
use crate::founding::{
    FORMAT_VERSION, MANIFEST, Manifest, certificate_file, found, json, key_file, stored_file,
};
use crate::kept::Kept;
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
        let mut stored = BTreeMap::new();
        for kept in *Kept::ALL {
            let keys = match kept {
                Kept::Authority(authority) => read_authority(directory, &manifest, &founding, authority)?,
                Kept::Shared(_) => read_set(directory, &manifest, &founding, kept)?,
            };
            stored.insert(kept, keys);
        }
        Self::assemble(stored, founding).map_err(|(authority, error)| not_a_pair(directory, authority, error))
    }

    /// Refuses to go on when what was published before holds none of these CAs: then the directories were mixed up. While
    /// they are rotated a bundle may be a stage behind.
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
            if !own.iter().any(|certificate| known.contains(certificate)) {
                return Err(StateError::Foreign {
                    published,
                    certificate: directory.join(certificate_file(authority)),
                });
            }
        }
        Ok(())
    }
}

/// Puts what is stored next in the place of what is, at once.
pub(crate) fn write_stored(directory: &Path, kept: Kept, stored: &StoredKeys) -> Result<(), FileError> {
    write_private(&directory.join(stored_file(kept)), &json(stored))?;
    if let Kept::Authority(authority) = kept {
        remove_founded_pair(directory, authority)?;
    }
    Ok(())
}

/// A CA that was rotated lies in one file. Its first pair must not be taken for it, should that file be lost.
fn remove_founded_pair(directory: &Path, authority: Authority) -> Result<(), FileError> {
    for name in [certificate_file(authority), key_file(authority)] {
        durable_files::remove_file(&directory.join(name))?;
    }
    Ok(())
}

/// The manifest vouches for a set as it was founded, its own seal for what came later.
fn read_set(
    directory: &Path,
    manifest: &Manifest,
    founding: &str,
    kept: Kept,
) -> Result<StoredKeys, StateError> {
    let name = stored_file(kept);
    if let Some(stored) = read_sealed(directory, founding, kept)? {
        return Ok(stored);
    }
    let content = read_known(directory, manifest, &name, |_| None)?;
    serde_json::from_slice(&content)
        .map_err(|error| StateError::Damaged { path: directory.join(&name), why: error.to_string() })
}

/// What carries a seal, which must be right; none when it carries none.
fn read_sealed(directory: &Path, founding: &str, kept: Kept) -> Result<Option<StoredKeys>, StateError> {
    let path = directory.join(stored_file(kept));
    let Ok(stored) = serde_json::from_slice::<StoredKeys>(&read(&path)?) else { return Ok(None) };
    match stored.is_sealed(kept, founding) {
        Some(true) => Ok(Some(stored)),
        Some(false) => Err(StateError::Damaged { path, why: "it is not what was written last".to_owned() }),
        None => Ok(None),
    }
}

/// The manifest, and its fingerprint.
fn read_manifest(directory: &Path) -> Result<(Manifest, String), StateError> {
    let path = directory.join(MANIFEST);
    let content = read(&path)?;
    let manifest: Manifest = serde_json::from_slice(&content)
        .map_err(|error| StateError::Damaged { path: path.clone(), why: error.to_string() })?;
    if manifest.format_version == FORMAT_VERSION {
        Ok((manifest, sha256_hex(&content)))
    } else {
        Err(StateError::Version { path, found: manifest.format_version, known: FORMAT_VERSION })
    }
}

/// A CA that was rotated has a seal, one that was not the manifest.
fn read_authority(
    directory: &Path,
    manifest: &Manifest,
    founding: &str,
    authority: Authority,
) -> Result<StoredKeys, StateError> {
    let kept = Kept::Authority(authority);
    let path = directory.join(stored_file(kept));
    if path.exists() {
        let stored = read_sealed(directory, founding, kept)?;
        let stored = stored.ok_or_else(|| StateError::Damaged { path, why: "it has no seal".to_owned() })?;
        // Left by a life that was ended between two writes.
        remove_founded_pair(directory, authority)?;
        return Ok(stored);
    }
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
    Ok(StoredKeys::founded_authority(certificate_pem, key_pem))
}

fn not_a_pair(directory: &Path, authority: Authority, error: PairError) -> StateError {
    let rotated = directory.join(stored_file(Kept::Authority(authority)));
    let file = |founded: String| if rotated.exists() { rotated.clone() } else { directory.join(founded) };
    let (certificate, key) = (file(certificate_file(authority)), file(key_file(authority)));
    match error {
        PairError::Certificate(why) => StateError::Damaged { path: certificate, why },
        PairError::Key(why) => StateError::Damaged { path: key, why },
        PairError::Mismatch => StateError::Mismatch { key, certificate },
    }
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
    if manifest.sha256.get(name) == Some(&sha256_hex(&content)) {
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
