//! What can be wrong with the Secrets of CA keys, each with its remedy.
//! Refuses to heal: a CA that changes by itself locks a whole cluster out.

use management_api::ManagementError;

use crate::MakeError;

/// Why the keys in Secrets cannot be used (now).
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretStoreError {
    /// The API does not answer, or refuses.
    #[error(transparent)]
    Api(#[from] ManagementError),
    /// A part is gone.
    #[error(
        "missing Secrets: {}; the rest of the set is there: restore them from a backup (only to found a new control plane, delete {} as well)",
        missing.join(", "), left.join(", ")
    )]
    Missing {
        /// What is gone.
        missing: Vec<String>,
        /// What is there.
        left: Vec<String>,
    },
    /// A part was changed.
    #[error("Secret {secret} is damaged: {why}; restore it from a backup")]
    Damaged {
        /// Namespace and name.
        secret: String,
        /// What is wrong with it.
        why: String,
    },
    /// A key that is not its certificate's.
    #[error("in Secret {secret}, tls.key is not the key of tls.crt; restore both from a backup")]
    Mismatch {
        /// Namespace and name.
        secret: String,
    },
    /// Whole, but another than this control plane was founded with.
    #[error(
        "Secret {secret} holds other keys than those that this control plane was founded with; restore it from a backup"
    )]
    Swapped {
        /// Namespace and name.
        secret: String,
    },
    /// Made by a version that this one does not know.
    #[error(
        "Secret {secret} has format version {found}, this version knows {known}; use the version that made it"
    )]
    Version {
        /// Namespace and name.
        secret: String,
        /// The version in it.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Something cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// All are gone, but what was made with them is there.
    #[error(
        "all Secrets with keys are gone, but ConfigMap {config_map} says that this control plane has run: restore them from a backup (only to found a new control plane, delete that ConfigMap as well)"
    )]
    Lost {
        /// Namespace and name of the trust bundles.
        config_map: String,
    },
    /// Another replica is at it.
    #[error("another replica is founding the control plane at this moment")]
    Busy,
}

impl SecretStoreError {
    /// Whether nobody but a person can put it right.
    pub(super) fn needs_a_person(&self) -> bool {
        !matches!(self, Self::Api(_) | Self::Busy)
    }
}
