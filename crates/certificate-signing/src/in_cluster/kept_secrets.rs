//! The Secrets with keys while this replica runs: put back when one is deleted, told when one is changed, and owned by
//! nobody, so that they outlive the release, unless the operator wants them gone with it; so are the records of etcd and of versions.
//! Refuses to change what is in them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use management_api::{Object, find, replace};
use tokio::sync::Notify;

use super::Release;
use super::secret_contents::Data;
use super::secret_set::ORDER;
use super::secret_store::SecretStore;
use super::tend::{TendError, Tended, tend};
use crate::AuthorityKeys;
use crate::founding::MANIFEST;
use crate::kept::Kept;

impl Release {
    /// Keeps them, for ever; the first stands for all as for when to look at once.
    pub(super) async fn tend_secrets(
        &self,
        store: &SecretStore,
        keys: &AuthorityKeys,
        contents: &RefCell<BTreeMap<Kept, Data>>,
    ) -> std::convert::Infallible {
        let (first, never) = (ORDER[0].secret(&self.objects), Notify::new());
        tend::<Secret>(
            &self.api,
            &first,
            &never,
            |told| self.reports.told("secrets", told),
            async || self.keep_secrets(store, keys, contents).await,
        )
        .await
    }

    async fn keep_secrets(
        &self,
        store: &SecretStore,
        keys: &AuthorityKeys,
        contents: &RefCell<BTreeMap<Kept, Data>>,
    ) -> Result<Tended, TendError> {
        let anchor = if self.owner.keep_state { None } else { self.owner.reference().await? };
        let mut tended = Tended::Right;
        let mut changed = Vec::new();
        for kept in ORDER {
            let name = kept.secret(&self.objects);
            let known_before = contents.borrow().get(&kept).cloned();
            let found = find::<Secret>(&self.api, &name).await?;
            if let Some(secret) = &found {
                self.adopt(keys, contents, kept, secret);
            }
            // Read after the Secret: what another part has stored before is known here too.
            let Some(known) = contents.borrow().get(&kept).cloned() else { continue };
            let Some(mut secret) = found else {
                store.write(kept, known).await?;
                tracing::warn!(secret = name, "keys were deleted and are put back; was that meant?");
                tended = Tended::Written;
                continue;
            };
            // Another part may have stored something after what was read here.
            let is_known = [Some(&known), known_before.as_ref()]
                .into_iter()
                .flatten()
                .any(|known| same_keys(secret.data.as_ref(), known));
            if !is_known {
                changed.push(store.named(kept));
            }
            self.own(&mut secret, anchor.as_ref(), &mut tended).await?;
        }
        // Made by the supervisors of etcd and of the API servers, later than the keys.
        for name in [self.objects.cluster_record(), self.objects.version_record()] {
            match find::<ConfigMap>(&self.api, &name).await? {
                Some(mut record) => self.own(&mut record, anchor.as_ref(), &mut tended).await?,
                // One that is to go with the release must not outlive it because nobody owned it yet.
                None if anchor.is_some() && tended == Tended::Right => tended = Tended::LookAgain,
                None => {}
            }
        }
        if changed.is_empty() {
            return Ok(tended);
        }
        Err(TendError::InTheWay(format!(
            "changed under this replica, which goes on with what it read at its start: Secret {}; put it back, or restart every replica if it was meant",
            changed.join(", ")
        )))
    }
}

impl Release {
    /// Makes the anchor own an object that was read, or nobody.
    async fn own<K: Object + Resource<DynamicType = ()>>(
        &self,
        object: &mut K,
        anchor: Option<&OwnerReference>,
        tended: &mut Tended,
    ) -> Result<(), TendError> {
        if !self.owner.apply(object.meta_mut(), anchor) {
            return Ok(());
        }
        *tended = Tended::Written;
        match replace(&self.api, object).await {
            Err(error) if !error.is_conflict() => Err(error.into()),
            _ => {
                let (kind, name) = (K::kind(&()), object.meta().name.clone());
                tracing::info!(%kind, name, kept = self.owner.keep_state, "whether it outlives the release");
                Ok(())
            }
        }
    }
}

/// Whether the keys are those that were read; the manifest says nothing new about them.
fn same_keys(found: Option<&Data>, known: &Data) -> bool {
    let keys = |data: &Data| {
        let mut keys = data.clone();
        keys.remove(MANIFEST);
        keys
    };
    found.is_some_and(|found| keys(found) == keys(known))
}
