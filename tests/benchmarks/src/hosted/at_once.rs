//! Many small control planes installed at the same moment, each by a tenant in a namespace of his own.
//! Refuses to forget those that did not become ready.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use hosted_control_plane::{Helm, Release, Tenant, helm_binary};

use super::footprint::{self, Footprint};
use super::install::{Watch, remove};
use super::rounds::Kind;
use crate::sample::Sample;

/// One of each: etcd, API server, both controllers, certificate-authority, cluster-bootstrap.
const PODS: usize = 6;

/// What became of them.
pub(crate) struct AtOnce {
    /// Of `images.supervisors`.
    pub(crate) supervisors: &'static str,
    pub(crate) installed: usize,
    /// Of those that became ready in time.
    pub(crate) api_ready: Sample,
    pub(crate) all_ready: Sample,
    pub(crate) restarts: i32,
    pub(crate) footprints: Vec<Footprint>,
    pub(crate) limit: Duration,
}

/// Installs `count` and watches all of them.
pub(crate) async fn install(watch: Watch<'_>, kind: Kind, count: usize, settle: Duration) -> Result<AtOnce> {
    let mut tenants = Vec::new();
    for number in 1..=count {
        tenants.push(Tenant::new(&watch.cluster.kubeconfig(), &format!("tenant-{number}")).await);
    }
    let helms: Vec<Helm> =
        tenants.iter().map(|tenant| Helm::new(helm_binary(), tenant.kubeconfig())).collect();
    let (values, kind_set) = (Release::values_file("values-small.yaml"), kind.set());
    let releases: Vec<Release<'_>> = tenants
        .iter()
        .zip(&helms)
        .map(|(tenant, helm)| Release::new(tenant, helm, "demo", &[&values, &kind_set]))
        .collect();
    let installations =
        tenants.iter().zip(&releases).map(|(tenant, release)| watch.install(tenant, release, PODS));
    let seen = try_join_all(installations).await?;
    tokio::time::sleep(settle).await;
    let mut footprints = Vec::new();
    let mut restarts = 0;
    for (release, seen) in releases.iter().zip(&seen) {
        let pods = release.pods().await;
        restarts += pods.iter().map(|pod| pod.restarts).sum::<i32>();
        if seen.all_ready.is_some() {
            footprints.push(footprint::of(watch.cluster, &pods)?);
        } else {
            println!("not ready: {pods:#?}");
        }
    }
    remove(&tenants.iter().collect::<Vec<_>>()).await?;
    let at_once = AtOnce {
        supervisors: kind.supervisors,
        installed: count,
        api_ready: Sample(seen.iter().filter_map(|seen| seen.api_ready).collect()),
        all_ready: Sample(seen.iter().filter_map(|seen| seen.all_ready).collect()),
        restarts,
        footprints,
        limit: watch.limit,
    };
    println!("{count} at once, {}: {}", kind.supervisors, at_once.summary());
    Ok(at_once)
}

impl AtOnce {
    /// In one sentence.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} of {} answered through their Services within {} s, and all Pods of {} were Ready; p50 {:.1} s and {:.1} \
             s, p99 {:.1} s and {:.1} s",
            self.api_ready.0.len(),
            self.installed,
            self.limit.as_secs(),
            self.all_ready.0.len(),
            self.api_ready.median(),
            self.all_ready.median(),
            self.api_ready.percentile(99.0),
            self.all_ready.percentile(99.0),
        )
    }
}
