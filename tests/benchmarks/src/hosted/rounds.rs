//! Rounds of one installation of ours and one of the floor, each in a namespace of its own that goes afterwards.

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

impl Rounds<'_> {
    /// One round. Ours goes first, so that what only the first one pays for (files read for the first time) is ours.
    pub(crate) async fn run(&self, round: u32, ours: &mut Installs, floor: &mut Installs) -> Result<()> {
        let administrators = self.watch.cluster.kubeconfig();
        let tenant = Tenant::new(&administrators, &format!("ours-{round}")).await;
        let helm = Helm::new(helm_binary(), tenant.kubeconfig());
        let values = Release::values_file("values-ha.yaml");
        // The volumes of the management cluster are as large as the floor wants them.
        let sizes = ["--set=etcd.storage.size=1Gi", "--set=etcd.quota=512Mi"];
        let release = Release::new(&tenant, &helm, "demo", &[&values, sizes[0], sizes[1]]);
        let what = format!("round {round}: Pilothouse");
        self.one(&what, &tenant, &release, PODS, ours).await?;

        let tenant = Tenant::new(&administrators, &format!("floor-{round}")).await;
        let helm = Helm::new(helm_binary(), tenant.kubeconfig());
        let prepared = Floor::prepare(&tenant, self.images).await?;
        let release = prepared.release(&tenant, &helm);
        self.one(&format!("round {round}: floor     "), &tenant, &release, floor::PODS, floor).await
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
