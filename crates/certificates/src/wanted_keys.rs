//! Which keys a control plane is to have, as an operator asks for it: numbers that only ever go up. Pure.
//! Refuses to say when: a rotation takes the time that it takes.

use serde::{Deserialize, Serialize};

use crate::SharedKeySet;

/// The numbers of the wanted keys, from 1. A rotation begins when one is above the number of the key in use; a lower one
/// changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WantedKeys {
    /// Number of the service-account key.
    pub service_account_key: u64,
    /// Number of the encryption key.
    pub encryption_key: u64,
}

impl WantedKeys {
    /// The number of a set that can be rotated; 0 for others.
    #[must_use]
    pub const fn of(self, set: SharedKeySet) -> u64 {
        match set {
            SharedKeySet::ServiceAccount => self.service_account_key,
            SharedKeySet::Encryption => self.encryption_key,
            SharedKeySet::ClusterSigning => 0,
        }
    }

    /// The same with another number of a set.
    #[must_use]
    pub const fn with(self, set: SharedKeySet, number: u64) -> Self {
        match set {
            SharedKeySet::ServiceAccount => Self { service_account_key: number, ..self },
            SharedKeySet::Encryption => Self { encryption_key: number, ..self },
            SharedKeySet::ClusterSigning => self,
        }
    }

    /// The higher number of both for each key.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            service_account_key: self.service_account_key.max(other.service_account_key),
            encryption_key: self.encryption_key.max(other.encryption_key),
        }
    }
}
