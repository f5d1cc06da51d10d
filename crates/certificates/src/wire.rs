//! What travels between a requester and the certificate-authority, as JSON over HTTPS. Pure.
//! Refuses `Debug` for secrets: shared keys print their file names only.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{LeafContents, Profile, SharedKeySet};

/// POST a CSR (PEM) here for an [`IssuedCertificate`]; GET it for a [`LeafPreview`].
#[must_use]
pub fn certificate_path(profile: Profile) -> String {
    format!("/v1/certificates/{profile}")
}

/// Query parameter with the generation that a requester has; if it is the present one the answer is 304 without keys.
pub const KNOWN_GENERATION: &str = "known";

/// GET this for [`SharedKeys`].
#[must_use]
pub fn shared_keys_path(set: SharedKeySet) -> String {
    format!("/v1/shared-keys/{set}")
}

/// A freshly signed leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedCertificate {
    /// PEM chain, leaf first.
    pub certificate: String,
    /// Start of validity; backdated.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
}

/// What a leaf would hold if it were asked for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeafPreview {
    /// Subject, usages and names.
    #[serde(flatten)]
    pub contents: LeafContents,
    /// How long it would live, in seconds, backdating not counted.
    pub lifetime_seconds: u64,
}

/// One generation of a shared key set.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedKeys {
    /// Counts up from 1.
    pub generation: u64,
    /// File name and content.
    pub files: BTreeMap<String, String>,
}

impl fmt::Debug for SharedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedKeys")
            .field("generation", &self.generation)
            .field("files", &self.files.keys())
            .finish_non_exhaustive()
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}
