//! Gathers what a recovery is judged by. Every question is bounded.
//! Refuses to remember: the situation is that of this moment.

use std::time::Duration;

use cluster_record::ClusterRecord;
use durable_files::copy_private;
use etcd_membership::recovery::{
    OtherMember, Position, RecordNow, RecoverySource, Situation, SnapshotContent,
};
use etcd_membership::{ClusterId, Data, PeerReport};

use super::etcdutl::Etcdutl;
use super::files::Asked;
use crate::act::StepError;
use crate::beside::Member;
use crate::snapshot;
use crate::volume::{LEAST_FREE_BYTES, LOG_SEGMENT_BYTES, VolumeError, VolumeFiles, io_error};

const OWN_LIMIT: Duration = Duration::from_secs(2);
const RECORD_LIMIT: Duration = Duration::from_secs(6);
const MIB: u64 = 1024 * 1024;

impl Member {
    /// What a recovery is judged by. `known` is how far this member was when its etcd could still be asked.
    pub(super) async fn situation(
        &self,
        asked: &Asked,
        known: Option<Position>,
    ) -> Result<Situation, StepError> {
        let volume = self.files.with(VolumeFiles::read).await?;
        let own = async {
            let own = self.own.grpc().await.ok()?;
            let (status, read, listed) =
                tokio::join!(own.status(OWN_LIMIT), own.read_linearizable(OWN_LIMIT), own.listed(OWN_LIMIT));
            Some((status.ok(), read.is_ok(), listed.unwrap_or_default()))
        };
        let (own, mut others) = tokio::join!(own, self.peers.for_recovery());
        let (status, serves, listed) = own.unwrap_or_default();
        let unknown = |name: &str| name != self.instance && !others.iter().any(|other| other.name == name);
        let strangers: Vec<OtherMember> = listed
            .into_iter()
            .filter(|member| !member.learner && !member.name.is_empty() && unknown(&member.name))
            .map(|member| OtherMember {
                name: member.name,
                report: PeerReport::NotAskable,
                etcd_answers: false,
                serves: false,
                position: None,
            })
            .collect();
        others.extend(strangers);
        let record = match self.record_now().await {
            Ok(record) => RecordNow::Present { recovery: record.recovery },
            Err(record) => record,
        };
        let snapshot = match asked.request.source {
            RecoverySource::Snapshot => Some(self.snapshot_content(asked).await?),
            _ => None,
        };
        let mut position = status.map(|status| status.position()).or(known);
        if let (None, Data::Present, Some(identity)) = (position, volume.data, &volume.identity) {
            position = self.position_in_data(asked, identity.cluster).await?;
        }
        Ok(Situation {
            me: self.instance.clone(),
            data: volume.data,
            serves,
            position,
            others,
            record,
            tool: self.etcdutl().version().await.map_err(|error| telemetry::error_chain(&error)),
            snapshot,
            lack_of_space: self.lack_of_space_for_a_copy(asked).await?,
        })
    }

    /// The record, or why there is none to go by.
    pub(super) async fn record_now(&self) -> Result<ClusterRecord, RecordNow> {
        match tokio::time::timeout(RECORD_LIMIT, self.record.read()).await {
            Ok(Ok(Some(record))) => Ok(record),
            Ok(Ok(None)) => Err(RecordNow::Absent),
            Ok(Err(error)) => Err(RecordNow::Unreadable(telemetry::error_chain(&error))),
            Err(_late) => Err(RecordNow::Unreadable(format!(
                "{} does not answer within {RECORD_LIMIT:?}",
                self.record.origin()
            ))),
        }
    }

    /// How far the data is, read from it. What a running etcd holds can be read as a copy only; it rests.
    async fn position_in_data(
        &self,
        asked: &Asked,
        cluster: ClusterId,
    ) -> Result<Option<Position>, StepError> {
        let database = self.files.database();
        let copy = self.files.recovery_snapshot(&format!("{}-look", asked.nonce));
        let runs = self.board.document().pid.is_some();
        if runs {
            let (from, to) = (database.clone(), copy.clone());
            let copied = move |files: &VolumeFiles| {
                let size = from.metadata().map_or(0, |metadata| metadata.len());
                if files.free_bytes().is_some_and(|free| free < size + LEAST_FREE_BYTES) {
                    return Ok(false);
                }
                let mut file = std::fs::File::open(&from).map_err(io_error("open", &from))?;
                copy_private(&to, &mut file)?;
                Ok(true)
            };
            if !self.files.with(copied).await? {
                return Ok(None);
            }
        }
        let content = self.etcdutl().status(if runs { &copy } else { &database }).await;
        if runs {
            let removed =
                move |_: &VolumeFiles| std::fs::remove_file(&copy).map_err(io_error("remove", &copy));
            self.files.with(removed).await?;
        }
        Ok(content.ok().map(|content| Position { cluster, revision: content.revision, applied: None }))
    }

    pub(super) fn etcdutl(&self) -> Etcdutl {
        Etcdutl::beside(&self.recovery.etcd)
    }

    async fn snapshot_content(&self, asked: &Asked) -> Result<Result<SnapshotContent, String>, StepError> {
        let path = self.files.recovery_snapshot(&asked.nonce);
        let looked_at = path.clone();
        let check = move |_: &VolumeFiles| snapshot::check(&looked_at).map_err(io_error("read", &looked_at));
        let size = match self.files.with(check).await {
            Ok(Ok(size)) => size,
            Ok(Err(why)) => return Ok(Err(why)),
            // Whoever asked has taken it away again.
            Err(VolumeError::Directory { .. }) => {
                return Ok(Err("the snapshot is not there any more".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(match self.etcdutl().status(&path).await {
            Ok(content) => Ok(SnapshotContent { bytes: size, ..content }),
            Err(error) => Err(telemetry::error_chain(&error)),
        })
    }

    /// A second data directory needs the space of the database and of a new log.
    async fn lack_of_space_for_a_copy(&self, asked: &Asked) -> Result<Option<String>, StepError> {
        let source = match asked.request.source {
            RecoverySource::OwnData => self.files.database(),
            RecoverySource::Snapshot => self.files.recovery_snapshot(&asked.nonce),
            RecoverySource::Nothing => return Ok(None),
        };
        let lack = move |files: &VolumeFiles| {
            let size = source.metadata().map_or(0, |metadata| metadata.len());
            let needed = size + LEAST_FREE_BYTES + LOG_SEGMENT_BYTES;
            // What an interrupted try left is removed before the next one.
            let built = files.built().join("member/snap/db").metadata().map_or(0, |metadata| metadata.len());
            let free = files.free_bytes().map(|free| free + built).filter(|free| *free < needed);
            Ok(free.map(|free| {
                format!(
                    "{} MiB are free on the volume, and a second copy of the data needs {} MiB",
                    free / MIB,
                    needed / MIB
                )
            }))
        };
        Ok(self.files.with(lack).await?)
    }
}
