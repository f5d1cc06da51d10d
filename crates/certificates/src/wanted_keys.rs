//! Which keys and CAs a control plane is to have, as an operator asks for it: numbers that only ever go up. Pure.
//! Refuses to say when: a rotation takes the time that it takes.

use serde::{Deserialize, Serialize};

use crate::Rotated;

/// The numbers that are wanted, from 1. A rotation begins when one is above the number that is in use; a lower one changes
/// nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WantedKeys {
    /// Number of the service-account key.
    pub service_account_key: u64,
    /// Number of the encryption key.
    pub encryption_key: u64,
    /// Number of the CAs.
    pub certificate_authorities: u64,
}

impl WantedKeys {
    /// The number that is wanted of `what`.
    #[must_use]
    pub const fn of(self, what: Rotated) -> u64 {
        match what {
            Rotated::ServiceAccount => self.service_account_key,
            Rotated::Encryption => self.encryption_key,
            Rotated::CertificateAuthorities => self.certificate_authorities,
        }
    }

    /// The same with another number of `what`.
    #[must_use]
    pub const fn with(self, what: Rotated, number: u64) -> Self {
        match what {
            Rotated::ServiceAccount => Self { service_account_key: number, ..self },
            Rotated::Encryption => Self { encryption_key: number, ..self },
            Rotated::CertificateAuthorities => Self { certificate_authorities: number, ..self },
        }
    }

    /// The higher number of both for each.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Rotated::ALL
            .into_iter()
            .fold(self, |wanted, what| wanted.with(what, self.of(what).max(other.of(what))))
    }
}
