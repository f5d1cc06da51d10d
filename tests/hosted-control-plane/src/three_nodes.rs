//! One release on three nodes of its own, whole before a test begins; both are gone when it has ended.
//! Refuses to be shared: who needs two releases, or an older chart, builds his own from the same pieces.

use std::time::Duration;

use crate::helm::Helm;
use crate::hosted::Hosted;
use crate::release::Release;
use crate::scene::Scene;
use crate::stage::{Stage, helm_binary};
use crate::tenant::Tenant;

/// An installation on two busy cores.
const LIMIT: Duration = Duration::from_secs(240);
/// The nodes' disks are small.
const VOLUMES: [&str; 2] = ["--set=etcd.storage.size=1Gi", "--set=etcd.quota=512Mi"];

/// Installs `demo` with these arguments of helm on nodes of this name, waits until its `pods` are ready, and makes `change`.
pub async fn on_three_nodes(
    name: &str,
    arguments: &[&str],
    pods: usize,
    change: impl AsyncFnOnce(&Scene<'_>, &Tenant),
) {
    on_stage(Stage::up(name, None).await, arguments, pods, change).await;
}

/// The same on nodes that are there, and go afterwards.
pub async fn on_stage(
    stage: Stage,
    arguments: &[&str],
    pods: usize,
    change: impl AsyncFnOnce(&Scene<'_>, &Tenant),
) {
    let tenant = Tenant::new(&stage.cluster.kubeconfig(), "tenant").await;
    let helm = Helm::new(helm_binary(), tenant.kubeconfig());
    let release = Release::new(&tenant, &helm, "demo", &[arguments, &VOLUMES].concat());
    release.install().await;
    let hosted = Hosted::new(&stage.cluster, &tenant, &release, LIMIT).await;
    let scene = Scene { cluster: &stage.cluster, release: &release, hosted: &hosted, pods };
    scene.until_whole(LIMIT).await;
    change(&scene, &tenant).await;
    stage.cluster.down().await.unwrap();
}
