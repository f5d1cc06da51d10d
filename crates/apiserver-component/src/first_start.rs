//! The first API server of an etcd that no API server has used yet starts ahead of the others: each writes what every cluster
//! begins with. Refuses to hold anybody up for long: a head start ends by itself, whatever became of its holder.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use kubernetes_health::HealthAnswer;
use mutual_tls::etcd_client;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::etcd_read::{EtcdCluster, EtcdQuorum, told};

/// Outside of what API servers store. It names who has the head start for as long as that lasts, and stays without a lease once
/// somebody has become ready.
const KEY: &str = "pilothouse/first-start";
/// What is written then.
const OVER: &str = "an API server has been ready";
/// The check of /readyz for it.
const ALLOCATION: &str = "poststarthook/start-service-ip-repair-controllers";
/// Lifetime of a head start, and longest wait for somebody else's. A start takes three seconds, or ten beside busy neighbours;
/// kube-apiserver gives itself a minute for its first writes.
const HEAD_START: Duration = Duration::from_secs(30);

/// Who starts first.
///
/// kube-apiservers that begin together with an empty etcd get in each other's way: all make the same objects, and one that loses
/// a race for the allocation of ports four times within 10 ms is not ready for a minute and ends then (kubernetes/kubernetes
/// #130377 and `pkg/registry/core/service/portallocator/controller/repair.go`). Alone the first one is ready sooner besides.
#[derive(Debug)]
pub(crate) struct FirstStart {
    etcd: EtcdQuorum,
    /// Differs from that of each other API server.
    instance: String,
    /// Where an API server is known to have been ready.
    over_in: Rc<Cell<Option<EtcdCluster>>>,
    telling: RefCell<Option<AbortOnDropHandle<()>>>,
}

impl FirstStart {
    pub(crate) fn new(etcd: EtcdQuorum, instance: &str) -> Self {
        Self { etcd, instance: instance.to_owned(), over_in: Rc::default(), telling: RefCell::default() }
    }

    /// Waits until this API server may start with the etcd `cluster`: at once, but for the first start of all.
    pub(crate) async fn turn(&self, cluster: EtcdCluster, progress: &dyn Progress) {
        if self.over_in.get() == Some(cluster) {
            return;
        }
        if timeout(HEAD_START, wait_for(&mut Turn(self), Pace::EAGER, progress)).await.is_err() {
            tracing::warn!(waited = ?HEAD_START, "the first API server has not become ready; starting without it");
        }
    }

    /// The child's /readyz gave this answer with the etcd `cluster`: ends the head start, in the background, as soon as others
    /// cannot disturb it any more. Must be called in a `LocalSet`.
    pub(crate) fn look_at(&self, readyz: &HealthAnswer, cluster: EtcdCluster) {
        if !has_allocated(readyz) {
            return;
        }
        let mut telling = self.telling.borrow_mut();
        let under_way = telling.as_ref().is_some_and(|telling| !telling.is_finished());
        if under_way || self.over_in.get() == Some(cluster) {
            return;
        }
        let (etcd, over_in) = (self.etcd.clone(), Rc::clone(&self.over_in));
        *telling = Some(AbortOnDropHandle::new(tokio::task::spawn_local(async move {
            match end(&etcd).await {
                Ok(cluster) => {
                    tracing::info!("what every cluster begins with is written: any API server may start");
                    over_in.set(Some(cluster));
                }
                // The next look at the child comes here again.
                Err(why) => tracing::debug!(why, "etcd is not told yet that an API server has been ready"),
            }
        })));
    }

    async fn look(&self) -> Result<Sighting<()>, String> {
        let mut client = client(&self.etcd).await?;
        let found = client.get(KEY, None).await.map_err(|error| told(&error))?;
        let Some(entry) = found.kvs().first() else {
            return Ok(if take(&mut client, &self.instance).await? {
                Sighting::Holds(())
            } else {
                Sighting::NotYet("another one has just begun".to_owned())
            });
        };
        if entry.lease() == 0 {
            self.over_in.set(found.header().map(|header| EtcdCluster(header.cluster_id())));
            return Ok(Sighting::Holds(()));
        }
        let holder = String::from_utf8_lossy(entry.value());
        Ok(if holder == self.instance {
            // An earlier life of it, or of its child.
            Sighting::Holds(())
        } else {
            Sighting::NotYet(format!("{holder} starts first and is not ready yet"))
        })
    }
}

/// Whether the check of what is allocated to Services has ended well. The other writes are repeated until they succeed.
fn has_allocated(readyz: &HealthAnswer) -> bool {
    match readyz {
        HealthAnswer::Healthy => true,
        HealthAnswer::Failing(checks) => !checks.iter().any(|check| check == ALLOCATION),
        HealthAnswer::Other(_) | HealthAnswer::None(_) => false,
    }
}

/// Takes the head start; false if somebody else was faster.
async fn take(client: &mut Client, instance: &str) -> Result<bool, String> {
    let seconds = i64::try_from(HEAD_START.as_secs()).map_err(|error| error.to_string())?;
    let lease = client.lease_grant(seconds, None).await.map_err(|error| told(&error))?.id();
    let put = TxnOp::put(KEY, instance, Some(PutOptions::new().with_lease(lease)));
    let free = Compare::create_revision(KEY, CompareOp::Equal, 0);
    let taken = client.txn(Txn::new().when([free]).and_then([put])).await.map_err(|error| told(&error))?;
    if taken.succeeded() {
        tracing::info!("no API server has been ready with this etcd: the others wait for this one");
    } else {
        // Only tidiness: it ends by itself.
        let _unused = client.lease_revoke(lease).await;
    }
    Ok(taken.succeeded())
}

/// Writes, for good, that somebody has been ready.
async fn end(etcd: &EtcdQuorum) -> Result<EtcdCluster, String> {
    let answer = client(etcd).await?.put(KEY, OVER, None).await.map_err(|error| told(&error))?;
    let header = answer.header().ok_or("etcd answers without saying which cluster it is")?;
    Ok(EtcdCluster(header.cluster_id()))
}

async fn client(etcd: &EtcdQuorum) -> Result<Client, String> {
    etcd_client(&etcd.endpoints, &etcd.files).await.map_err(|error| telemetry::error_chain(&error))
}

struct Turn<'a>(&'a FirstStart);

impl Condition for Turn<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        "the first API server of this etcd to be ready".to_owned()
    }

    async fn look(&mut self) -> Sighting<()> {
        self.0.look().await.unwrap_or_else(Sighting::NotYet)
    }
}
