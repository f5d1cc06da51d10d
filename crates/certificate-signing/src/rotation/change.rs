//! From what is stored to the next stage: makes the next key or CA, takes it into use, takes the old one away.
//! Refuses to decide when: the planner does.

use std::collections::BTreeMap;

use certificates::{Authority, SharedKeySet, SharedKeys, pem_blocks};
use rcgen::KeyPair;
use time::OffsetDateTime;

use super::planner::Stage;
use super::stored::{Rotation, StoredKeys};
use crate::MakeError;
use crate::founding::{EncryptionKey, found_authority, json, new_encryption_secret};
use crate::kept::Kept;

/// Why the set of the next stage cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Make(#[from] MakeError),
    /// What is stored does not hold what its stage needs.
    #[error("what is stored of the {kept} lacks {what}; restore it from a backup")]
    Incomplete { kept: Kept, what: &'static str },
}

/// What is stored at stage `to`, which follows the stage of `before`.
pub(crate) fn changed(
    kept: Kept,
    before: &StoredKeys,
    to: Stage,
    founding: &str,
    now: OffsetDateTime,
) -> Result<StoredKeys, ChangeError> {
    let position = before.position();
    let next_signing_key = before.rotation.as_ref().and_then(|rotation| rotation.next_signing_key.clone());
    let mut keys = before.keys.clone();
    let mut rotation = Rotation { key: position.key, stage: to, since: now, counted: None, next_signing_key };
    // Retiring hands out what is in use already; so does the end after everybody has dropped the old CA.
    if to != Stage::Retiring && position.stage != Stage::Dropped {
        keys.generation += 1;
    }
    match kept {
        Kept::Authority(of) => authority(&mut keys, &mut rotation, of, to, &before.bundle(), now)?,
        Kept::Shared(SharedKeySet::Encryption) => encryption(&mut keys, to, position.key)?,
        Kept::Shared(_) => service_account(&mut keys, &mut rotation, to)?,
    }
    if to == Stage::Settled {
        rotation.key += 1;
    }
    Ok(StoredKeys::sealed(kept, keys, rotation, founding))
}

fn service_account(keys: &mut SharedKeys, rotation: &mut Rotation, to: Stage) -> Result<(), ChangeError> {
    let lacks = |what| ChangeError::Incomplete { kept: Kept::Shared(SharedKeySet::ServiceAccount), what };
    let verify = keys.files.get(SharedKeySet::VERIFY).cloned().unwrap_or_default();
    let public_keys = public_keys(&verify);
    match to {
        Stage::Introduced => {
            let next = KeyPair::generate().map_err(|source| MakeError::Key {
                what: "the next service-account key".to_owned(),
                source,
            })?;
            let verify = format!("{}{}", public_keys.concat(), next.public_key_pem());
            keys.files.insert(SharedKeySet::VERIFY.to_owned(), verify);
            rotation.next_signing_key = Some(next.serialize_pem());
        }
        Stage::Used => {
            let next = rotation.next_signing_key.take().ok_or_else(|| lacks("the next signing key"))?;
            keys.files.insert(SharedKeySet::SIGNING.to_owned(), next);
        }
        Stage::Retiring | Stage::Dropped => {}
        Stage::Settled => {
            let newest = public_keys.last().ok_or_else(|| lacks("public keys"))?;
            keys.files.insert(SharedKeySet::VERIFY.to_owned(), newest.clone());
        }
    }
    Ok(())
}

/// The old certificate comes first in a bundle of two.
fn authority(
    keys: &mut SharedKeys,
    rotation: &mut Rotation,
    authority: Authority,
    to: Stage,
    bundle: &str,
    now: OffsetDateTime,
) -> Result<(), ChangeError> {
    let lacks = |what| ChangeError::Incomplete { kept: Kept::Authority(authority), what };
    let newest = || certificates(bundle).pop().ok_or_else(|| lacks("certificates"));
    match to {
        Stage::Introduced => {
            let (certificate, key) = found_authority(authority, rotation.key + 1, now)?;
            keys.files.insert(StoredKeys::BUNDLE.to_owned(), format!("{bundle}{certificate}"));
            rotation.next_signing_key = Some(key);
        }
        Stage::Used => {
            let next = rotation.next_signing_key.take().ok_or_else(|| lacks("the next CA's key"))?;
            keys.files.insert(SharedKeySet::CERTIFICATE.to_owned(), newest()?);
            keys.files.insert(SharedKeySet::CERTIFICATE_KEY.to_owned(), next);
        }
        Stage::Dropped => {
            keys.files.insert(StoredKeys::BUNDLE.to_owned(), newest()?);
        }
        Stage::Retiring | Stage::Settled => {}
    }
    Ok(())
}

fn public_keys(verify: &str) -> Vec<String> {
    pem_blocks(verify, "PUBLIC KEY")
}

fn certificates(bundle: &str) -> Vec<String> {
    pem_blocks(bundle, "CERTIFICATE")
}

fn encryption(keys: &mut SharedKeys, to: Stage, old: u64) -> Result<(), ChangeError> {
    let lacks = |what| ChangeError::Incomplete { kept: Kept::Shared(SharedKeySet::Encryption), what };
    let text = keys.files.get(SharedKeySet::ENCRYPTION).map_or("", String::as_str);
    let mut list: Vec<EncryptionKey> = serde_json::from_str(text).map_err(|_| lacks("a list of keys"))?;
    match to {
        Stage::Introduced => {
            list.push(EncryptionKey { name: encryption_name(old + 1), secret: new_encryption_secret()? });
        }
        // The first of the list writes.
        Stage::Used if list.len() == 2 => list.swap(0, 1),
        Stage::Used => return Err(lacks("the next key")),
        Stage::Retiring | Stage::Dropped => {}
        Stage::Settled => list.truncate(1),
    }
    let content = String::from_utf8_lossy(&json(&list)).into_owned();
    keys.files = BTreeMap::from([(SharedKeySet::ENCRYPTION.to_owned(), content)]);
    Ok(())
}

/// Stored in front of every object that is sealed with the key.
pub(crate) fn encryption_name(key: u64) -> String {
    format!("key{key}")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use certificates::LeafFacts;

    use super::*;
    use crate::authority_keys::SigningAuthority;
    use crate::founding::found_shared_keys;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const FOUNDING: &str = "this control plane";

    /// The sets of one whole rotation, the founding first.
    fn rotated(set: SharedKeySet) -> Vec<StoredKeys> {
        let mut history = vec![StoredKeys::founded(found_shared_keys(set).unwrap())];
        let set = Kept::Shared(set);
        for to in [Stage::Introduced, Stage::Used, Stage::Retiring, Stage::Settled] {
            let next = changed(set, history.last().unwrap(), to, FOUNDING, NOW).unwrap();
            assert_eq!(next.is_sealed(set, FOUNDING), Some(true));
            history.push(next);
        }
        history
    }

    #[test]
    fn a_service_account_key_is_trusted_before_it_signs_and_signs_alone_after_all() {
        let history = rotated(SharedKeySet::ServiceAccount);
        let signer = |stored: &StoredKeys| {
            KeyPair::from_pem(&stored.keys.files[SharedKeySet::SIGNING]).unwrap().public_key_pem()
        };
        let trusted = |stored: &StoredKeys| public_keys(&stored.keys.files[SharedKeySet::VERIFY]);
        let (old, new) = (signer(&history[0]), signer(&history[4]));
        assert_ne!(old, new);
        assert_eq!(
            history.iter().map(signer).collect::<Vec<_>>(),
            [&old, &old, &new, &new, &new].map(Clone::clone)
        );
        let both = vec![old.clone(), new.clone()];
        assert_eq!(
            history.iter().map(trusted).collect::<Vec<_>>(),
            [vec![old], both.clone(), both.clone(), both, vec![new]]
        );
        assert_eq!(history.iter().map(|it| it.keys.generation).collect::<Vec<_>>(), [1, 2, 3, 3, 4]);
        assert_eq!(history.iter().map(|it| it.position().in_use()).collect::<Vec<_>>(), [1, 1, 2, 2, 2]);
        let held_back =
            |it: &StoredKeys| it.rotation.as_ref().is_some_and(|it| it.next_signing_key.is_some());
        assert_eq!(history.iter().map(held_back).collect::<Vec<_>>(), [false, true, false, false, false]);
    }

    #[test]
    fn an_encryption_key_reads_before_it_writes_and_is_alone_after_all() {
        let names = |stored: &StoredKeys| {
            let list: Vec<EncryptionKey> =
                serde_json::from_str(&stored.keys.files[SharedKeySet::ENCRYPTION]).unwrap();
            list.into_iter().map(|key| key.name).collect::<Vec<_>>().join(" ")
        };
        let history = rotated(SharedKeySet::Encryption);
        assert_eq!(
            history.iter().map(names).collect::<Vec<_>>(),
            ["key1", "key1 key2", "key2 key1", "key2 key1", "key2"]
        );
        let again =
            changed(Kept::Shared(SharedKeySet::Encryption), &history[4], Stage::Introduced, FOUNDING, NOW)
                .unwrap();
        assert_eq!(names(&again), "key2 key3");
    }

    #[test]
    fn a_ca_is_trusted_before_it_signs_and_alone_after_all() {
        let kept = Kept::Authority(Authority::Etcd);
        let (certificate, key) = found_authority(Authority::Etcd, 1, NOW).unwrap();
        let mut history = vec![StoredKeys::founded_authority(certificate, key)];
        for to in [Stage::Introduced, Stage::Used, Stage::Retiring, Stage::Dropped, Stage::Settled] {
            let next = changed(kept, history.last().unwrap(), to, FOUNDING, NOW).unwrap();
            assert_eq!(next.is_sealed(kept, FOUNDING), Some(true));
            history.push(next);
        }
        let signing: Vec<_> = history.iter().map(|it| SigningAuthority::of(it).unwrap()).collect();
        let (old, new) = (signing[0].fingerprint.clone(), signing[5].fingerprint.clone());
        assert_ne!(old, new);
        let signers: Vec<&String> = signing.iter().map(|it| &it.fingerprint).collect();
        assert_eq!(signers, [&old, &old, &new, &new, &new, &new]);
        let trusted: Vec<Vec<String>> = signing.iter().map(|it| it.trusted.clone()).collect();
        let both = vec![old.clone(), new.clone()];
        assert_eq!(trusted, [vec![old], both.clone(), both.clone(), both, vec![new.clone()], vec![new]]);
        assert_eq!(history.iter().map(|it| it.keys.generation).collect::<Vec<_>>(), [1, 2, 3, 3, 4, 4]);
        assert_eq!(history.iter().map(|it| it.position().in_use()).collect::<Vec<_>>(), [1, 1, 2, 2, 2, 2]);
        let again = changed(kept, &history[5], Stage::Introduced, FOUNDING, NOW).unwrap();
        let names: Vec<String> = certificates(&again.bundle())
            .iter()
            .map(|pem| LeafFacts::parse(pem.as_bytes(), None, None).unwrap().contents.common_name)
            .collect();
        assert_eq!(names, ["pilothouse etcd CA 2", "pilothouse etcd CA 3"]);
    }

    #[test]
    fn a_seal_holds_for_one_content_one_set_and_one_control_plane() {
        let stored = rotated(SharedKeySet::ServiceAccount).pop().unwrap();
        assert_eq!(stored.is_sealed(Kept::Shared(SharedKeySet::Encryption), FOUNDING), Some(false));
        assert_eq!(stored.is_sealed(Kept::Shared(SharedKeySet::ServiceAccount), "another"), Some(false));
        let mut edited = stored.clone();
        edited.keys.generation += 1;
        assert_eq!(edited.is_sealed(Kept::Shared(SharedKeySet::ServiceAccount), FOUNDING), Some(false));
        let written: StoredKeys = serde_json::from_slice(&json(&stored)).unwrap();
        assert_eq!(written, stored);
        assert!(!format!("{stored:?}").contains("PRIVATE"));
    }
}
