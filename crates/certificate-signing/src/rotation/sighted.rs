//! An instance that exists, and what it says of itself: which keys and CAs it has in use, against those that are handed
//! out. Pure. Refuses to take silence for consent.

use std::collections::BTreeSet;

use certificates::{Authority, SharedKeySet};
use health_endpoints::{AuthorityInUse, StatusDocument};
use naming_contract::Component;

use crate::AuthorityKeys;
use crate::authority_keys::SigningAuthority;

/// An instance that exists, and what it says of itself, if it does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighted {
    pub(crate) name: String,
    pub(crate) component: Component,
    pub(crate) document: Option<StatusDocument>,
}

const NO_ANSWER: &str = "no answer";

impl Sighted {
    pub(crate) fn generation(&self, name: &str) -> Option<u64> {
        self.document.as_ref()?.key_generations.get(name).copied()
    }

    /// Whether it has this generation of a set in use, or what instead.
    pub(crate) fn has_keys(&self, set: SharedKeySet, generation: u64) -> Result<(), String> {
        match self.generation(set.name()) {
            Some(known) if known >= generation => Ok(()),
            Some(known) => Err(format!("generation {known}")),
            None => Err(NO_ANSWER.to_owned()),
        }
    }

    /// Whether it trusts what is published of every CA that it has to do with, shows leaves of none but the CA that signs, and
    /// signs with that one if it signs; or what instead.
    pub(crate) fn has_authorities(&self, keys: &AuthorityKeys) -> Result<(), String> {
        let Some(document) = &self.document else { return Err(NO_ANSWER.to_owned()) };
        if document.authorities.is_empty() {
            return Err("it does not tell which CAs it has in use".to_owned());
        }
        for (name, in_use) in &document.authorities {
            let owner = name.split_once('/').map_or(name.as_str(), |(owner, _)| owner);
            let known = Authority::ALL.into_iter().find(|authority| authority.name() == owner);
            let Some(present) = known.and_then(|known| keys.authority(known)) else { continue };
            agrees(in_use, &present).map_err(|why| format!("{name}: {why}"))?;
        }
        if self.component == Component::KubeControllerManager {
            let signing = SharedKeySet::ClusterSigning;
            let generation = keys.shared(signing).map_or(1, |keys| keys.generation);
            self.has_keys(signing, generation)
                .map_err(|_| "it still signs certificate requests with the old CA".to_owned())?;
        }
        Ok(())
    }
}

/// A bundle is the same whatever its order.
fn agrees(in_use: &AuthorityInUse, present: &SigningAuthority) -> Result<(), &'static str> {
    let trusted: BTreeSet<&String> = in_use.trusted.iter().collect();
    let published: BTreeSet<&String> = present.trusted.iter().collect();
    if !in_use.trusted.is_empty() && trusted != published {
        return Err("another trust bundle is in use");
    }
    if in_use.signed_by.iter().any(|signer| *signer != present.fingerprint) {
        return Err("certificates of another CA are in use");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use health_endpoints::StatusBoard;
    use time::macros::datetime;

    use super::*;
    use crate::founding::found_authority;
    use crate::kept::Kept;
    use crate::rotation::{Stage, StoredKeys, changed};

    #[test]
    fn only_who_trusts_what_is_published_and_shows_what_is_signed_now_has_confirmed() {
        let now = datetime!(2026-11-22 12:00 UTC);
        let stored = Kept::ALL.iter().filter_map(|kept| {
            let Kept::Authority(authority) = kept else { return None };
            let (certificate, key) = found_authority(*authority, 1, now).unwrap();
            Some((*kept, StoredKeys::founded_authority(certificate, key)))
        });
        let keys = AuthorityKeys::assemble(stored.collect::<BTreeMap<_, _>>(), String::new()).unwrap();
        let kept = Kept::Authority(Authority::Cluster);
        let enter = |stage| {
            keys.adopt(kept, changed(kept, &keys.stored(kept).unwrap(), stage, "", now).unwrap()).unwrap();
        };
        let old = keys.authority(Authority::Cluster).unwrap().fingerprint.clone();
        enter(Stage::Introduced);
        let both = keys.authority(Authority::Cluster).unwrap().trusted.clone();
        let board = StatusBoard::new("kcm-0", Component::KubeControllerManager, "1");
        let told = || {
            let document = Some(board.document());
            let sighted =
                Sighted { name: "kcm-0".into(), component: Component::KubeControllerManager, document };
            sighted.has_authorities(&keys).err().unwrap_or_default()
        };
        let has = |trusted: &[String], signer: &String| {
            let in_use = AuthorityInUse { trusted: trusted.to_vec(), signed_by: vec![signer.clone()] };
            board.authority("cluster", in_use);
        };
        assert_eq!(told(), "it does not tell which CAs it has in use");
        has(std::slice::from_ref(&old), &old);
        assert_eq!(told(), "cluster: another trust bundle is in use");
        has(&both, &old);
        assert_eq!(told(), "it still signs certificate requests with the old CA");
        board.key_generation("cluster-signing", 2);
        assert_eq!(told(), "");

        enter(Stage::Used);
        assert_eq!(told(), "cluster: certificates of another CA are in use");
        has(&both, &both[1]);
        assert_eq!(told(), "it still signs certificate requests with the old CA");
        board.key_generation("cluster-signing", 3);
        assert_eq!(told(), "");
        board.authority("cluster/kubeconfig", AuthorityInUse { trusted: both.clone(), signed_by: vec![old] });
        assert_eq!(told(), "cluster/kubeconfig: certificates of another CA are in use");

        let silent = Sighted { name: "x".into(), component: Component::Etcd, document: None };
        assert_eq!(silent.has_authorities(&keys), Err("no answer".to_owned()));
    }
}
