//! Rounds of one installation of each kind of ours and one of the floor, each in a namespace of its own that goes afterwards.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hosted_control_plane::{Helm, Release, Tenant, helm_binary};

use super::footprint::{self, Footprint};
use super::install::{Watch, remove};
use crate::floor::{self, Floor, Images};
use crate::machine;
use crate::sample::Sample;

/// 3 etcd, 2 API servers, 2 and 2 controllers, 2 certificate-authorities, 1 cluster-bootstrap.
const PODS: usize = 12;
/// How long the machine is watched before an installation.
const BUSY_WATCHED: Duration = Duration::from_secs(2);

impl Kind {
    /// As helm takes it.
    pub(crate) fn set(self) -> String {
        format!("--set=images.supervisors={}", self.supervisors)
    }
}

/// All rounds of one kind.
#[derive(Debug, Default)]
pub(crate) struct Installs {
    pub(crate) helm: Sample,
    pub(crate) api_ready: Sample,
    pub(crate) all_ready: Sample,
    /// Container restarts while Pods became Ready, of all rounds.
    pub(crate) restarts: i32,
    pub(crate) footprints: Vec<Footprint>,
    /// How busy the machine was before, in percent.
    pub(crate) busy: Sample,
}

/// Everything that rounds need.
pub(crate) struct Rounds<'a> {
    pub(crate) watch: Watch<'a>,
    pub(crate) images: &'a Images,
    /// From ready Pods to the look at their memory.
    pub(crate) settle: Duration,
}

/// One kind of installation of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Of its namespaces.
    name: &'static str,
    /// For people, as long as that of all others.
    told: &'static str,
    /// Of `images.supervisors`.
    pub(crate) supervisors: &'static str,
}

/// The chart's default.
pub(crate) const COPIED: Kind =
    Kind { name: "copied", told: "Pilothouse               ", supervisors: "InitContainer" };
/// With our images as volumes.
pub(crate) const MOUNTED: Kind =
    Kind { name: "mounted", told: "Pilothouse, image volumes", supervisors: "ImageVolume" };

impl Rounds<'_> {
    /// An installation of ours in round `round`. The first of all pays what only the first one pays for (files read for the first
    /// time).
    pub(crate) async fn ours(&self, round: u32, kind: Kind, installs: &mut Installs) -> Result<()> {
        let tenant = Tenant::new(&self.watch.cluster.kubeconfig(), &format!("{}-{round}", kind.name)).await;
        let helm = Helm::new(helm_binary(), tenant.kubeconfig());
        let values = Release::values_file("values-ha.yaml");
        // The volumes of the management cluster are as large as the floor wants them.
        let sizes = ["--set=etcd.storage.size=1Gi", "--set=etcd.quota=512Mi"];
        let release = Release::new(&tenant, &helm, "demo", &[&values, sizes[0], sizes[1], &kind.set()]);
        self.one(&format!("round {round}: {}", kind.told), &tenant, &release, PODS, installs).await
    }

    /// An installation of the floor.
    pub(crate) async fn floor(&self, round: u32, installs: &mut Installs) -> Result<()> {
        let tenant = Tenant::new(&self.watch.cluster.kubeconfig(), &format!("floor-{round}")).await;
        let helm = Helm::new(helm_binary(), tenant.kubeconfig());
        let prepared = Floor::prepare(&tenant, self.images).await?;
        let release = prepared.release(&tenant, &helm);
        let told = format!("round {round}: {:25}", "floor");
        self.one(&told, &tenant, &release, floor::PODS, installs).await
    }

    async fn one(
        &self,
        what: &str,
        tenant: &Tenant,
        release: &Release<'_>,
        pods: usize,
        installs: &mut Installs,
    ) -> Result<()> {
        let busy = machine::busy(BUSY_WATCHED).await?;
        let seen = self.watch.install(tenant, release, pods).await.with_context(|| what.to_owned())?;
        let (Some(api_ready), Some(all_ready)) = (seen.api_ready, seen.all_ready) else {
            bail!("{what}: {seen:?} after {:?}; {:#?}", self.watch.limit, release.pods().await);
        };
        let now = release.pods().await;
        let restarts = now.iter().map(|pod| pod.restarts).sum::<i32>();
        tokio::time::sleep(self.settle).await;
        let footprint = footprint::of(self.watch.cluster, &now)?;
        println!(
            "{what}  helm {:.1} s, API ready {api_ready:.1} s, all Ready {all_ready:.1} s, {restarts} restarts, \
             {:.0} MiB, {:.1} of it ours; the machine was {busy:.0} % busy before",
            seen.helm,
            footprint.total(),
            footprint.ours
        );
        installs.busy.0.push(busy);
        installs.helm.0.push(seen.helm);
        installs.api_ready.0.push(api_ready);
        installs.all_ready.0.push(all_ready);
        installs.restarts += restarts;
        installs.footprints.push(footprint);
        remove(&[tenant]).await
    }
}
