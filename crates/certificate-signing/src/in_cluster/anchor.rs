//! Who owns what is made at run time: the chart's inert ConfigMap, which goes when the release is uninstalled and takes
//! along what it owns. Refuses the Deployment as owner: somebody may delete it and mean only the Pods.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use management_api::{ManagementApi, ManagementError, find};
use naming_contract::ReleaseObjects;

const KIND: &str = "ConfigMap";

/// Looks for the anchor and makes it own things.
#[derive(Debug)]
pub(super) struct Owner {
    api: ManagementApi,
    name: String,
    pub(super) keep_state: bool,
}

impl Owner {
    pub(super) fn new(api: ManagementApi, objects: &ReleaseObjects, keep_state: bool) -> Self {
        Self { api, name: objects.anchor(), keep_state }
    }

    /// The anchor as it is now; none where a chart has none, and nothing is owned then.
    pub(super) async fn reference(&self) -> Result<Option<OwnerReference>, ManagementError> {
        let anchor = find::<ConfigMap>(&self.api, &self.name).await?;
        Ok(anchor.and_then(|anchor| {
            Some(OwnerReference {
                api_version: "v1".to_owned(),
                kind: KIND.to_owned(),
                name: self.name.clone(),
                uid: anchor.metadata.uid?,
                // Blocking would need a right on finalizers that the built-in admin role lacks, so
                // that no namespace admin could install (OwnerReferencesPermissionEnforcement).
                block_owner_deletion: Some(false),
                controller: None,
            })
        }))
    }

    /// Makes `anchor` own the object, or nobody; anchors of earlier installations own it no longer. Others' references
    /// stay. Says whether anything changed.
    pub(super) fn apply(&self, metadata: &mut ObjectMeta, anchor: Option<&OwnerReference>) -> bool {
        let before = metadata.owner_references.clone().unwrap_or_default();
        let ours = |reference: &OwnerReference| reference.kind == KIND && reference.name == self.name;
        let others = before.iter().filter(|reference| !ours(reference)).cloned();
        let after: Vec<OwnerReference> = others.chain(anchor.cloned()).collect();
        let same = |one: &OwnerReference, other: &OwnerReference| {
            one.uid == other.uid && one.kind == other.kind && one.name == other.name
        };
        let unchanged = before.len() == after.len()
            && after.iter().all(|reference| before.iter().any(|known| same(known, reference)));
        if !unchanged {
            metadata.owner_references = Some(after);
        }
        !unchanged
    }
}
