//! Evicting one named Pod, so that disruption budgets count.
//! Refuses to evict whatever has taken the Pod's place meanwhile.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use kube::api::PostParams;
use kube::core::Status;

use crate::object::within;
use crate::{ManagementApi, ManagementError};

/// What became of an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evicted {
    /// The Pod is being deleted.
    Yes,
    /// A budget does not allow it now: the API's own sentences.
    NotNow(String),
    /// There is no such Pod any more.
    Gone,
}

/// Asks for the eviction of the Pod `name` if it still has this `uid`.
pub async fn evict(api: &ManagementApi, name: &str, uid: &str) -> Result<Evicted, ManagementError> {
    let pods = api.objects::<Pod>();
    // kube's own call names the options as the API does not, and so loses the precondition (kube 5.0, `delete_options`).
    let eviction = Eviction {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        delete_options: Some(DeleteOptions {
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteOptions::default()
        }),
    };
    let parameters = PostParams::default();
    let asked = pods.create_subresource::<_, Status>("eviction", name, &parameters, &eviction);
    match within::<Pod, _>("evict", api, name, asked).await {
        Ok(_) => Ok(Evicted::Yes),
        Err(error) if error.is_too_many_requests() => Ok(Evicted::NotNow(error.told())),
        // 409: the precondition.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(Evicted::Gone),
        Err(error) => Err(error),
    }
}
