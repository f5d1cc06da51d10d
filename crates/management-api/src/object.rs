//! Reading, making and replacing one named object. Making is a server-side apply without force: whoever comes second
//! with other contents gets a conflict, and the right to do it can be bound to the name, which a POST's cannot.
//! Refuses force, patches of what others own, and deletes.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ManagementApi, ManagementError};

/// An API server answers a call about one object in milliseconds; a dead one never.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Whether there was an object before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is exactly what was asked for, made by us now or before.
    Created,
    /// Somebody else made it, with other contents.
    AlreadyThere,
}

/// What these functions can handle: any namespaced kind of k8s-openapi.
pub trait Object:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Object for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// The object, if it exists.
pub async fn find<K: Object>(api: &ManagementApi, name: &str) -> Result<Option<K>, ManagementError> {
    let objects = api.objects::<K>();
    within::<K, _>("read", api, name, objects.get_opt(name)).await
}

/// The Pods with these labels. The one list: who is there cannot be asked by name.
pub async fn pods(api: &ManagementApi, labels: &str) -> Result<Vec<Pod>, ManagementError> {
    let (pods, parameters) = (api.objects::<Pod>(), ListParams::default().labels(labels));
    within::<Pod, _>("list", api, labels, pods.list(&parameters)).await.map(|list| list.items)
}

/// Makes `object` unless there is one with other contents. `creator` must differ from process to process (the Pod's
/// UID): two creators with the same name would overwrite each other. `object` must set `apiVersion` and `kind`, which
/// k8s-openapi's types do when serialised.
pub async fn create_only<K: Object>(
    api: &ManagementApi,
    creator: &str,
    object: &K,
) -> Result<Creation, ManagementError> {
    let name = object.meta().name.clone().unwrap_or_default();
    let parameters = PatchParams::apply(creator);
    let objects = api.objects::<K>();
    let patch = Patch::Apply(object);
    match within::<K, _>("create", api, &name, objects.patch(&name, &parameters, &patch)).await {
        Ok(_) => Ok(Creation::Created),
        Err(error) if error.is_conflict() => Ok(Creation::AlreadyThere),
        Err(error) => Err(error),
    }
}

/// Replaces what was read: `object` carries the resource version that was seen, and a conflict (see
/// [`ManagementError::is_conflict`]) means that somebody was faster.
pub async fn replace<K: Object>(api: &ManagementApi, object: &K) -> Result<K, ManagementError> {
    let name = object.meta().name.clone().unwrap_or_default();
    let objects = api.objects::<K>();
    within::<K, _>("replace", api, &name, objects.replace(&name, &PostParams::default(), object)).await
}

pub(crate) async fn within<K: Object, T>(
    action: &'static str,
    api: &ManagementApi,
    name: &str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ManagementError> {
    let object = || format!("{} {}/{name} of {}", K::kind(&()), api.namespace(), api.server());
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(answer) => answer.map_err(|source| ManagementError::Call {
            action,
            object: object(),
            source: Box::new(source),
        }),
        Err(_late) => Err(ManagementError::Silent { action, object: object(), limit: CALL_LIMIT }),
    }
}
