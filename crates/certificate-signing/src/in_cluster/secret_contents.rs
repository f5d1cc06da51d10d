//! What lies in each Secret of the set, read and checked. Pure.
//! Refuses what is missing, damaged, mismatched or other than the manifest says, naming the Secret.

use std::collections::BTreeMap;

use certificates::{SharedKeySet, SharedKeys, sha256_hex};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use naming_contract::files;
use time::OffsetDateTime;

use super::secret_set::ORDER;
use super::secret_store_error::SecretStoreError;
use crate::AuthorityKeys;
use crate::authority_keys::{PairError, SigningAuthority};
use crate::founding::{FORMAT_VERSION, MANIFEST, Manifest, json};
use crate::kept::Kept;
use crate::rotation::StoredKeys;

/// Where the rotation of the set stands.
const ROTATION: &str = "rotation.json";
/// Vouches for a set that was rotated.
const SEAL: &str = "seal";

/// Keys and values of one Secret.
pub(super) type Data = BTreeMap<String, ByteString>;

/// The Secrets of a set, those that are there.
#[derive(Clone, Copy)]
pub(super) struct Contents<'a> {
    pub(super) secrets: &'a BTreeMap<Kept, Secret>,
    /// Namespace and name of each.
    pub(super) named: &'a dyn Fn(Kept) -> String,
}

impl Contents<'_> {
    /// Whether the set was whole once.
    pub(super) fn are_sealed(&self) -> bool {
        self.secrets.get(&ORDER[0]).is_some_and(|first| data(first).contains_key(MANIFEST))
    }

    /// The first Secret with the manifest of a set that is whole; none when there is no first one.
    pub(super) fn sealed(&self, now: OffsetDateTime) -> Result<Option<Secret>, SecretStoreError> {
        self.assemble()?;
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            founded: now,
            sha256: self
                .secrets
                .iter()
                .map(|(kept, secret)| (kept.name().to_owned(), fingerprint_of(data(secret))))
                .collect(),
        };
        let mut first = self.secrets.get(&ORDER[0]).cloned();
        if let Some(first) = &mut first {
            first.data.get_or_insert_default().insert(MANIFEST.to_owned(), ByteString(json(&manifest)));
        }
        Ok(first)
    }

    /// The keys, if all that is there is whole and what the manifest says.
    pub(super) fn assemble(&self) -> Result<AuthorityKeys, SecretStoreError> {
        let manifest = self.manifest()?;
        let founding = self.founding();
        let mut stored = BTreeMap::new();
        for (kept, secret) in self.secrets {
            let content = self.stored_keys(*kept, data(secret))?;
            let sealed = content.is_sealed(*kept, &founding);
            stored.insert(*kept, content);
            match sealed {
                // The manifest knows the founding alone.
                Some(true) => continue,
                Some(false) => return Err(SecretStoreError::Swapped { secret: (self.named)(*kept) }),
                None => {}
            }
            let known = manifest.as_ref().map(|manifest| manifest.sha256.get(kept.name()));
            if known.is_some_and(|known| known != Some(&fingerprint_of(data(secret)))) {
                // A pair that is none says more than that it is another.
                if let (Kept::Authority(_), Err(error)) = (kept, SigningAuthority::of(&stored[kept])) {
                    return Err(self.no_pair(*kept, error));
                }
                return Err(SecretStoreError::Swapped { secret: (self.named)(*kept) });
            }
        }
        AuthorityKeys::assemble(stored, founding)
            .map_err(|(authority, error)| self.no_pair(Kept::Authority(authority), error))
    }

    /// Fingerprint of the manifest; empty as long as there is none.
    fn founding(&self) -> String {
        let first = self.secrets.get(&ORDER[0]);
        first.and_then(|first| data(first).get(MANIFEST)).map_or_else(String::new, |it| sha256_hex(&it.0))
    }

    /// One shared set or CA as it lies in its Secret; the seal is checked by who knows the founding.
    pub(super) fn stored_keys(&self, kept: Kept, data: &Data) -> Result<StoredKeys, SecretStoreError> {
        let rotation = match data.get(ROTATION) {
            Some(content) => Some(
                serde_json::from_slice(&content.0)
                    .map_err(|error| self.damaged(kept, format!("{ROTATION}: {error}")))?,
            ),
            None => None,
        };
        let seal = data.contains_key(SEAL).then(|| self.text(kept, data, SEAL)).transpose()?;
        let mut keys = match kept {
            Kept::Shared(set) => self.shared_keys(kept, set, data)?,
            // As founded it has a pair and nothing else.
            Kept::Authority(_) if seal.is_none() => {
                let (certificate, key) = (
                    self.text(kept, data, files::LEAF_CERTIFICATE)?,
                    self.text(kept, data, files::LEAF_KEY)?,
                );
                return Ok(StoredKeys { rotation, ..StoredKeys::founded_authority(certificate, key) });
            }
            Kept::Authority(_) => self.shared_keys(kept, SharedKeySet::ClusterSigning, data)?,
        };
        if let Kept::Authority(_) = kept {
            keys.files.insert(StoredKeys::BUNDLE.to_owned(), self.text(kept, data, StoredKeys::BUNDLE)?);
        }
        Ok(StoredKeys { keys, rotation, seal })
    }

    fn manifest(&self) -> Result<Option<Manifest>, SecretStoreError> {
        let Some(content) = self.secrets.get(&ORDER[0]).and_then(|first| data(first).get(MANIFEST)) else {
            return Ok(None);
        };
        let manifest: Manifest = serde_json::from_slice(&content.0)
            .map_err(|error| self.damaged(ORDER[0], format!("{MANIFEST}: {error}")))?;
        if manifest.format_version == FORMAT_VERSION {
            return Ok(Some(manifest));
        }
        let (secret, found) = ((self.named)(ORDER[0]), manifest.format_version);
        Err(SecretStoreError::Version { secret, found, known: FORMAT_VERSION })
    }

    fn no_pair(&self, kept: Kept, error: PairError) -> SecretStoreError {
        match error {
            PairError::Certificate(why) => self.damaged(kept, format!("tls.crt: {why}")),
            PairError::Key(why) => self.damaged(kept, format!("tls.key: {why}")),
            PairError::Mismatch => SecretStoreError::Mismatch { secret: (self.named)(kept) },
        }
    }

    fn shared_keys(
        &self,
        kept: Kept,
        set: SharedKeySet,
        data: &Data,
    ) -> Result<SharedKeys, SecretStoreError> {
        let generation = self.text(kept, data, SharedKeySet::GENERATION)?;
        let generation = generation
            .trim()
            .parse()
            .map_err(|_| self.damaged(kept, format!("{} is no number", SharedKeySet::GENERATION)))?;
        let file = |name: &&str| Ok(((*name).to_owned(), self.text(kept, data, name)?));
        let files = set.files().iter().map(file).collect::<Result<_, SecretStoreError>>()?;
        Ok(SharedKeys { generation, files })
    }

    fn text(&self, kept: Kept, data: &Data, key: &str) -> Result<String, SecretStoreError> {
        let content = data.get(key).filter(|content| !content.0.is_empty());
        let content = content.ok_or_else(|| self.damaged(kept, format!("it has no {key}")))?;
        String::from_utf8(content.0.clone()).map_err(|_| self.damaged(kept, format!("{key} is no text")))
    }

    fn damaged(&self, kept: Kept, why: String) -> SecretStoreError {
        SecretStoreError::Damaged { secret: (self.named)(kept), why }
    }
}

/// What is in a Secret but for the manifest.
pub(super) fn without_manifest(secret: &Secret) -> Option<Data> {
    let mut data = secret.data.clone()?;
    data.remove(MANIFEST);
    Some(data)
}

fn data(secret: &Secret) -> &Data {
    static NONE: Data = BTreeMap::new();
    secret.data.as_ref().unwrap_or(&NONE)
}

/// What a CA's Secret holds.
pub(super) fn pair_data(certificate: String, key: String) -> Data {
    BTreeMap::from([
        (files::LEAF_CERTIFICATE.to_owned(), ByteString(certificate.into_bytes())),
        (files::LEAF_KEY.to_owned(), ByteString(key.into_bytes())),
    ])
}

/// What the Secret of a CA or set holds, but for the manifest.
pub(super) fn stored_data(kept: Kept, stored: &StoredKeys) -> Data {
    let mut data = shared_data(stored.keys.clone());
    if matches!(kept, Kept::Authority(_)) && stored.seal.is_none() {
        data.remove(SharedKeySet::GENERATION);
    }
    if let Some(rotation) = &stored.rotation {
        data.insert(ROTATION.to_owned(), ByteString(json(rotation)));
    }
    if let Some(seal) = &stored.seal {
        data.insert(SEAL.to_owned(), ByteString(seal.clone().into_bytes()));
    }
    data
}

/// What a shared key set's Secret holds as it is founded.
pub(super) fn shared_data(keys: SharedKeys) -> Data {
    let generation =
        (SharedKeySet::GENERATION.to_owned(), ByteString(keys.generation.to_string().into_bytes()));
    let files = keys.files.into_iter().map(|(name, content)| (name, ByteString(content.into_bytes())));
    files.chain([generation]).collect()
}

/// Of all keys and values but the manifest.
fn fingerprint_of(data: &Data) -> String {
    let entries = data.iter().filter(|(key, _)| *key != MANIFEST);
    let mut whole = Vec::new();
    for (key, value) in entries {
        whole.extend_from_slice(sha256_hex(key.as_bytes()).as_bytes());
        whole.extend_from_slice(sha256_hex(&value.0).as_bytes());
    }
    sha256_hex(&whole)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::founding::{found_authority, found_shared_keys};
    use crate::rotation::{Stage, changed};

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    type Secrets = BTreeMap<Kept, Secret>;

    fn founded() -> Secrets {
        let mut secrets: Secrets = ORDER
            .into_iter()
            .map(|kept| {
                let data = match kept {
                    Kept::Authority(authority) => {
                        let (certificate, key) = found_authority(authority, 1, NOW).unwrap();
                        pair_data(certificate, key)
                    }
                    Kept::Shared(set) => shared_data(found_shared_keys(set).unwrap()),
                };
                (kept, Secret { data: Some(data), ..Secret::default() })
            })
            .collect();
        let first = with(&secrets, |contents| contents.sealed(NOW).unwrap().unwrap());
        secrets.insert(ORDER[0], first);
        secrets
    }

    fn with<T>(secrets: &Secrets, look: impl FnOnce(Contents<'_>) -> T) -> T {
        look(Contents { secrets, named: &|kept| format!("tenants/demo-{}", kept.name()) })
    }

    fn refusal(secrets: &Secrets) -> String {
        with(secrets, |contents| contents.assemble().unwrap_err()).to_string()
    }

    fn values(secrets: &mut Secrets, kept: Kept) -> &mut Data {
        secrets.get_mut(&kept).unwrap().data.get_or_insert_default()
    }

    #[test]
    fn a_set_that_was_made_is_read_again() {
        let secrets = founded();
        let (sealed, keys) = with(&secrets, |contents| (contents.are_sealed(), contents.assemble().unwrap()));
        assert!(sealed);
        assert!(certificates::Authority::ALL.iter().all(|it| keys.bundle(*it).contains("CERTIFICATE")));
        assert!(
            SharedKeySet::ALL.iter().all(|set| keys.shared(*set).is_some_and(|keys| keys.generation == 1))
        );
    }

    #[test]
    fn every_value_that_is_missing_cut_or_changed_is_found_and_its_secret_named() {
        let whole = founded();
        for kept in ORDER {
            let keys: Vec<String> =
                data(&whole[&kept]).keys().filter(|key| *key != MANIFEST).cloned().collect();
            for key in keys {
                let spoilt = |spoil: fn(&mut Vec<u8>)| {
                    let mut secrets = whole.clone();
                    spoil(&mut values(&mut secrets, kept).get_mut(&key).unwrap().0);
                    refusal(&secrets)
                };
                let mut without = whole.clone();
                values(&mut without, kept).remove(&key);
                for told in [
                    refusal(&without),
                    spoilt(Vec::clear),
                    spoilt(|value| value.truncate(value.len() / 2)),
                    spoilt(|value| value.push(b'9')),
                ] {
                    assert!(told.contains(&format!("tenants/demo-{}", kept.name())), "{key}: {told}");
                    assert!(told.contains("backup"), "{key}: {told}");
                }
            }
        }
    }

    #[test]
    fn pairs_of_others_are_refused_even_when_they_are_whole() {
        let (ours, theirs) = (founded(), founded());
        for kept in ORDER {
            let mut secrets = ours.clone();
            let manifest = data(&ours[&kept]).get(MANIFEST).cloned();
            *values(&mut secrets, kept) = data(&theirs[&kept]).clone();
            if let Some(manifest) = manifest {
                values(&mut secrets, kept).insert(MANIFEST.to_owned(), manifest);
            }
            let told = refusal(&secrets);
            assert!(told.contains("other keys than those"), "{told}");
        }
        let mut secrets = ours;
        let key = data(&theirs[&ORDER[1]])[files::LEAF_KEY].clone();
        values(&mut secrets, ORDER[1]).insert(files::LEAF_KEY.to_owned(), key);
        assert!(refusal(&secrets).contains("tls.key is not the key of tls.crt"));
    }

    #[test]
    fn a_rotated_set_is_vouched_for_by_its_seal() {
        let kept = Kept::Shared(SharedKeySet::ServiceAccount);
        let mut secrets = founded();
        let keys = with(&secrets, |contents| contents.assemble().unwrap());
        let founded = keys.stored(kept).unwrap();
        let next = changed(kept, &founded, Stage::Introduced, keys.founding(), NOW);
        let next = next.unwrap();
        *values(&mut secrets, kept) = stored_data(kept, &next);
        let read = with(&secrets, |contents| contents.assemble().unwrap());
        assert_eq!(read.stored(kept), Some(next));

        values(&mut secrets, kept).insert("generation".to_owned(), ByteString(b"3".to_vec()));
        assert!(refusal(&secrets).contains("demo-service-account"));
        values(&mut secrets, kept).remove(SEAL);
        assert!(refusal(&secrets).contains("demo-service-account"));
    }

    #[test]
    fn a_rotated_ca_lies_in_one_secret_beside_the_manifest() {
        let kept = ORDER[0];
        let mut secrets = founded();
        let keys = with(&secrets, |contents| contents.assemble().unwrap());
        let before = keys.stored(kept).unwrap();
        assert_eq!(Some(&stored_data(kept, &before)), without_manifest(&secrets[&kept]).as_ref());
        let next = changed(kept, &before, Stage::Introduced, keys.founding(), NOW).unwrap();
        let manifest = data(&secrets[&kept])[MANIFEST].clone();
        *values(&mut secrets, kept) = stored_data(kept, &next);
        values(&mut secrets, kept).insert(MANIFEST.to_owned(), manifest);
        let read = with(&secrets, |contents| contents.assemble().unwrap());
        assert_eq!(read.stored(kept), Some(next));
        assert_eq!(read.founding(), keys.founding());

        let mut edited = secrets.clone();
        let bundle = data(&secrets[&kept])[files::LEAF_CERTIFICATE].clone();
        values(&mut edited, kept).insert(StoredKeys::BUNDLE.to_owned(), bundle);
        assert!(refusal(&edited).contains("demo-cluster"));
        values(&mut secrets, kept).remove(SEAL);
        assert!(refusal(&secrets).contains("demo-cluster"));
    }

    #[test]
    fn a_set_of_a_later_version_is_left_alone() {
        let mut secrets = founded();
        let manifest = &mut values(&mut secrets, ORDER[0]).get_mut(MANIFEST).unwrap().0;
        let text = String::from_utf8(manifest.clone()).unwrap();
        *manifest = text.replace("\"formatVersion\": 1", "\"formatVersion\": 2").into_bytes();
        assert!(refusal(&secrets).contains("format version 2"));
    }
}
