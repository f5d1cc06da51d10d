//! What is published about shared keys and CAs beside the trust bundles: numbers by which a holder knows that there is
//! news, and who signs. Pure.
//! Refuses everything secret: whoever reads a bundle may read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Authority, SharedKeySet};

/// The numbers that are published. Whoever sees a higher one than he has asks the certificate-authority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishedGenerations {
    /// What is handed out of each set, and of each CA ([`Self::of_authority`]).
    pub key_sets: BTreeMap<String, u64>,
    /// Fingerprint of the certificate with which each CA signs: a leaf of another is due. Changes with a number alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signers: BTreeMap<String, String>,
    /// The generation of the encryption keys with which every stored object must be written anew, while that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite_stored: Option<u64>,
}

impl PublishedGenerations {
    /// The generation under which cluster-bootstrap tells that it has written every stored object anew.
    pub const REWRITTEN: &str = "stored-secrets";

    /// The name of a CA's generation among those of the sets.
    #[must_use]
    pub fn of_authority(authority: Authority) -> String {
        format!("ca-{authority}")
    }

    /// Reads what was published; what is none says nothing.
    #[must_use]
    pub fn read(content: &[u8]) -> Self {
        serde_json::from_slice(content).unwrap_or_default()
    }

    /// As it is published.
    #[must_use]
    pub fn rendered(&self) -> String {
        // Numbers and names cannot fail to serialize.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Whether this says more than what was published: a higher number, or the same and another wish. A wish for what is handed
    /// out stands: who published it has waited longer, and when it is fulfilled the number rises.
    #[must_use]
    pub fn is_ahead_of(&self, published: &[u8]) -> bool {
        let published = Self::read(published);
        let known = |set: &String| published.key_sets.get(set).copied().unwrap_or_default();
        let ahead = self.key_sets.iter().any(|(set, number)| *number > known(set));
        let behind = self.key_sets.iter().any(|(set, number)| *number < known(set));
        let stands = published.rewrite_stored.is_some()
            && published.rewrite_stored.as_ref() == self.key_sets.get(SharedKeySet::Encryption.name());
        !behind && (ahead || self.rewrite_stored != published.rewrite_stored && !stands)
    }

    /// Whether what was published says more than this.
    #[must_use]
    pub fn is_behind(&self, published: &[u8]) -> bool {
        let published = Self::read(published);
        published.key_sets.iter().any(|(set, number)| self.key_sets.get(set).is_some_and(|own| own < number))
    }

    /// Whether there is news of `set` for who has generation `known`.
    #[must_use]
    pub fn has_news(&self, set: SharedKeySet, known: Option<u64>) -> bool {
        self.key_sets.get(set.name()).is_some_and(|published| known.is_none_or(|known| known < *published))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_higher_number_is_news() {
        let key_sets = BTreeMap::from([(SharedKeySet::ServiceAccount.name().to_owned(), 3)]);
        let published = PublishedGenerations { key_sets, ..PublishedGenerations::default() };
        let read = PublishedGenerations::read(published.rendered().as_bytes());
        assert_eq!(read, published);
        let news = |known| read.has_news(SharedKeySet::ServiceAccount, known);
        assert_eq!([None, Some(2), Some(3), Some(4)].map(news), [true, true, false, false]);
        assert!(!read.has_news(SharedKeySet::Encryption, None));
        assert_eq!(PublishedGenerations::read(b"{"), PublishedGenerations::default());

        let later = |number, rewrite_stored| {
            let key_sets = BTreeMap::from([(SharedKeySet::ServiceAccount.name().to_owned(), number)]);
            let later = PublishedGenerations { key_sets, rewrite_stored, ..PublishedGenerations::default() };
            later.is_ahead_of(published.rendered().as_bytes())
        };
        assert!(later(4, None) && later(3, Some(3)));
        assert!(!later(3, None) && !later(2, Some(2)));
        let encryption = |rewrite_stored| PublishedGenerations {
            key_sets: BTreeMap::from([(SharedKeySet::Encryption.name().to_owned(), 3)]),
            rewrite_stored,
            ..PublishedGenerations::default()
        };
        let takes_back = |wish| encryption(None).is_ahead_of(encryption(wish).rendered().as_bytes());
        assert!(!takes_back(Some(3)) && takes_back(Some(2)) && !takes_back(None));
        let behind = |content: &str| published.is_behind(content.as_bytes());
        assert!(behind("{\"keySets\":{\"service-account\":4}}"));
        assert!(!behind("{\"keySets\":{\"service-account\":3,\"unknown\":9}}") && !behind("{}"));
    }
}
