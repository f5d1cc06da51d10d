//! Once a second beside the running child: tell who it is, write down what must be remembered, and, beside the leader,
//! promote learners and remove those that stall. Refuses to end the task: what fails is tried again.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use cluster_record::{ClusterRecord, MemberLine};
use etcd_membership::{
    Care, Caretaker, ClusterView, EtcdError, Identity, ListedMember, MemberClient, MemberStatus,
};
use tokio::time::Instant;

use crate::act::initial_members;
use crate::beside::Member;
use crate::crash_note::CrashNote;
use crate::peers::{DISK_FREE_DETAIL, VOLUME_DETAIL, VOLUME_HAS_DATA};

const ROUND: Duration = Duration::from_secs(1);
/// Until a member serves and is written down: whoever waits for its ids waits no longer than this.
const FIRST_ROUNDS: Duration = Duration::from_millis(200);
/// While there is a member that nobody knows.
const MEMBERS_EVERY: Duration = Duration::from_secs(5);
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// After it could not be written.
const RECORD_AGAIN: Duration = Duration::from_secs(10);
/// The record must not hold up what is done for the members.
const RECORD_LIMIT: Duration = Duration::from_secs(5);

/// Until dropped.
pub(crate) async fn care(member: Rc<Member>) {
    let began = Instant::now();
    let mut caretaker = Caretaker::default();
    let mut remembered = Remembered::default();
    loop {
        member.look_at_volume(&mut remembered).await;
        member.look_at_peers(&mut remembered).await;
        let round = Box::pin(member.round(&mut caretaker, &mut remembered, began.elapsed()));
        if let Err(error) = round.await {
            tracing::debug!(error = error.told(), "the member beside us did not answer");
        }
        let settled = member.seen.serves.get() && remembered.record_checked.is_some();
        tokio::time::sleep(if settled { ROUND } else { FIRST_ROUNDS }).await;
    }
}

/// What this task already did for the present child.
#[derive(Default)]
struct Remembered {
    data_was_there: bool,
    identity: Option<Identity>,
    record_checked: Option<Instant>,
    record_failure: Option<String>,
    peers_asked: Option<Instant>,
    members_looked_up: Option<Instant>,
}

impl Member {
    /// etcd goes on with deleted files until it dies of it, so somebody has to notice.
    async fn look_at_volume(&self, remembered: &mut Remembered) {
        let looked = self.files.with(|files| Ok((files.has_data()?, files.free_bytes())));
        let Ok((there, free)) = looked.await else { return };
        self.board.detail(DISK_FREE_DETAIL, &free.map(|free| free.to_string()).unwrap_or_default());
        if there && !std::mem::replace(&mut remembered.data_was_there, true) {
            self.board.detail(VOLUME_DETAIL, VOLUME_HAS_DATA);
        }
        let gone = remembered.data_was_there && !there;
        if gone && !self.seen.data_is_gone.replace(true) {
            tracing::error!(
                directory = %self.files.data().display(),
                "the data directory was deleted while etcd runs; it is replaced as soon as the other members can do without it"
            );
            self.board.detail("dataDirectory", "deleted while etcd runs");
        }
    }

    /// Only a member in trouble needs to know whether the others could do without it, and whether it only rewrites its
    /// database.
    async fn look_at_peers(&self, remembered: &mut Remembered) {
        let in_trouble = !self.seen.serves.get() || self.seen.data_is_gone.get();
        if in_trouble && remembered.peers_asked.is_none_or(|at| at.elapsed() >= ROUND) {
            remembered.peers_asked = Some(Instant::now());
            let (serving, rewrites) = tokio::join!(self.peers.serving(ROUND), self.own.rewrites_database());
            self.seen.peers_answered(serving);
            self.seen.found_rewriting(rewrites);
        }
    }

    async fn round(
        &self,
        caretaker: &mut Caretaker,
        remembered: &mut Remembered,
        now: Duration,
    ) -> Result<(), EtcdError> {
        let own = self.own.grpc().await?;
        let status = own.status(CALL_LIMIT).await?;
        self.tell(&status);
        self.remember_identity(&status, remembered).await;
        self.remember_cluster_version(&status).await;
        if self.seen.serves.get() && !status.learner {
            self.note_crashes(CrashNote::default()).await;
            self.remember_in_record(&status, remembered).await;
            self.give_lock_back(&own).await;
        }
        if status.leader != Some(status.member) {
            caretaker.look(&view(&status, Vec::new(), BTreeMap::new()), now);
            return Ok(());
        }
        self.care_for_others(&own, &status, caretaker, remembered, now).await
    }

    fn tell(&self, status: &MemberStatus) {
        let leads = status.leader == Some(status.member);
        self.seen.member.set(Some(status.member));
        self.seen.leads.set(leads);
        self.board.detail("memberId", &status.member.to_string());
        self.board.detail("clusterId", &status.cluster.to_string());
        self.board.detail("leader", if leads { "true" } else { "false" });
        if !leads {
            self.board.detail("members", "");
        }
        self.board.detail("learner", if status.learner { "true" } else { "false" });
        self.board.detail("databaseBytes", &status.database_bytes.to_string());
        self.board.detail("databaseUsedBytes", &status.used_bytes.to_string());
    }

    async fn remember_identity(&self, status: &MemberStatus, remembered: &mut Remembered) {
        let identity =
            Identity { name: self.instance.clone(), cluster: status.cluster, member: status.member };
        if remembered.identity.as_ref() == Some(&identity) {
            return;
        }
        let wanted = identity.clone();
        match self.files.with(move |files| files.write_identity(&wanted)).await {
            Ok(()) => remembered.identity = Some(identity),
            Err(error) => {
                tracing::warn!(error = telemetry::error_chain(&error), "the member's ids cannot be written");
            }
        }
    }

    /// My line says: this volume, started. A record that is gone is written anew, with all members as started.
    async fn remember_in_record(&self, status: &MemberStatus, remembered: &mut Remembered) {
        let every = self.record.look_every();
        let pause = if remembered.record_failure.is_some() { every.min(RECORD_AGAIN) } else { every };
        if remembered.record_checked.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        remembered.record_checked = Some(Instant::now());
        let written = async {
            let volume_id = match self.files.with(super::volume::VolumeFiles::read).await {
                Ok(volume) => volume.id,
                Err(error) => return Err(telemetry::error_chain(&error)),
            };
            if self.record.read().await.map_err(|error| telemetry::error_chain(&error))?.is_none() {
                let founders = initial_members(&self.members.known());
                let record = ClusterRecord::from_a_survivor(founders, &self.instance, volume_id.as_deref());
                self.record.create(&record).await.map_err(|error| telemetry::error_chain(&error))?;
                tracing::warn!(
                    record = self.record.origin(),
                    "the cluster record was gone and is written anew"
                );
            }
            let line = MemberLine { volume_id, started: true };
            let cluster = status.cluster.to_string();
            let change = |record: &mut ClusterRecord| {
                if !record.given_up.contains(&cluster) {
                    record.members.insert(self.instance.clone(), line.clone());
                    record.cluster_id = Some(cluster.clone());
                }
            };
            let record = self.record.change(change).await.map_err(|error| telemetry::error_chain(&error))?;
            if record.given_up.contains(&cluster) {
                self.seen.given_up.set(true);
            }
            Ok(())
        };
        let failure = match tokio::time::timeout(RECORD_LIMIT, written).await {
            Ok(written) => written.err(),
            Err(_late) => Some(format!("{} does not answer within {RECORD_LIMIT:?}", self.record.origin())),
        };
        if let Some(error) = failure.as_ref().filter(|_| failure != remembered.record_failure) {
            tracing::warn!(error, "this member's line cannot be written to the cluster record; tried again");
        }
        remembered.record_failure = failure;
    }

    async fn give_lock_back(&self, own: &MemberClient) {
        let Some(lock) = self.rejoin_lock.borrow_mut().take() else { return };
        match lock.release(own).await {
            Ok(()) => tracing::info!("this member votes again; the next one may be replaced"),
            Err(error) => {
                tracing::debug!(error = error.told(), "the rejoin lock could not be given back yet");
                *self.rejoin_lock.borrow_mut() = Some(lock);
            }
        }
    }

    /// A member that joined since we started can only be asked how far it is when we know where it is.
    async fn get_to_know(&self, members: &[ListedMember], remembered: &mut Remembered) {
        let known = self.members.known();
        let stranger = |member: &ListedMember| !known.iter().any(|known| member.stands_for(&known.wanted()));
        let lately = remembered.members_looked_up.is_some_and(|at| at.elapsed() < MEMBERS_EVERY);
        if self.members.may_change() && !lately && members.iter().any(stranger) {
            remembered.members_looked_up = Some(Instant::now());
            let look = self.members.look().await;
            tracing::debug!(?look, "looked up the members, of which one was unknown");
        }
    }

    async fn care_for_others(
        &self,
        own: &MemberClient,
        status: &MemberStatus,
        caretaker: &mut Caretaker,
        remembered: &mut Remembered,
        now: Duration,
    ) -> Result<(), EtcdError> {
        let members = own.quorum(CALL_LIMIT).await?.members;
        self.board.detail("members", &told(&members));
        self.get_to_know(&members, remembered).await;
        let applied = if members.iter().any(|member| member.learner) {
            self.peers.statuses().await.into_iter().map(|peer| (peer.member, peer.applied)).collect()
        } else {
            BTreeMap::new()
        };
        for care in caretaker.look(&view(status, members, applied), now) {
            match care {
                Care::Promote(learner) => match own.promote(learner).await {
                    Ok(true) => tracing::info!(%learner, "a learner votes now"),
                    Ok(false) => tracing::debug!(%learner, "a learner has not caught up yet"),
                    Err(error) => {
                        tracing::warn!(%learner, error = error.told(), "a learner cannot be promoted yet");
                    }
                },
                Care::RemoveStalled(learner) => {
                    tracing::warn!(%learner, "a learner made no progress for 5 minutes and is removed; it may join again");
                    own.remove(learner).await?;
                }
            }
        }
        Ok(())
    }
}

/// The list as the leader has it, for people.
fn told(members: &[ListedMember]) -> String {
    let mut names: Vec<String> = members
        .iter()
        .map(|member| {
            let name = if member.name.is_empty() { member.id.to_string() } else { member.name.clone() };
            if member.learner { name + " (learner)" } else { name }
        })
        .collect();
    names.sort();
    names.join(", ")
}

fn view(
    status: &MemberStatus,
    members: Vec<ListedMember>,
    applied: BTreeMap<etcd_membership::MemberId, u64>,
) -> ClusterView {
    ClusterView { me: status.member, leader: status.leader, members, applied }
}
