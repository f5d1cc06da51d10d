//! The CA keys and shared keys of a control plane, whole and checked pair by pair; where they are kept is the stores'.
//! Refuses a CA whose key is not its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use certificates::{
    Authority, LeafFacts, SharedKeySet, SharedKeys, bundle_certificates, bundle_fingerprints,
};
use rcgen::{Issuer, KeyPair};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::kept::Kept;
use crate::rotation::StoredKeys;

/// Whether the keys were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This call made them.
    Founded,
    /// They were there.
    Found,
}

/// All CA keys and shared keys of a control plane. They change while they are rotated.
pub struct AuthorityKeys {
    stored: RefCell<BTreeMap<Kept, StoredKeys>>,
    /// What is stored of the CAs, ready to sign.
    authorities: RefCell<BTreeMap<Authority, Rc<SigningAuthority>>>,
    /// Fingerprint of the manifest: which control plane this is.
    founding: String,
    /// Until when what is here is what is stored; none where nobody else writes.
    fresh_until: Cell<Option<Instant>>,
}

/// One CA with the key that signs, and what is trusted of it.
pub(crate) struct SigningAuthority {
    pub(crate) bundle_pem: String,
    /// Fingerprint of the certificate that signs.
    pub(crate) fingerprint: String,
    /// Fingerprints of the bundle.
    pub(crate) trusted: Vec<String>,
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
    /// Puts together what a store has read. `founding` is the fingerprint of the manifest. An error names the CA that is
    /// none.
    pub(crate) fn assemble(
        stored: BTreeMap<Kept, StoredKeys>,
        founding: String,
    ) -> Result<Self, (Authority, PairError)> {
        let mut authorities = BTreeMap::new();
        for (kept, keys) in &stored {
            if let Kept::Authority(authority) = kept {
                let signing = SigningAuthority::of(keys).map_err(|error| (*authority, error))?;
                authorities.insert(*authority, Rc::new(signing));
            }
        }
        Ok(Self {
            stored: RefCell::new(stored),
            authorities: RefCell::new(authorities),
            founding,
            fresh_until: Cell::new(None),
        })
    }

    pub(crate) fn authority(&self, authority: Authority) -> Option<Rc<SigningAuthority>> {
        self.authorities.borrow().get(&authority).map(Rc::clone)
    }

    /// What is handed out. The cluster-signing set is the cluster CA itself.
    pub(crate) fn shared(&self, set: SharedKeySet) -> Option<SharedKeys> {
        if set != SharedKeySet::ClusterSigning {
            return self.stored.borrow().get(&Kept::Shared(set)).map(|stored| stored.keys.clone());
        }
        let mut keys = self.stored.borrow().get(&Kept::Authority(Authority::Cluster))?.keys.clone();
        keys.files.retain(|name, _| set.files().contains(&name.as_str()));
        Some(keys)
    }

    /// What is stored, with where its rotation stands.
    pub(crate) fn stored(&self, kept: Kept) -> Option<StoredKeys> {
        self.stored.borrow().get(&kept).cloned()
    }

    /// Goes on with what is stored now; what makes no CA changes nothing.
    pub(crate) fn adopt(&self, kept: Kept, stored: StoredKeys) -> Result<(), PairError> {
        if let Kept::Authority(authority) = kept {
            let signing = SigningAuthority::of(&stored)?;
            self.authorities.borrow_mut().insert(authority, Rc::new(signing));
        }
        self.stored.borrow_mut().insert(kept, stored);
        Ok(())
    }

    pub(crate) fn founding(&self) -> &str {
        &self.founding
    }

    /// Says that what is here was stored at `read_from`, before anything of it was read, and for how long that may be believed.
    pub(crate) fn seen(&self, read_from: Instant, good_for: Duration) {
        self.fresh_until.set(Some(read_from + good_for));
    }

    /// Whether others may have stored something else meanwhile: then nothing is handed out.
    pub(crate) fn are_stale(&self) -> bool {
        self.fresh_until.get().is_some_and(|until| Instant::now() >= until)
    }

    /// The trust bundle of a CA, PEM: its certificate, and while it is replaced both.
    #[must_use]
    pub fn bundle(&self, authority: Authority) -> String {
        self.authority(authority).map(|known| known.bundle_pem.clone()).unwrap_or_default()
    }
}

impl SigningAuthority {
    /// Reads the pair that signs, and the bundle.
    pub(crate) fn of(stored: &StoredKeys) -> Result<Self, PairError> {
        let file = |name| stored.keys.files.get(name).map_or("", String::as_str);
        let (certificate_pem, key_pem) =
            (file(SharedKeySet::CERTIFICATE), file(SharedKeySet::CERTIFICATE_KEY));
        let key =
            KeyPair::from_pem(key_pem).map_err(|_| PairError::Key("it is no private key".to_owned()))?;
        let certificate = |why: &dyn fmt::Display| PairError::Certificate(why.to_string());
        let facts = LeafFacts::parse(certificate_pem.as_bytes(), Some(key_pem.as_bytes()), None)
            .map_err(|error| certificate(&error))?;
        if !facts.key_matches {
            return Err(PairError::Mismatch);
        }
        let bundle_pem = stored.bundle();
        let own = bundle_certificates(certificate_pem.as_bytes()).map_err(|error| certificate(&error))?;
        let bundle = bundle_certificates(bundle_pem.as_bytes()).map_err(|error| certificate(&error))?;
        if !own.iter().all(|own| bundle.contains(own)) {
            return Err(certificate(&"its bundle does not hold it"));
        }
        let fingerprints =
            |pem: &str| bundle_fingerprints(pem.as_bytes()).map_err(|error| certificate(&error));
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(|error| certificate(&error))?;
        Ok(Self {
            fingerprint: fingerprints(certificate_pem)?.concat(),
            trusted: fingerprints(&bundle_pem)?,
            bundle_pem,
            not_before: facts.not_before,
            not_after: facts.not_after,
            issuer,
        })
    }
}

impl fmt::Debug for AuthorityKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AuthorityKeys").field("stored", &self.stored).finish_non_exhaustive()
    }
}
