//! Publishing trust bundles where supervisors read them.
//! Refuses to publish anything but certificates.

use std::path::Path;

use certificates::Authority;
use durable_files::{FileError, create_private_directory, read_limited, write_public};

use crate::AuthorityKeys;

/// A published bundle is a few certificates, in bytes.
const BUNDLE_LIMIT: u64 = 256 * 1024;

/// Bundles cannot be published.
#[derive(Debug, thiserror::Error)]
#[error("trust bundles cannot be published")]
pub struct PublishError(#[from] FileError);

/// Puts every CA's bundle into `directory` (0644), touching only what differs; says whether anything did.
pub fn publish_bundles(keys: &AuthorityKeys, directory: &Path) -> Result<bool, PublishError> {
    if !directory.exists() {
        create_private_directory(directory)?;
    }
    let mut changed = false;
    for authority in Authority::ALL {
        let path = directory.join(authority.bundle());
        let bundle = keys.bundle(authority);
        if read_limited(&path, BUNDLE_LIMIT).is_ok_and(|published| published == bundle.as_bytes()) {
            continue;
        }
        write_public(&path, bundle.as_bytes())?;
        changed = true;
    }
    Ok(changed)
}
