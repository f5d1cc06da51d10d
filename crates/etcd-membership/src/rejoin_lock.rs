//! The lock under which one member at a time is replaced: a key in etcd that lives as long as its lease is kept alive.
//! Refuses to wait: whoever does not get it plans again.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{ClusterId, EtcdError, MemberClient};

/// How long the lock outlives its holder.
pub const LOCK_TTL: Duration = Duration::from_secs(30);
const LOCK_KEY: &str = "/pilothouse/etcd/rejoin";
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(6);
const CALL_LIMIT: Duration = Duration::from_secs(4);

/// The held lock. Dropped without [`RejoinLock::release`], it ends by itself after [`LOCK_TTL`].
pub struct RejoinLock {
    cluster: ClusterId,
    lease: i64,
    kept_alive: watch::Receiver<Instant>,
    keeper: JoinHandle<()>,
}

impl RejoinLock {
    /// Takes the lock for `owner`, also from an earlier life of `owner`. Otherwise says who has it.
    pub async fn take(client: MemberClient, owner: &str) -> Result<Result<Self, String>, EtcdError> {
        let begun = Instant::now();
        let mut etcd = client.client();
        let ttl = i64::try_from(LOCK_TTL.as_secs()).unwrap_or(30);
        let granted = client.within(CALL_LIMIT, "grant a lease", etcd.lease_grant(ttl, None)).await?;
        let lease = granted.id();
        let put = || TxnOp::put(LOCK_KEY, owner, Some(PutOptions::new().with_lease(lease)));
        let free = Compare::create_revision(LOCK_KEY, CompareOp::Equal, 0);
        let mine = Compare::value(LOCK_KEY, CompareOp::Equal, owner);
        for condition in [free, mine] {
            let taking = etcd.txn(Txn::new().when([condition]).and_then([put()]));
            let answer = client.within(CALL_LIMIT, "take the rejoin lock", taking).await?;
            if answer.succeeded() {
                let header = answer.header().ok_or_else(|| client.anonymous())?;
                let cluster = ClusterId(header.cluster_id());
                let (sender, kept_alive) = watch::channel(begun);
                let keeper = tokio::spawn(keep_alive(client, lease, sender));
                return Ok(Ok(Self { cluster, lease, kept_alive, keeper }));
            }
        }
        // Only tidiness: the lease ends by itself.
        let _unused_lease = client.within(CALL_LIMIT, "revoke a lease", etcd.lease_revoke(lease)).await;
        let asked = etcd.get(LOCK_KEY, None);
        let answer = client.within(CALL_LIMIT, "say who holds the rejoin lock", asked).await?;
        let holder =
            answer.kvs().first().and_then(|entry| entry.value_str().ok()).unwrap_or("nobody any more");
        Ok(Err(holder.to_owned()))
    }

    /// The cluster in which it is still ours for certain.
    #[must_use]
    pub fn held_in(&self) -> Option<ClusterId> {
        (self.kept_alive.borrow().elapsed() < LOCK_TTL).then_some(self.cluster)
    }

    /// Gives it back, asking `through`: the members that were reachable when it was taken may be gone by now.
    pub async fn release(&self, through: &MemberClient) -> Result<(), EtcdError> {
        let mut etcd = through.client();
        match through.within(CALL_LIMIT, "release the rejoin lock", etcd.lease_revoke(self.lease)).await {
            Err(error) if !error.answer().is_some_and(|answer| answer.contains("lease not found")) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for RejoinLock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep_alive(client: MemberClient, lease: i64, kept: watch::Sender<Instant>) {
    let mut etcd = client.client();
    loop {
        tokio::time::sleep(KEEP_ALIVE_EVERY).await;
        let asked = Instant::now();
        let keeping = async {
            let (mut keeper, mut answers) = etcd.lease_keep_alive(lease).await?;
            keeper.keep_alive().await?;
            answers.message().await
        };
        match client.within(CALL_LIMIT, "keep the rejoin lock", keeping).await {
            Ok(Some(answer)) if answer.ttl() > 0 => drop(kept.send(asked)),
            // The lease is gone: `held_in` turns none when the last confirmation is too old, which it is by now.
            Ok(_) => return,
            Err(error) => tracing::debug!(error = %error, "the rejoin lock was not confirmed"),
        }
    }
}
