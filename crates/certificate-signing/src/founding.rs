//! Making the four CAs and the shared keys, once in a control plane's life, and what says that a set is whole.
//! Refuses to look at what is there, and to make a CA by a clock that cannot be right.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certificates::{Authority, SharedKeySet, SharedKeys, sha256_hex};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::kept::Kept;
use crate::rotation::encryption_name;
use crate::{MakeError, StateError};

/// Ten years of 365 days.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A machine may come up with its clock a time zone ahead, and have it set right a moment after the founding. A clock that is
/// behind by less still makes leaves that live for two of their three days; with a longer span leaves would be signed that
/// everybody with a right clock takes for expired.
const AUTHORITY_BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// This source is younger, so a clock that says less is wrong: most of all that of a machine without one, which begins in 1970.
/// Moved on with releases; a constant, since the time of a build would make each build another.
const CLOCK_SAYS_AT_LEAST: OffsetDateTime = datetime!(2026-11-22 0:00 UTC);
/// The one format there is.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Says what belongs into the directory.
pub(crate) const MANIFEST: &str = "manifest.json";
/// What secretbox wants, in bytes.
const ENCRYPTION_KEY_LENGTH: usize = 32;

/// What belongs into the directory of CA keys, so that a lost, damaged or swapped file is found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) format_version: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) founded: OffsetDateTime,
    /// SHA-256 of each file.
    pub(crate) sha256: BTreeMap<String, String>,
}

/// One key of the encryption set, as `keys.json` lists them.
#[derive(Serialize, Deserialize)]
pub(crate) struct EncryptionKey {
    pub(crate) name: String,
    pub(crate) secret: String,
}

pub(crate) fn certificate_file(authority: Authority) -> String {
    format!("{authority}.crt")
}

pub(crate) fn key_file(authority: Authority) -> String {
    format!("{authority}.key")
}

/// The file of a shared key set, or of a CA that was rotated: pair, bundle and stage in one, replaced by one write.
pub(crate) fn stored_file(kept: Kept) -> String {
    format!("{}.json", kept.name())
}

/// The sets that have a file.
pub(crate) const STORED_SETS: [SharedKeySet; 2] = [SharedKeySet::ServiceAccount, SharedKeySet::Encryption];

/// All files of a new control plane, the manifest last.
pub(crate) fn found(now: OffsetDateTime) -> Result<Vec<(String, Vec<u8>)>, StateError> {
    let mut files = Vec::new();
    for authority in Authority::ALL {
        let (certificate, key) = found_authority(authority, 1, now)?;
        files.push((certificate_file(authority), certificate.into_bytes()));
        files.push((key_file(authority), key.into_bytes()));
    }
    for set in STORED_SETS {
        files.push((stored_file(Kept::Shared(set)), json(&found_shared_keys(set)?)));
    }
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        founded: now,
        sha256: files.iter().map(|(name, content)| (name.clone(), sha256_hex(content))).collect(),
    };
    files.push((MANIFEST.to_owned(), json(&manifest)));
    Ok(files)
}

/// A new CA with this number, from 1: certificate and key, PEM. A CA lives for years by the clock of this moment, so one that is
/// wrong for certain is an error.
pub(crate) fn found_authority(
    authority: Authority,
    number: u64,
    now: OffsetDateTime,
) -> Result<(String, String), MakeError> {
    if now < CLOCK_SAYS_AT_LEAST {
        return Err(MakeError::Clock { now, at_least: CLOCK_SAYS_AT_LEAST });
    }
    new_authority(authority, number, now)
        .map_err(|source| MakeError::Key { what: format!("the {authority} CA"), source })
}

/// The first generation of a set that is stored.
pub(crate) fn found_shared_keys(set: SharedKeySet) -> Result<SharedKeys, MakeError> {
    match set {
        SharedKeySet::Encryption => new_encryption_keys(),
        _ => new_service_account_keys()
            .map_err(|source| MakeError::Key { what: format!("the {set} keys"), source }),
    }
}

fn new_authority(
    authority: Authority,
    number: u64,
    now: OffsetDateTime,
) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, authority.common_name(number));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    parameters.not_before = now - AUTHORITY_BACKDATED;
    parameters.not_after = now + AUTHORITY_LIFETIME;
    let certificate = parameters.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn new_service_account_keys() -> Result<SharedKeys, rcgen::Error> {
    let key = KeyPair::generate()?;
    let files = BTreeMap::from([
        (SharedKeySet::VERIFY.to_owned(), key.public_key_pem()),
        (SharedKeySet::SIGNING.to_owned(), key.serialize_pem()),
    ]);
    Ok(SharedKeys { generation: 1, files })
}

/// In base64, as `keys.json` has it.
pub(crate) fn new_encryption_secret() -> Result<String, MakeError> {
    let mut secret = [0_u8; ENCRYPTION_KEY_LENGTH];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| MakeError::Randomness)?;
    Ok(STANDARD.encode(secret))
}

fn new_encryption_keys() -> Result<SharedKeys, MakeError> {
    let keys = [EncryptionKey { name: encryption_name(1), secret: new_encryption_secret()? }];
    let content = String::from_utf8_lossy(&json(&keys)).into_owned();
    Ok(SharedKeys { generation: 1, files: BTreeMap::from([(SharedKeySet::ENCRYPTION.to_owned(), content)]) })
}

pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and maps of them cannot fail to serialize.
    serde_json::to_vec_pretty(value).unwrap_or_default()
}
