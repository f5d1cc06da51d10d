//! The CA keys and shared keys of a control plane, whole and checked pair by pair; where they are kept is the stores'.
//! Refuses a CA whose key is not its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use certificates::{Authority, LeafFacts, SharedKeySet, SharedKeys};
use rcgen::{Issuer, KeyPair};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::rotation::StoredKeys;

/// Whether the keys were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This call made them.
    Founded,
    /// They were there.
    Found,
}

/// All CA keys and shared keys of a control plane. Shared keys change while they are rotated.
pub struct AuthorityKeys {
    authorities: BTreeMap<Authority, SigningAuthority>,
    stored: RefCell<BTreeMap<SharedKeySet, StoredKeys>>,
    /// Fingerprint of the manifest: which control plane this is.
    founding: String,
    /// Until when what is here is what is stored; none where nobody else writes.
    fresh_until: Cell<Option<Instant>>,
}

/// One CA with its key.
pub(crate) struct SigningAuthority {
    pub(crate) certificate_pem: String,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

/// Why a certificate and a key make no CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PairError {
    Certificate(String),
    Key(String),
    Mismatch,
}

impl AuthorityKeys {
    /// Puts together what a store has read. `founding` is the fingerprint of the manifest.
    pub(crate) fn assemble(
        authorities: BTreeMap<Authority, SigningAuthority>,
        stored: BTreeMap<SharedKeySet, StoredKeys>,
        founding: String,
    ) -> Self {
        Self { authorities, stored: RefCell::new(stored), founding, fresh_until: Cell::new(None) }
    }

    pub(crate) fn authority(&self, authority: Authority) -> Option<&SigningAuthority> {
        self.authorities.get(&authority)
    }

    /// What is handed out. The cluster-signing set is the cluster CA itself.
    pub(crate) fn shared(&self, set: SharedKeySet) -> Option<SharedKeys> {
        if set == SharedKeySet::ClusterSigning {
            return self.authorities.get(&Authority::Cluster).map(SigningAuthority::as_shared_keys);
        }
        self.stored.borrow().get(&set).map(|stored| stored.keys.clone())
    }

    /// A set that is stored, with where its rotation stands.
    pub(crate) fn stored(&self, set: SharedKeySet) -> Option<StoredKeys> {
        self.stored.borrow().get(&set).cloned()
    }

    /// Goes on with what is stored now.
    pub(crate) fn adopt(&self, set: SharedKeySet, stored: StoredKeys) {
        self.stored.borrow_mut().insert(set, stored);
    }

    pub(crate) fn founding(&self) -> &str {
        &self.founding
    }

    /// Says that what is here is what is stored, and for how long that may be believed.
    pub(crate) fn seen_now(&self, good_for: Duration) {
        self.fresh_until.set(Some(Instant::now() + good_for));
    }

    /// Whether others may have stored something else meanwhile: then nothing is handed out.
    pub(crate) fn are_stale(&self) -> bool {
        self.fresh_until.get().is_some_and(|until| Instant::now() >= until)
    }

    /// The trust bundle of a CA, PEM: its certificate, and while it is replaced its successor's too.
    #[must_use]
    pub fn bundle(&self, authority: Authority) -> &str {
        self.authorities.get(&authority).map_or("", |known| known.certificate_pem.as_str())
    }
}

impl SigningAuthority {
    /// Reads a pair, PEM.
    pub(crate) fn of(certificate_pem: String, key_pem: &str) -> Result<Self, PairError> {
        let key =
            KeyPair::from_pem(key_pem).map_err(|_| PairError::Key("it is no private key".to_owned()))?;
        let certificate = |why: &dyn fmt::Display| PairError::Certificate(why.to_string());
        let facts = LeafFacts::parse(certificate_pem.as_bytes(), Some(key_pem.as_bytes()), None)
            .map_err(|error| certificate(&error))?;
        if !facts.key_matches {
            return Err(PairError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(|error| certificate(&error))?;
        Ok(Self { certificate_pem, not_before: facts.not_before, not_after: facts.not_after, issuer })
    }

    fn as_shared_keys(&self) -> SharedKeys {
        let files = BTreeMap::from([
            (SharedKeySet::CERTIFICATE.to_owned(), self.certificate_pem.clone()),
            (SharedKeySet::CERTIFICATE_KEY.to_owned(), self.issuer.key().serialize_pem()),
        ]);
        SharedKeys { generation: 1, files }
    }
}

impl fmt::Debug for AuthorityKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AuthorityKeys")
            .field("authorities", &self.authorities.keys())
            .finish_non_exhaustive()
    }
}
