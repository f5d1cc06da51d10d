//! The Secrets with keys while this replica runs: put back when one is deleted, told when one is changed, and owned by
//! nobody, so that they outlive the release, unless the operator wants them gone with it.
//! Refuses to change what is in them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use management_api::{find, replace};
use tokio::sync::Notify;

use super::Release;
use super::secret_contents::Data;
use super::secret_set::{Kept, ORDER};
use super::secret_store::SecretStore;
use super::tend::{TendError, Tended, tend};
use crate::founding::MANIFEST;

impl Release {
    /// Keeps them, for ever; the first stands for all as for when to look at once.
    pub(super) async fn tend_secrets(
        &self,
        store: &SecretStore,
        contents: &BTreeMap<Kept, Data>,
    ) -> std::convert::Infallible {
        let (first, never) = (ORDER[0].name(&self.objects), Notify::new());
        tend::<Secret>(
            &self.api,
            &first,
            &never,
            |told| self.reports.told("secrets", told),
            async || self.keep_secrets(store, contents).await,
        )
        .await
    }

    async fn keep_secrets(
        &self,
        store: &SecretStore,
        contents: &BTreeMap<Kept, Data>,
    ) -> Result<Tended, TendError> {
        let anchor = if self.owner.keep_state { None } else { self.owner.reference().await? };
        let mut tended = Tended::Right;
        let mut changed = Vec::new();
        for (kept, known) in contents {
            let name = kept.name(&self.objects);
            let Some(mut secret) = find::<Secret>(&self.api, &name).await? else {
                store.write(*kept, known.clone()).await?;
                tracing::warn!(secret = name, "keys were deleted and are put back; was that meant?");
                tended = Tended::Written;
                continue;
            };
            if !same_keys(secret.data.as_ref(), known) {
                changed.push(store.named(*kept));
            }
            if self.owner.apply(&mut secret.metadata, anchor.as_ref()) {
                tended = Tended::Written;
                match replace(&self.api, &secret).await {
                    Err(error) if !error.is_conflict() => return Err(error.into()),
                    _ => tracing::info!(secret = name, kept = self.owner.keep_state, "whether keys are kept"),
                }
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

/// Whether the keys are those that were read; the manifest says nothing new about them.
fn same_keys(found: Option<&Data>, known: &Data) -> bool {
    let keys = |data: &Data| {
        let mut keys = data.clone();
        keys.remove(MANIFEST);
        keys
    };
    found.is_some_and(|found| keys(found) == keys(known))
}
