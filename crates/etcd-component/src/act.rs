//! Carries out the planner's steps on volume, record and cluster, and renders the three ways of starting.
//! Refuses to choose a step.

use std::time::Duration;

use certificates::{Authority, Profile};
use cluster_record::{ClusterRecord, Creation, InitialMember, MemberLine};
use component_flags::{EtcdFlags, InitialClusterState, TlsServerFiles};
use component_runtime::Paths;
use etcd_membership::{
    AsideReason, EtcdError, Identity, Line, MemberClient, Observation, Record, RejoinLock, Step,
};
use management_api::ManagementError;

use crate::KnownMember;
use crate::addresses::{Addresses, listen_url};
use crate::beside::{Member, now};
use crate::peers::{VOLUME_DETAIL, VOLUME_HAS_DATA, VOLUME_IS_EMPTY};

/// Longer than one call to the management cluster may take.
const RECORD_LIMIT: Duration = Duration::from_secs(6);
/// A member with data needs the record for nothing but to notice that it is gone.
const RECORD_LIMIT_WITH_DATA: Duration = Duration::from_secs(1);
/// etcd serves its peers 20 ms after its start when nobody keeps it waiting; this is for busy machines.
const HEAD_START: Duration = Duration::from_millis(250);

/// Why a step could not be taken now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Volume(#[from] crate::volume::VolumeError),
    #[error(transparent)]
    Record(#[from] cluster_record::RecordError),
    #[error("{}", .0.told())]
    Etcd(EtcdError),
    #[error("the management cluster does not say which members are still there: {}", .0.told())]
    Management(ManagementError),
    #[error("no other member answers with a quorum any more")]
    NobodyServes,
    #[error("the rejoin lock is held by {0}")]
    LockHeld(String),
}

impl From<ManagementError> for StepError {
    fn from(error: ManagementError) -> Self {
        Self::Management(error)
    }
}

impl From<EtcdError> for StepError {
    fn from(error: EtcdError) -> Self {
        Self::Etcd(error)
    }
}

/// How to start: the members to name, the token, and whether they found together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) members: Vec<(String, String)>,
    pub(crate) token: String,
    pub(crate) state: InitialClusterState,
}

impl Start {
    /// How long this member lets another one begin before it. Founding, etcd asks each peer whether it is a member
    /// already, in the order of their URLs until one answers, and waits 1 s for each that listens but does not serve yet
    /// (etcdserver/bootstrap.go): members that begin in the same instant cost each other 2 s.
    pub(crate) fn head_start(&self, me: &str) -> Duration {
        let asked_first = self.members.iter().min_by_key(|(_, peer_url)| peer_url);
        match self.state {
            InitialClusterState::New if asked_first.is_some_and(|(name, _)| name != me) => HEAD_START,
            _ => Duration::ZERO,
        }
    }
}

impl Member {
    /// Looks at volume and record, and tells the peers about the volume. Asks nobody.
    pub(crate) async fn observe(&self) -> Result<Observation, StepError> {
        let volume = self.files.with(super::volume::VolumeFiles::read).await?;
        let has_data = volume.data == etcd_membership::Data::Present;
        self.board.detail(VOLUME_DETAIL, if has_data { VOLUME_HAS_DATA } else { VOLUME_IS_EMPTY });
        let limit = if has_data { RECORD_LIMIT_WITH_DATA } else { RECORD_LIMIT };
        let record = match tokio::time::timeout(limit, self.record.read()).await {
            Ok(Ok(None)) => Record::Absent,
            Ok(Ok(Some(record))) => {
                *self.last_record.borrow_mut() = Some(record.clone());
                self.concerning_me(record)
            }
            Ok(Err(error)) => Record::Unreadable(telemetry::error_chain(&error)),
            Err(_late) => {
                Record::Unreadable(format!("{} cannot be read within {limit:?}", self.record.origin()))
            }
        };
        Ok(Observation {
            me: self.instance.clone(),
            wanted: self.members.known().iter().map(KnownMember::wanted).collect(),
            volume,
            record,
            live: None,
            rejoin_lock: self.rejoin_lock.borrow().as_ref().and_then(RejoinLock::held_in),
            crashes: self.crashes.get().seen_at(now()),
        })
    }

    fn concerning_me(&self, mut record: ClusterRecord) -> Record {
        let mine = record.members.remove(&self.instance);
        let given_up = record.given_up.iter().filter_map(|id| id.parse().ok()).collect();
        Record::Present {
            founders: record
                .initial_members
                .into_iter()
                .map(|founder| (founder.name, founder.peer_url))
                .collect(),
            mine: mine.map(|line| Line { volume_id: line.volume_id, started: line.started }),
            given_up,
        }
    }

    /// Takes a step that is neither a start nor a wait.
    pub(crate) async fn act(&self, step: &Step, seen: &Observation) -> Result<(), StepError> {
        match step {
            Step::PrepareVolume => self.files.with(super::volume::VolumeFiles::prepare).await?,
            Step::WriteVolumeId => self.files.with(super::volume::VolumeFiles::write_id).await?,
            Step::ClearLeftovers => self.files.with(super::volume::VolumeFiles::clear_leftovers).await?,
            Step::MoveDataAside(reason) => self.move_data_aside(*reason).await?,
            Step::CreateRecord => {
                let record = ClusterRecord::for_founding(initial_members(&self.members.known()));
                self.create(&record).await?;
            }
            Step::RewriteRecord => {
                let founders = initial_members(&self.members.known());
                let volume_id = seen.volume.id.as_deref();
                self.create(&ClusterRecord::from_a_survivor(founders, &self.instance, volume_id)).await?;
            }
            Step::RecordMyLine => {
                let line = MemberLine { volume_id: seen.volume.id.clone(), started: false };
                let change = |record: &mut ClusterRecord| {
                    record.members.entry(self.instance.clone()).or_insert_with(|| line.clone());
                };
                self.record.change(change).await?;
            }
            Step::TakeRejoinLock => Box::pin(self.take_rejoin_lock()).await?,
            Step::ReleaseRejoinLock => {
                let client = self.serving_client().await?;
                let lock = self.rejoin_lock.borrow_mut().take();
                if let Some(lock) = lock {
                    lock.release(&client).await?;
                }
            }
            Step::RemoveMe(id) => self.serving_client().await?.remove(*id).await?,
            Step::AddMeAsLearner => self.add_me(seen).await?,
            // Starts, waits and questions are the caller's.
            Step::AskPeers
            | Step::StartNew
            | Step::StartExisting
            | Step::StartJoining(_)
            | Step::Wait { .. }
            | Step::Refuse { .. } => {}
        }
        Ok(())
    }

    async fn create(&self, record: &ClusterRecord) -> Result<(), StepError> {
        let created = self.record.create(record).await?;
        tracing::info!(
            record = self.record.origin(),
            by_us = created == Creation::Created,
            "the cluster record is there"
        );
        Ok(())
    }

    async fn move_data_aside(&self, reason: AsideReason) -> Result<(), StepError> {
        let word = match reason {
            AsideReason::Removed => "removed",
            AsideReason::Rejected => "rejected",
            AsideReason::GivenUp => "given-up",
        };
        let aside = self.files.with(move |files| files.set_aside(word, now())).await?;
        tracing::warn!(reason = word, kept_at = %aside.display(), "the data directory was set aside; this member joins anew");
        self.note_crashes(self.crashes.get().data_set_aside(reason == AsideReason::Rejected)).await;
        Ok(())
    }

    async fn take_rejoin_lock(&self) -> Result<(), StepError> {
        let endpoints = self.peers.reachable().await;
        let client = MemberClient::of_any(&endpoints, self.peers.files()).await?;
        match Box::pin(RejoinLock::take(client, &self.instance)).await? {
            Ok(lock) => {
                *self.rejoin_lock.borrow_mut() = Some(lock);
                Ok(())
            }
            Err(holder) => Err(StepError::LockHeld(holder)),
        }
    }

    async fn add_me(&self, seen: &Observation) -> Result<(), StepError> {
        let me = self.members.me();
        let client = self.serving_client().await?;
        let (cluster, member) = client.add_learner(&me.peer_url).await?;
        let identity = Identity { name: seen.me.clone(), cluster, member };
        tracing::info!(%member, %cluster, "added to the cluster as a learner");
        Ok(self.files.with(move |files| files.write_identity(&identity)).await?)
    }

    async fn serving_client(&self) -> Result<MemberClient, StepError> {
        self.peers.serving_client().await.ok_or(StepError::NobodyServes)
    }

    /// What a starting step means for etcd's flags; none if it is no start. Looks at nothing: the step follows from the
    /// record that was read for it.
    pub(crate) fn start(&self, step: &Step) -> Result<Option<Start>, StepError> {
        let start = match step {
            Step::StartNew => {
                let record = self.last_record.borrow().clone();
                let record = record
                    .ok_or_else(|| cluster_record::RecordError::Missing { origin: self.record.origin() })?;
                let members =
                    record.initial_members.into_iter().map(|founder| (founder.name, founder.peer_url));
                Start { members: members.collect(), token: record.token, state: InitialClusterState::New }
            }
            Step::StartJoining(members) => {
                let state = InitialClusterState::Existing;
                Start { members: members.clone(), token: self.token(), state }
            }
            Step::StartExisting => self.start_on_data(),
            _ => return Ok(None),
        };
        Ok(Some(start))
    }

    /// etcd ignores members and token while there is data; should it vanish this instant, `existing` founds nothing.
    pub(crate) fn start_on_data(&self) -> Start {
        let known = self.members.known();
        let members = known.iter().map(|member| (member.name.clone(), member.peer_url.clone()));
        Start { members: members.collect(), token: self.token(), state: InitialClusterState::Existing }
    }

    /// Only founding depends on it.
    fn token(&self) -> String {
        self.last_record.borrow().as_ref().map_or_else(|| "unknown".to_owned(), |record| record.token.clone())
    }

    pub(crate) fn flags(&self, start: Start, addresses: Addresses, paths: &Paths) -> EtcdFlags {
        let me = self.members.me();
        let tls = |profile, authority| {
            let leaf = paths.leaf(profile, authority);
            TlsServerFiles { trusted_authority: leaf.authority, certificate: leaf.certificate, key: leaf.key }
        };
        EtcdFlags {
            name: self.instance.clone(),
            data_directory: self.files.data(),
            listen_peer_urls: vec![listen_url(addresses.peer)],
            advertise_peer_urls: vec![me.peer_url.clone()],
            listen_client_urls: vec![listen_url(addresses.client)],
            advertise_client_urls: vec![me.client_url.clone()],
            listen_client_http_urls: vec![listen_url(addresses.http)],
            initial_cluster: start.members,
            initial_cluster_token: start.token,
            initial_cluster_state: start.state,
            client_tls: tls(Profile::EtcdServer, Authority::Etcd),
            peer_tls: tls(Profile::EtcdPeer, Authority::EtcdPeer),
            quota_backend_bytes: self.configuration.quota_backend_bytes,
        }
    }
}

/// All wanted members as founders.
pub(crate) fn initial_members(members: &[KnownMember]) -> Vec<InitialMember> {
    let founder =
        |member: &KnownMember| InitialMember { name: member.name.clone(), peer_url: member.peer_url.clone() };
    members.iter().map(founder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn founders_let_the_one_begin_that_they_ask_first() {
        let member = |ordinal: u32| (format!("etcd-{ordinal}"), format!("https://etcd-{ordinal}.peers:2380"));
        let start =
            |state| Start { members: vec![member(2), member(0), member(1)], token: String::new(), state };
        let founding = start(InitialClusterState::New);
        assert_eq!(founding.head_start("etcd-0"), Duration::ZERO);
        assert_eq!(founding.head_start("etcd-1"), HEAD_START);
        assert_eq!(founding.head_start("etcd-2"), HEAD_START);
        assert_eq!(start(InitialClusterState::Existing).head_start("etcd-1"), Duration::ZERO);
        let alone = Start { members: vec![member(0)], token: String::new(), state: InitialClusterState::New };
        assert_eq!(alone.head_start("etcd-0"), Duration::ZERO);
    }
}
