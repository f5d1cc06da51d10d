//! Beside the leader: has files rewritten while there is space, and ends NOSPACE by compacting the history, defragmenting one member after the other, and disarming.
//! Refuses to disarm while a database is still nearly full: writes would stop again at once.

use std::rc::Rc;
use std::time::Duration;

use etcd_membership::{Alarmed, EtcdError, MemberClient, MemberStatus};

use crate::beside::Member;
use crate::defragment::Defragment;

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// After an attempt that did not help, or failed.
const NEXT_ATTEMPT: Duration = Duration::from_secs(60);
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// Above this share of its quota a database would raise the alarm again soon, in percent.
const STILL_FULL_PERCENT: u64 = 90;

/// Until dropped.
pub(crate) async fn keep_space(member: Rc<Member>) {
    let mut defragment = Defragment::of(&member);
    loop {
        let pause = defragment.as_ref().map_or(LOOK_EVERY, Defragment::pause);
        tokio::time::sleep(pause.min(LOOK_EVERY)).await;
        let result = Box::pin(member.look_at_space(&mut defragment)).await;
        match result {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(NEXT_ATTEMPT).await,
            Err(error) => {
                tracing::debug!(error = error.told(), "space was not looked at");
            }
        }
    }
}

impl Member {
    /// Whether all is well now.
    async fn look_at_space(&self, defragment: &mut Option<Defragment>) -> Result<bool, EtcdError> {
        let own = self.own.grpc().await?;
        let status = own.status(CALL_LIMIT).await?;
        if status.leader != Some(status.member) {
            if let Some(defragment) = defragment {
                defragment.rest(self);
            }
            return Ok(true);
        }
        let alarms = own.out_of_space(CALL_LIMIT).await?;
        if alarms.is_empty() {
            self.board.detail("alarm", "");
            if let Some(defragment) = defragment {
                Box::pin(defragment.round(self, &own, &status)).await?;
            }
            return Ok(true);
        }
        if let Some(defragment) = defragment {
            defragment.rest(self);
        }
        let members: Vec<String> = alarms.iter().map(|alarm| alarm.0.to_string()).collect();
        self.board.detail("alarm", "NOSPACE");
        tracing::warn!(
            members = members.join(", "),
            "etcd ran out of its quota and takes no writes; compacting and defragmenting now"
        );
        self.make_space(&own, status.revision, &alarms).await
    }

    async fn make_space(
        &self,
        own: &MemberClient,
        revision: i64,
        alarms: &[Alarmed],
    ) -> Result<bool, EtcdError> {
        own.compact(revision).await?;
        let mut after = Vec::new();
        for url in self.peers.reachable().await {
            let peer = MemberClient::new(&url, self.peers.files()).await?;
            after.push(defragmented(&peer).await?);
        }
        after.push(defragmented(own).await?);
        if let Some(full) = after.iter().find(|status| still_full(status)) {
            tracing::error!(
                member = %full.member,
                database_bytes = full.database_bytes,
                quota_bytes = full.quota_bytes,
                "the stored objects themselves fill etcd's quota: delete some, or raise --quota-backend-bytes"
            );
            return Ok(false);
        }
        for alarm in alarms {
            own.disarm(*alarm).await?;
        }
        self.board.detail("alarm", "");
        tracing::warn!("etcd has space again and takes writes");
        Ok(true)
    }
}

async fn defragmented(member: &MemberClient) -> Result<MemberStatus, EtcdError> {
    let before = member.status(CALL_LIMIT).await?;
    member.defragment().await?;
    let after = member.status(CALL_LIMIT).await?;
    tracing::info!(
        member = %after.member,
        bytes_before = before.database_bytes,
        bytes_after = after.database_bytes,
        "defragmented"
    );
    Ok(after)
}

fn still_full(status: &MemberStatus) -> bool {
    status.quota_bytes.is_some_and(|quota| status.database_bytes >= quota / 100 * STILL_FULL_PERCENT)
}
