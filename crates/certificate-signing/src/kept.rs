//! What is kept in a place of its own: each CA, each shared key set; and which of them are replaced together. Pure.
//! Refuses the cluster-signing set: it is the cluster CA.

use std::fmt;

use certificates::{Authority, Rotated, SharedKeySet};

/// One CA or shared key set, with a file or Secret of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kept {
    Authority(Authority),
    Shared(SharedKeySet),
}

impl Kept {
    /// All that there is, in the order in which all replicas make, and replace, them.
    pub(crate) const ALL: &'static [Self; 6] = &[
        Self::Authority(Authority::Cluster),
        Self::Authority(Authority::Etcd),
        Self::Authority(Authority::EtcdPeer),
        Self::Authority(Authority::FrontProxy),
        Self::Shared(SharedKeySet::ServiceAccount),
        Self::Shared(SharedKeySet::Encryption),
    ];

    /// Its name in the manifest, in seals and in files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Authority(authority) => authority.name(),
            Self::Shared(set) => set.name(),
        }
    }

    /// What is replaced together.
    pub(crate) const fn of(what: Rotated) -> &'static [Self] {
        let (authorities, sets) = Self::ALL.split_at(Authority::ALL.len());
        match what {
            Rotated::CertificateAuthorities => authorities,
            Rotated::ServiceAccount => sets.split_at(1).0,
            Rotated::Encryption => sets.split_at(1).1,
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(authority) => write!(formatter, "{authority} CA"),
            Self::Shared(set) => write!(formatter, "{set} keys"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_kept_is_replaced_by_one_wish() {
        let all: Vec<Kept> = [Rotated::CertificateAuthorities, Rotated::ServiceAccount, Rotated::Encryption]
            .into_iter()
            .flat_map(|what| Kept::of(what).to_vec())
            .collect();
        assert_eq!(all, Kept::ALL);
        assert_eq!(Kept::of(Rotated::Encryption), [Kept::Shared(SharedKeySet::Encryption)]);
    }
}
