//! `pilothouse status` on real nodes: everything ready, a member that is gone, an upgrade to an image that does not exist,
//! and people who lack a right.

use std::path::Path;
use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{Helm, Release, Status, StatusRow, Tenant, chart};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::time::Instant;

use crate::{HIGHLY_AVAILABLE, READY_LIMIT};

const READY: i32 = 0;
const FAILED: i32 = 1;
const NOT_READY: i32 = 3;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn of_a_control_plane_and_what_ails_it(tenant: &Tenant, helm: &Helm, release: &Release<'_>) {
    all_is_ready(tenant, release, LIMIT).await;
    a_table_for_people(tenant, release).await;
    a_member_that_is_gone(tenant, release).await;
    an_image_that_does_not_exist(tenant, helm, release).await;
    rights(tenant, release).await;
    what_is_not_there(tenant, release).await;
}

async fn all_is_ready(tenant: &Tenant, release: &Release<'_>, limit: Duration) {
    let status = eventually("status says that all is ready and who leads", limit, async || {
        let status = Status::of(release, tenant.kubeconfig()).await;
        // Leases are looked at every second or two, so who leads is known a little later.
        let leaders = ["etcd", "kube-controller-manager", "kube-scheduler"].map(|component| {
            let leads = |row: &&StatusRow| row.component == component && row.leader == Some(true);
            status.rows.iter().filter(leads).count()
        });
        let whole = status.code == READY && leaders == [1; 3];
        if whole { Ok(status) } else { Err((status.code, leaders, status.not_ready(), status.errors)) }
    })
    .await;
    assert_eq!(status.rows.len(), HIGHLY_AVAILABLE, "{}", status.output);
    for row in &status.rows {
        assert!(row.ready && row.state == "Running" && row.node.is_some(), "{row:?}");
    }
    let members: Vec<&StatusRow> = status.rows.iter().filter(|row| row.component == "etcd").collect();
    for (ordinal, row) in members.iter().enumerate() {
        assert_eq!(row.name, format!("demo-etcd-{ordinal}"));
        assert_eq!(row.data_directory.as_deref(), Some(Path::new("/var/lib/etcd")));
    }
}

async fn a_table_for_people(tenant: &Tenant, release: &Release<'_>) {
    let began = Instant::now();
    let status = Status::told(release.name(), release.namespace(), tenant.kubeconfig(), &[]).await;
    println!("pilothouse status took {:.1?}:\n{}", began.elapsed(), status.output);
    assert_eq!((status.code, status.output.lines().count()), (READY, HIGHLY_AVAILABLE + 1));
}

async fn a_member_that_is_gone(tenant: &Tenant, release: &Release<'_>) {
    const MEMBER: &str = "demo-etcd-1";
    tenant.objects::<Pod>().delete(MEMBER, &DeleteParams::default()).await.unwrap();
    let row = eventually("status tells of the member", LIMIT, async || {
        let status = Status::of(release, tenant.kubeconfig()).await;
        let row = status.row(MEMBER).filter(|row| status.code == NOT_READY && !row.ready).cloned();
        row.ok_or((status.code, status.output))
    })
    .await;
    println!("a deleted member: {} {}: {}", row.name, row.state, row.reason);
    assert!(!row.reason.is_empty(), "{row:?}");
    all_is_ready(tenant, release, READY_LIMIT).await;
}

async fn an_image_that_does_not_exist(tenant: &Tenant, helm: &Helm, release: &Release<'_>) {
    // Nobody listens there: the node is refused at once, and asks no registry elsewhere.
    release.upgrade(&chart(), &["--set=apiServer.image.repository=127.0.0.1:1/none"]).await;
    let status = eventually("status names the image", LIMIT, async || {
        let status = Status::of(release, tenant.kubeconfig()).await;
        let names_it = |reason: &str| reason.contains("127.0.0.1:1/none:v");
        let told = status.rows.iter().any(|row| row.state.contains("ImagePull") && names_it(&row.reason));
        if told { Ok(status) } else { Err((status.code, status.not_ready())) }
    })
    .await;
    println!("an image that does not exist: {:#?}", status.not_ready());
    assert_eq!(status.code, NOT_READY);
    let change = status.row("demo-kube-apiserver").expect("the Deployment is told of");
    assert_eq!((change.state.as_str(), change.ready), ("Updating", false), "{change:?}");
    let serving = status.rows.iter().filter(|row| row.component == "kube-apiserver" && row.ready).count();
    assert_eq!(serving, 2, "the old replicas serve: {}", status.output);
    helm.succeeds(&["rollback", release.name(), "--namespace", release.namespace()], LIMIT).await;
    all_is_ready(tenant, release, READY_LIMIT).await;
}

/// Exactly the rights that `--help` and the guide name suffice, and one less is named.
async fn rights(tenant: &Tenant, release: &Release<'_>) {
    let rules = |portforward: &[&str]| {
        json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": portforward},
        ])
    };
    let operator = tenant.visitor("operator", rules(&["get", "create"])).await;
    eventually("who has the rights sees all", LIMIT, async || {
        let status = Status::of(release, &operator).await;
        if status.code == READY { Ok(()) } else { Err((status.code, status.errors)) }
    })
    .await;
    let reader = tenant.visitor("reader", rules(&["get"])).await;
    refused(release, &reader, "you may not get and create pods/portforward in namespace").await;
    let stranger = tenant.visitor("stranger", json!([])).await;
    refused(release, &stranger, "you may not list ").await;
}

/// A role is known to the API server a moment after it is made, but refusals are not many sorts: the wanted one comes.
async fn refused(release: &Release<'_>, kubeconfig: &Path, sentence: &str) {
    eventually("the missing right is named", LIMIT, async || {
        let status = Status::of(release, kubeconfig).await;
        let named = status.code == FAILED && status.errors.contains(sentence);
        if named { Ok(()) } else { Err((status.code, status.errors)) }
    })
    .await;
}

async fn what_is_not_there(tenant: &Tenant, release: &Release<'_>) {
    let status = Status::told("other", release.namespace(), tenant.kubeconfig(), &[]).await;
    assert_eq!(status.code, FAILED);
    let sentence =
        format!("there is no control plane other in namespace {}; there is demo", release.namespace());
    assert!(status.errors.contains(&sentence), "{}", status.errors);
}
