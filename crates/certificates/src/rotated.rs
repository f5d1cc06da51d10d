//! What can be replaced while a control plane runs: a shared key, or all CAs at once. Pure.
//! Refuses to say how.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::SharedKeySet;

/// Something that an operator can have replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotated {
    /// The key that signs the tokens of service accounts.
    ServiceAccount,
    /// The key that seals Secrets in etcd.
    Encryption,
    /// All CAs, in step: the same processes trust them, and restart once for all.
    CertificateAuthorities,
}

impl Rotated {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ServiceAccount, Self::Encryption, Self::CertificateAuthorities];

    /// Its name on /statusz; a key set's is the set's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceAccount => SharedKeySet::ServiceAccount.name(),
            Self::Encryption => SharedKeySet::Encryption.name(),
            Self::CertificateAuthorities => "certificate-authorities",
        }
    }

    /// What one of them is called beside its number, for people.
    #[must_use]
    pub const fn one(self) -> &'static str {
        match self {
            Self::ServiceAccount | Self::Encryption => "key",
            Self::CertificateAuthorities => "CA",
        }
    }

    /// All of them, for people.
    #[must_use]
    pub const fn all_of_them(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service-account keys",
            Self::Encryption => "encryption keys",
            Self::CertificateAuthorities => "certificate authorities",
        }
    }
}

impl fmt::Display for Rotated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
