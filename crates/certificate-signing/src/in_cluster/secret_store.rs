//! CA keys and shared keys in Secrets of the management cluster: each made once by whichever replica is first, in one
//! order for all, then only read and checked against the manifest in the first of them.
//! Refuses a set of which a part is missing, damaged or another's; it never makes one anew.

use std::collections::BTreeMap;

use certificates::bundle_certificates;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ObjectMeta;
use management_api::{Creation, ManagementApi, ManagementError, create_only, find, replace};
use naming_contract::labels::recommended;
use naming_contract::{Component, ReleaseObjects};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::secret_contents::{Contents, Data, pair_data, shared_data};
use super::secret_set::{ORDER, Step, step};
use super::secret_store_error::SecretStoreError;
use crate::founding::{found_authority, found_shared_keys};
use crate::kept::Kept;
use crate::{AuthorityKeys, Origin};

/// The type of Secrets that hold a certificate and its key.
const PAIR: &str = "kubernetes.io/tls";
/// The type of Secrets that hold anything else.
const OPAQUE: &str = "Opaque";

/// The Secrets of one release's keys.
#[derive(Debug, Clone)]
pub(crate) struct SecretStore {
    pub(crate) api: ManagementApi,
    pub(crate) objects: ReleaseObjects,
    /// Differs from process to process: the Pod's UID.
    pub(crate) creator: String,
}

/// The whole set, as it was found or made.
pub(crate) struct OpenedSecrets {
    pub(super) keys: AuthorityKeys,
    pub(super) origin: Origin,
    /// Before anything was read.
    pub(super) read_from: Instant,
    /// Byte by byte, to put back what somebody deletes.
    pub(super) contents: BTreeMap<Kept, Data>,
}

impl SecretStore {
    /// Reads the set, making it first if there is none. Replicas that do so at once end with the same.
    pub(crate) async fn open_or_found(&self, now: OffsetDateTime) -> Result<OpenedSecrets, SecretStoreError> {
        let mut origin = Origin::Found;
        let mut refused_before = false;
        // Make, seal, read; and as much again for what other replicas do meanwhile.
        for _look in 0..6 {
            let read_from = Instant::now();
            let secrets = self.read().await?;
            match step(
                &secrets.keys().copied().collect(),
                self.contents(&secrets, |contents| contents.are_sealed()),
            ) {
                Step::Read => {
                    let keys = self.contents(&secrets, |contents| contents.assemble())?;
                    let contents = secrets
                        .into_iter()
                        .map(|(kept, secret)| (kept, secret.data.unwrap_or_default()))
                        .collect();
                    return Ok(OpenedSecrets { keys, origin, read_from, contents });
                }
                Step::Seal => self.seal(&secrets, now).await?,
                Step::Make(missing) => {
                    self.refuse_lost(&secrets).await?;
                    for kept in missing {
                        if self.make(*kept, now).await? == Creation::Created {
                            origin = Origin::Founded;
                        }
                    }
                }
                // Secrets are read one after the other while another replica may be making them.
                Step::Refuse(_) if !refused_before => refused_before = true,
                Step::Refuse(missing) => {
                    let left = secrets.keys().map(|kept| kept.secret(&self.objects)).collect();
                    let missing = missing.iter().map(|kept| self.named(*kept)).collect();
                    return Err(SecretStoreError::Missing { missing, left });
                }
            }
        }
        Err(SecretStoreError::Busy)
    }

    /// Bundles outlive the Secrets only when these were deleted: uninstalling takes the bundles and leaves the Secrets.
    async fn refuse_lost(&self, secrets: &BTreeMap<Kept, Secret>) -> Result<(), SecretStoreError> {
        if !secrets.is_empty() {
            return Ok(());
        }
        let name = self.objects.trust();
        let published = find::<ConfigMap>(&self.api, &name).await?.and_then(|found| found.data);
        let bundles = published.unwrap_or_default();
        if bundles.values().any(|bundle| bundle_certificates(bundle.as_bytes()).is_ok()) {
            let config_map = format!("{}/{name}", self.api.namespace());
            return Err(SecretStoreError::Lost { config_map });
        }
        Ok(())
    }

    /// Reads what there is, the last first: what is made later is never seen without what was made before.
    async fn read(&self) -> Result<BTreeMap<Kept, Secret>, SecretStoreError> {
        let mut secrets = BTreeMap::new();
        for kept in ORDER.into_iter().rev() {
            if let Some(secret) = find::<Secret>(&self.api, &kept.secret(&self.objects)).await? {
                secrets.insert(kept, secret);
            }
        }
        Ok(secrets)
    }

    async fn make(&self, kept: Kept, now: OffsetDateTime) -> Result<Creation, SecretStoreError> {
        let data = match kept {
            Kept::Authority(authority) => {
                let (certificate, key) = found_authority(authority, 1, now)?;
                pair_data(certificate, key)
            }
            Kept::Shared(set) => shared_data(found_shared_keys(set)?),
        };
        let creation = self.write(kept, data).await?;
        if creation == Creation::Created {
            tracing::debug!(secret = self.named(kept), "made");
        }
        Ok(creation)
    }

    /// Makes one Secret with these contents, unless there is one.
    pub(super) async fn write(&self, kept: Kept, data: Data) -> Result<Creation, ManagementError> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(kept.secret(&self.objects)),
                labels: Some(recommended(Some(&self.objects), Component::CertificateAuthority)),
                ..ObjectMeta::default()
            },
            type_: Some(if matches!(kept, Kept::Authority(_)) { PAIR } else { OPAQUE }.to_owned()),
            data: Some(data),
            ..Secret::default()
        };
        create_only(&self.api, &self.creator, &secret).await
    }

    /// Writes the manifest into the first Secret.
    async fn seal(
        &self,
        secrets: &BTreeMap<Kept, Secret>,
        now: OffsetDateTime,
    ) -> Result<(), SecretStoreError> {
        let first = self.contents(secrets, |contents| contents.sealed(now))?;
        let Some(first) = first else { return Ok(()) };
        match replace(&self.api, &first).await {
            // Somebody was faster; the next look shows what he did.
            Err(error) if error.is_conflict() => Ok(()),
            other => other.map(drop).map_err(Into::into),
        }
    }

    fn contents<T>(&self, secrets: &BTreeMap<Kept, Secret>, look: impl FnOnce(Contents<'_>) -> T) -> T {
        look(Contents { secrets, named: &|kept| self.named(kept) })
    }

    /// Namespace and name.
    pub(super) fn named(&self, kept: Kept) -> String {
        format!("{}/{}", self.api.namespace(), kept.secret(&self.objects))
    }
}
