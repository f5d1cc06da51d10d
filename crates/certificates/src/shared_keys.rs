//! Keys that several processes must share, and the names of their files. Pure.
//! Refuses their contents: those are made by certificate-signing and only carried here.

use std::fmt;
use std::str::FromStr;

use health_endpoints::ReloadBehaviour;
use serde::{Deserialize, Serialize};

use crate::UnknownName;

/// A set of keys that several processes share, as a numbered generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedKeySet {
    /// Signs and verifies `ServiceAccount` tokens.
    ServiceAccount,
    /// Encrypts Secrets at rest in etcd.
    Encryption,
    /// The cluster CA's pair, with which the controller-manager signs `CertificateSigningRequest`s. Whoever steals it
    /// can make himself any client of the hosted cluster.
    ClusterSigning,
}

/// A shared key set as a component needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysNeeded {
    /// Which.
    pub set: SharedKeySet,
    /// How a new generation is taken up.
    pub reload: ReloadBehaviour,
    /// The files that the child reads: only when one of them is another does a new generation change anything for it.
    pub files: &'static [&'static str],
}

impl KeysNeeded {
    /// All files of `set`.
    #[must_use]
    pub const fn all_of(set: SharedKeySet, reload: ReloadBehaviour) -> Self {
        Self { set, reload, files: set.files() }
    }
}

impl SharedKeySet {
    /// All sets.
    pub const ALL: [Self; 3] = [Self::ServiceAccount, Self::Encryption, Self::ClusterSigning];
    /// File with the set's generation, in decimal.
    pub const GENERATION: &str = "generation";
    /// File of the service-account set: all public keys, PEM, concatenated.
    pub const VERIFY: &str = "verify.pub";
    /// File of the service-account set: the private key in use, PEM.
    pub const SIGNING: &str = "signing.key";
    /// File of the encryption set: a list of {name, secret}; the first writes, all read.
    pub const ENCRYPTION: &str = "keys.json";
    /// File of the cluster-signing set: exactly one certificate, PEM.
    pub const CERTIFICATE: &str = "tls.crt";
    /// File of the cluster-signing set: its private key, PEM.
    pub const CERTIFICATE_KEY: &str = "tls.key";

    /// Its name in URLs and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service-account",
            Self::Encryption => "encryption",
            Self::ClusterSigning => "cluster-signing",
        }
    }

    /// The files of the set, besides the generation.
    #[must_use]
    pub const fn files(self) -> &'static [&'static str] {
        match self {
            Self::ServiceAccount => &[Self::VERIFY, Self::SIGNING],
            Self::Encryption => &[Self::ENCRYPTION],
            Self::ClusterSigning => &[Self::CERTIFICATE, Self::CERTIFICATE_KEY],
        }
    }
}

impl FromStr for SharedKeySet {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|set| set.name() == name).ok_or_else(|| UnknownName {
            kind: "shared key set",
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

impl fmt::Display for SharedKeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
