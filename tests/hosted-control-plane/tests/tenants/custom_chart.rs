//! The example of docs/custom-charts.md, installed as its reader would: a Kubernetes API without controllers.

use std::path::Path;

use end_to_end::eventually;
use hosted_control_plane::{Helm, Hosted, Release, Tenant};
use management_cluster::ManagementCluster;

use crate::READY_LIMIT;

/// etcd, API server, certificate-authority, cluster-bootstrap.
const PODS: usize = 4;

pub(crate) fn release<'a>(tenant: &'a Tenant, helm: &'a Helm) -> Release<'a> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/examples/etcd-and-api-server");
    Release::new(tenant, helm, "example", &[]).from_chart(chart)
}

pub(crate) async fn its_api_works(cluster: &ManagementCluster, tenant: &Tenant, release: &Release<'_>) {
    let took = release.until_ready(PODS, READY_LIMIT).await;
    println!("the example chart was ready after {took:.1?} more");
    let hosted = Hosted::new(cluster, tenant, release, READY_LIMIT).await;
    eventually("the administrator has his rights", READY_LIMIT, async || {
        hosted.kubectl(1, &["auth", "can-i", "*", "*"]).await
    })
    .await;
    hosted.kubectl(1, &["get", "--raw=/readyz"]).await.unwrap();
    hosted.kubectl(1, &["create", "namespace", "mine"]).await.unwrap();
    hosted
        .kubectl(1, &["create", "configmap", "mine", "--namespace=mine", "--from-literal=a=b"])
        .await
        .unwrap();
    let read = hosted
        .kubectl(2, &["get", "configmap", "mine", "--namespace=mine", "--output=jsonpath={.data.a}"])
        .await;
    assert_eq!(read.unwrap(), "b");
    for pod in release.pods().await {
        assert_eq!(pod.restarts, 0, "{pod:?}");
    }
    release.uninstall().await;
}
