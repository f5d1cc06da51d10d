//! What a person may do when a majority is lost for good: whether it is allowed, what it costs, and in which steps it is done.
//! Pure, so that every moment of a crash can be tested. Refuses to guess who is lost: a person names them.

mod judgement;
mod report;
mod steps;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::ClusterId;
use crate::observation::{Data, PeerReport};

pub use judgement::{Refusal, judge};
pub use report::report;
pub use steps::{Phase, RecordNow, RecoveryProgress, RecoveryStep, Verdict, next_recovery_step};

/// What the new cluster begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecoverySource {
    /// This member's own data.
    OwnData,
    /// A snapshot file.
    Snapshot,
    /// Nothing: all members found together again.
    Nothing,
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryRequest {
    /// What the new cluster begins with.
    pub source: RecoverySource,
    /// The members that the person knows to be lost for good.
    pub lost: Vec<String>,
    /// Members whose newer data the person gives up.
    pub despite_newer: Vec<String>,
}

/// How far a member got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its cluster; positions in different ones cannot be compared.
    pub cluster: ClusterId,
    /// Revision of its store.
    pub revision: i64,
    /// Raft index that it applied; none: its etcd does not answer, and the revision was read from its data.
    pub applied: Option<u64>,
}

/// Everything that counts, as it was seen within the last seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// The member that was asked.
    pub me: String,
    /// Its data.
    pub data: Data,
    /// Whether it serves with a quorum.
    pub serves: bool,
    /// How far it got; none: its etcd does not answer.
    pub position: Option<Position>,
    /// All others that should exist, or that vote as far as this one knows.
    pub others: Vec<OtherMember>,
    /// The record.
    pub record: RecordNow,
    /// Which etcdutl there is, or why there is none.
    pub tool: Result<String, String>,
    /// What is in the snapshot file, if one was given, or why it is none.
    pub snapshot: Option<Result<SnapshotContent, String>>,
    /// What is missing on the volume for a second copy of the data.
    pub lack_of_space: Option<String>,
}

/// Another member, as far as it could be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMember {
    /// Its name.
    pub name: String,
    /// What its supervisor says about its volume.
    pub report: PeerReport,
    /// Whether its etcd answers.
    pub etcd_answers: bool,
    /// Whether it serves with a quorum.
    pub serves: bool,
    /// How far it got, if its etcd says.
    pub position: Option<Position>,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotContent {
    /// The revision at which it was taken.
    pub revision: i64,
    /// How many keys it has, old revisions included.
    pub keys: u64,
    /// Its size.
    pub bytes: u64,
}

impl OtherMember {
    /// Whether it could take part in something.
    fn has_data(&self) -> bool {
        self.report == PeerReport::Data || self.etcd_answers
    }
}
