//! What cluster-bootstrap keeps in the hosted cluster is back after somebody deleted, replaced or edited it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, client, eventually};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, PostParams};
use tokio::time::Instant;

/// Its role is what somebody replaces: Kubernetes lets nobody change it, so ours must be made anew, too.
const REPLACED: &str = "pilothouse:kubelet-clients";
/// The administrators' own rights, so also those of this test.
const DELETED: &str = "pilothouse:cluster-admins";
const EDITED: &str = "system:cloud-controller-manager";
/// cluster-bootstrap looks every 5 s.
const REPAIR_LIMIT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_and_bindings_are_kept_whatever_is_done_to_them() {
    let plane =
        ControlPlane::ready(&["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"])
            .await;
    let client = client(&plane.kubeconfig()).await;
    let (roles, bindings) = (Api::<ClusterRole>::all(client.clone()), Api::<ClusterRoleBinding>::all(client));
    let wanted = Kept::now(&roles, &bindings).await.unwrap();

    let mut role = roles.get(EDITED).await.unwrap();
    role.rules = role.rules.map(|rules| rules.into_iter().skip(1).collect());
    roles.replace(EDITED, &PostParams::default(), &role).await.unwrap();

    let mut binding = bindings.get(REPLACED).await.unwrap();
    binding.metadata = kube::core::ObjectMeta { name: Some(REPLACED.to_owned()), ..Default::default() };
    binding.role_ref.name = "view".to_owned();
    // cluster-bootstrap may be faster than we are.
    let replaced = eventually("another binding in its place", REPAIR_LIMIT, async || {
        let _gone = bindings.delete(REPLACED, &DeleteParams::default()).await;
        bindings.create(&PostParams::default(), &binding).await
    })
    .await;
    assert_eq!(replaced.role_ref.name, "view");

    bindings.delete(DELETED, &DeleteParams::default()).await.unwrap();
    let done = Instant::now();
    eventually("all is as it was", REPAIR_LIMIT, async || {
        let found = Kept::now(&roles, &bindings).await.map_err(|error| error.to_string())?;
        if found == wanted { Ok(()) } else { Err(format!("{found:#?} instead of {wanted:#?}")) }
    })
    .await;
    println!("roles and bindings were back after {:?}", done.elapsed());
    let now = bindings.get(REPLACED).await.unwrap();
    assert_ne!(now.metadata.uid, replaced.metadata.uid, "another binding in turn: {now:#?}");
}

/// What the three of them say.
#[derive(Debug, PartialEq)]
struct Kept {
    role: ClusterRole,
    bindings: [ClusterRoleBinding; 2],
}

impl Kept {
    async fn now(roles: &Api<ClusterRole>, bindings: &Api<ClusterRoleBinding>) -> Result<Self, kube::Error> {
        let mut role = roles.get(EDITED).await?;
        let mut bindings = [bindings.get(REPLACED).await?, bindings.get(DELETED).await?];
        let metadata = bindings.iter_mut().map(|binding| &mut binding.metadata).chain([&mut role.metadata]);
        for metadata in metadata {
            // Of whatever was made anew, these are other ones.
            metadata.uid = None;
            metadata.resource_version = None;
            metadata.creation_timestamp = None;
            metadata.managed_fields = None;
        }
        Ok(Self { role, bindings })
    }
}
