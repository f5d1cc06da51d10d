//! One installation on the clock, by the same eyes for the floor and for ours: the API by a client on a node through the
//! Service, Pods by what the management cluster says of them. Refuses to count seconds after its limit.

use std::time::Duration;

use anyhow::{Context as _, Result};
use end_to_end::eventually;
use hosted_control_plane::{Hosted, NodeNetwork, Release, Tenant};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use management_cluster::ManagementCluster;
use tokio::time::{Instant, sleep, timeout, timeout_at};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What a request may take on a machine on which ten API servers start.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// All of a namespace, with Pods that get no time to drain.
const REMOVAL_LIMIT: Duration = Duration::from_secs(180);

/// Where installations are watched from.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    pub(crate) cluster: &'a ManagementCluster,
    /// A node's, whose Service addresses are every Pod's.
    pub(crate) network: &'a NodeNetwork,
    pub(crate) limit: Duration,
}

/// Seconds since helm was started; none for what did not come in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Installation {
    /// Until helm returned.
    pub(crate) helm: f64,
    /// Until /readyz answered 200 to the administrator through the Service.
    pub(crate) api_ready: Option<f64>,
    /// Until all Pods were Ready.
    pub(crate) all_ready: Option<f64>,
}

impl Watch<'_> {
    /// Installs and watches until both have come, or the limit is over.
    pub(crate) async fn install(
        &self,
        tenant: &Tenant,
        release: &Release<'_>,
        pods: usize,
    ) -> Result<Installation> {
        let began = Instant::now();
        let deadline = began + self.limit;
        let helm = release.install().await.took.as_secs_f64();
        // What is waited for inside ends by panic at a limit of its own, which must not come first.
        let beyond = self.limit * 2;
        let api = async {
            let hosted = Hosted::new(self.cluster, tenant, release, beyond).await;
            let client = hosted.configuration().await;
            let answers = self.network.run(until_answers(client, deadline)).await?;
            anyhow::Ok(answers.map(|at| (at - began).as_secs_f64()))
        };
        let all = async {
            release.until_ready(pods, beyond).await;
            began.elapsed().as_secs_f64()
        };
        let (api, all) = tokio::join!(timeout_at(deadline, api), timeout_at(deadline, all));
        Ok(Installation { helm, api_ready: api.unwrap_or(Ok(None))?, all_ready: all.ok() })
    }
}

/// When /readyz answered 200, if it did in time.
async fn until_answers(mut configuration: kube::Config, deadline: Instant) -> Result<Option<Instant>> {
    configuration.connect_timeout = Some(REQUEST_LIMIT);
    let client = kube::Client::try_from(configuration).context("no client of the hosted control plane")?;
    loop {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        if matches!(timeout(REQUEST_LIMIT, client.request_text(request)).await, Ok(Ok(_))) {
            return Ok(Some(Instant::now()));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Deletes the namespaces with all that is in them, and waits until they are gone.
pub(crate) async fn remove(tenants: &[&Tenant]) -> Result<()> {
    for tenant in tenants {
        tenant.delete().await;
        // Nobody uses it any more: no time to drain.
        let at_once = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        tenant.objects::<Pod>().delete_collection(&at_once, &ListParams::default()).await?;
    }
    for tenant in tenants {
        let namespaces: Api<Namespace> = Api::all(tenant.administrator().clone());
        eventually(&format!("{} is gone", tenant.namespace()), REMOVAL_LIMIT, async || {
            match namespaces.get_opt(tenant.namespace()).await {
                Ok(None) => Ok(()),
                other => Err(format!("{:?}", other.map(|it| it.and_then(|it| it.status)))),
            }
        })
        .await;
    }
    Ok(())
}
