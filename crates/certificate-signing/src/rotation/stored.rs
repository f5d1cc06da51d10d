//! A shared key set or CA as it is stored: what is handed out, where its rotation stands, and what belongs to nobody yet.
//! Refuses one that was changed by hand, or that is another control plane's.

use std::fmt;
use std::time::Duration;

use certificates::{SharedKeySet, SharedKeys, sha256_hex};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::planner::{Position, Stage};
use super::standing::Stored;
use crate::founding::json;
use crate::kept::Kept;

/// A shared key set, or a CA (pair and bundle), as it is stored. As founded it has neither rotation nor seal: the manifest vouches for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredKeys {
    /// What is handed out.
    #[serde(flatten)]
    pub(crate) keys: SharedKeys,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotation: Option<Rotation>,
    /// Vouches for the rest, in place of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<String>,
}

/// Where the rotation of a set stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rotation {
    pub(crate) key: u64,
    pub(crate) stage: Stage,
    /// When the stage was entered, by the clock of whoever stored it.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) since: OffsetDateTime,
    /// What was seen to pass since; none was stored yet of a stage that is young.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counted: Option<Counted>,
    /// The private key that will sign, PEM; a CA's certificate for it is the last of the bundle. With nobody else before it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_signing_key: Option<String>,
}

/// How much of a wait was seen to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) seconds: u64,
    /// When that was stored, by the clock of whoever did it.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
}

impl StoredKeys {
    /// File of a CA's bundle, once it was rotated.
    pub(crate) const BUNDLE: &str = "bundle.crt";

    /// As it was founded.
    pub(crate) fn founded(keys: SharedKeys) -> Self {
        Self { keys, rotation: None, seal: None }
    }

    /// A CA as it was founded.
    pub(crate) fn founded_authority(certificate: String, key: String) -> Self {
        let files = [(SharedKeySet::CERTIFICATE, certificate), (SharedKeySet::CERTIFICATE_KEY, key)];
        let files = files.map(|(name, content)| (name.to_owned(), content)).into();
        Self::founded(SharedKeys { generation: 1, files })
    }

    /// The bundle of a CA; as founded it trusts what signs.
    pub(crate) fn bundle(&self) -> String {
        let files = &self.keys.files;
        files.get(Self::BUNDLE).or_else(|| files.get(SharedKeySet::CERTIFICATE)).cloned().unwrap_or_default()
    }

    /// The set of a later stage, sealed for the control plane whose manifest has that fingerprint.
    pub(crate) fn sealed(kept: Kept, keys: SharedKeys, rotation: Rotation, founding: &str) -> Self {
        let mut stored = Self { keys, rotation: Some(rotation), seal: None };
        stored.seal = Some(stored.seal_for(kept, founding));
        stored
    }

    /// Whether the seal is ours; none when there is no seal.
    pub(crate) fn is_sealed(&self, kept: Kept, founding: &str) -> Option<bool> {
        self.seal.as_ref().map(|seal| self.rotation.is_some() && *seal == self.seal_for(kept, founding))
    }

    /// Where it stands, and for how long as far as that is stored.
    pub(crate) fn position(&self) -> Position {
        let generation = self.keys.generation;
        match &self.rotation {
            Some(rotation) => {
                let stood = Duration::from_secs(rotation.counted.map_or(0, |counted| counted.seconds));
                Position { key: rotation.key, stage: rotation.stage, stood: Some(stood), generation }
            }
            None => Position { key: 1, stage: Stage::Settled, stood: None, generation },
        }
    }

    /// The same, and when that was stored.
    pub(crate) fn standing(&self) -> Stored {
        let at = |rotation: &Rotation| rotation.counted.map_or(rotation.since, |counted| counted.at);
        Stored { position: self.position(), at: self.rotation.as_ref().map(at) }
    }

    /// At the same stage, for so long; none as founded.
    pub(crate) fn counted(
        &self,
        kept: Kept,
        founding: &str,
        stood: Duration,
        now: OffsetDateTime,
    ) -> Option<Self> {
        let mut rotation = self.rotation.clone()?;
        rotation.counted = Some(Counted { seconds: stood.as_secs(), at: now });
        Some(Self::sealed(kept, self.keys.clone(), rotation, founding))
    }

    /// Binds the content to the set and to the control plane. It keeps mistakes out, not whoever may write here: he
    /// could write a manifest as well.
    fn seal_for(&self, kept: Kept, founding: &str) -> String {
        let content = json(&Self { seal: None, ..self.clone() });
        sha256_hex(format!("{founding}\n{}\n{}", kept.name(), sha256_hex(&content)).as_bytes())
    }
}

impl fmt::Debug for StoredKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoredKeys").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rotation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rotation")
            .field("key", &self.key)
            .field("stage", &self.stage)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}
