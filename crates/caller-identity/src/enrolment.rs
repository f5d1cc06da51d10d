//! Making embedded callers known and giving them tokens, old ones staying good until they expire.
//! Refuses to leave a caller without a good token: the registry learns a new one before the caller gets it.

use std::path::Path;
use std::time::Duration;

use durable_files::{create_private_directory, read_private, write_private};
use time::OffsetDateTime;

use crate::registry::{Entry, KnownToken};
use crate::token::{TokenHash, fresh_token};
use crate::{Caller, RegistryError};

/// A token file holds one line, in bytes.
const TOKEN_FILE_LIMIT: u64 = 1024;

/// What enrolling or rotating did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolment {
    /// Whether the token file holds a new token.
    pub fresh_token: bool,
    /// When half of the token's life is over and it should be rotated.
    pub rotate_at: OffsetDateTime,
}

/// Makes `caller` known in the registry and puts a good token into `token_file` (0600, its directory 0700). Idempotent:
/// a token that is known and in the first half of its life stays.
pub fn enrol(
    registry_directory: &Path,
    caller: &Caller,
    token_file: &Path,
    now: OffsetDateTime,
    lifetime: Duration,
) -> Result<Enrolment, RegistryError> {
    create_private_directory(registry_directory)?;
    let path = Entry::path(registry_directory, &caller.instance)?;
    // An entry that cannot be read is made anew; so are the tokens in it.
    let known = Entry::read(&path).ok().filter(|entry| entry.component == caller.component);
    let entry = Entry {
        component: caller.component,
        instance: caller.instance.clone(),
        tokens: known.as_ref().map(|entry| entry.tokens.clone()).unwrap_or_default(),
        names: caller.names.iter().map(ToString::to_string).collect(),
    };
    let changed = known.as_ref() != Some(&entry);
    ensure_token(entry, &path, changed, token_file, now, lifetime)
}

/// Gives an enrolled instance a new token if half of the life of its present one is over, or it has none that is good.
pub fn rotate_if_due(
    registry_directory: &Path,
    instance: &str,
    token_file: &Path,
    now: OffsetDateTime,
    lifetime: Duration,
) -> Result<Enrolment, RegistryError> {
    let path = Entry::path(registry_directory, instance)?;
    let entry = match Entry::read(&path) {
        Err(RegistryError::File(error)) if error.is_not_found() => {
            let directory = registry_directory.to_owned();
            return Err(RegistryError::NotEnrolled { instance: instance.to_owned(), directory });
        }
        entry => entry?,
    };
    ensure_token(entry, &path, false, token_file, now, lifetime)
}

/// Makes an instance unknown; its tokens are worthless at once.
pub fn forget(registry_directory: &Path, instance: &str) -> Result<(), RegistryError> {
    let path = Entry::path(registry_directory, instance)?;
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(RegistryError::List { path, source })
        }
        _ => Ok(()),
    }
}

fn ensure_token(
    mut entry: Entry,
    path: &Path,
    changed: bool,
    token_file: &Path,
    now: OffsetDateTime,
    lifetime: Duration,
) -> Result<Enrolment, RegistryError> {
    if let Some(rotate_at) = rotation_of_present(&entry, token_file, lifetime)
        && now < rotate_at
    {
        if changed {
            entry.write(path)?;
        }
        return Ok(Enrolment { fresh_token: false, rotate_at });
    }
    let token = fresh_token().map_err(|error| RegistryError::from((error, entry.instance.as_str())))?;
    entry.tokens.retain(|known| now < known.expires);
    entry.tokens.push(KnownToken { sha256: TokenHash::of(&token), expires: now + lifetime });
    entry.write(path)?;
    if let Some(directory) = token_file.parent() {
        create_private_directory(directory)?;
    }
    write_private(token_file, token.as_bytes())?;
    Ok(Enrolment { fresh_token: true, rotate_at: now + lifetime / 2 })
}

/// When the token in the file is to be rotated; none when it is not known, lies open or cannot be read.
fn rotation_of_present(entry: &Entry, token_file: &Path, lifetime: Duration) -> Option<OffsetDateTime> {
    let content = read_private(token_file, TOKEN_FILE_LIMIT).ok()?;
    let hash = TokenHash::of(str::from_utf8(&content).ok()?);
    let known = entry.tokens.iter().find(|known| known.sha256.is(&hash))?;
    Some(known.expires - lifetime / 2)
}
