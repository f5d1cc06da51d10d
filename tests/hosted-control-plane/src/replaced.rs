//! Waiting until keys or CAs were replaced, as an operator does who looks at `pilothouse status`.
//! Refuses to begin it: that is a value of the chart.

use std::time::Duration;

use certificates::Rotated;
use end_to_end::eventually;

use crate::scene::Scene;
use crate::status::Status;
use crate::tenant::Tenant;

/// The value of the chart that is raised for it.
#[must_use]
pub fn value_to_raise(what: Rotated) -> &'static str {
    match what {
        Rotated::ServiceAccount => "certificateAuthority.rotation.serviceAccountKey",
        Rotated::Encryption => "certificateAuthority.rotation.encryptionKey",
        Rotated::CertificateAuthorities => "certificateAuthority.rotation.certificateAuthorities",
    }
}

/// The number of the key, or of the CAs, in use.
pub async fn key_in_use(scene: &Scene<'_>, tenant: &Tenant, what: Rotated) -> Option<u64> {
    let mut told = Status::of(scene.release, tenant.kubeconfig()).await.rotations();
    told.remove(what.name()).map(|told| told.key)
}

/// Waits until there is none but number `key`. Clients get the kubeconfig of each moment.
pub async fn until_replaced(scene: &Scene<'_>, tenant: &Tenant, what: Rotated, key: u64, limit: Duration) {
    eventually(&format!("{} {key} alone", what.name()), limit, async || {
        scene.hosted.fetch_again(tenant, scene.release).await;
        match Status::of(scene.release, tenant.kubeconfig()).await.rotations().remove(what.name()) {
            Some(told) if told.key == key && !told.under_way => Ok(()),
            other => Err(other),
        }
    })
    .await;
}
