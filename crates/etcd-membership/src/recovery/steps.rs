//! The steps of a recovery that was allowed, from what is on the volume and in the record alone: whoever crashes between two
//! of them goes on where it was. The change of the record is the one moment that decides; before it everything can be
//! given up, after it nothing. Refuses to act without a fresh verdict, or while it is unknown which cluster holds.

use serde::{Deserialize, Serialize};

use super::RecoverySource;
use crate::observation::Data;

/// How far a recovery is, written on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Allowed; nothing was done.
    Asked,
    /// The new data directory is there beside the old one.
    Built,
    /// The record names the new cluster.
    Switched,
}

/// What the record says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordNow {
    /// There is none.
    Absent,
    /// It can be read.
    Present {
        /// The recovery that made it what it is.
        recovery: Option<String>,
    },
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// Whether the recovery is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody looked yet in this round.
    NotAsked,
    /// Nothing is in the way.
    Allowed,
    /// This is in the way.
    Refused(String),
}

/// All that the next step depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// Which recovery this is.
    pub nonce: String,
    /// What the new cluster begins with.
    pub source: RecoverySource,
    /// How far it is.
    pub phase: Phase,
    /// The recovery that the record named when this one was allowed.
    pub former: Option<String>,
    /// What the record says now.
    pub record: RecordNow,
    /// What is in the data directory.
    pub data: Data,
    /// Whether the new data directory lies beside it.
    pub built: bool,
    /// Whether etcd, in this life of the supervisor, wrote all that its log holds into its database, or could not.
    pub replayed: bool,
    /// Whether it is still allowed.
    pub verdict: Verdict,
}

/// What to do next. After every step but `LetEtcdReplay`, `Abandon` and `Finish`, look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryStep {
    /// Look at everybody again, and judge.
    Judge,
    /// Go back to [`Phase::Asked`], remove what was built, and start etcd once more on its data: what its log knows to be
    /// committed must get into its database.
    LetEtcdReplay,
    /// Make the new data directory beside the old one, from scratch, and write [`Phase::Built`] last.
    Build,
    /// Make the record that of the new cluster, if it still names the former recovery.
    SwitchRecord,
    /// Write [`Phase::Switched`].
    NoteSwitch,
    /// Set the old data directory aside.
    SetDataAside,
    /// Forget whom the old data belonged to, and put the new data directory in its place.
    PutInPlace,
    /// The record cannot be read, and it may name this recovery: look again later.
    Wait(String),
    /// Give it up: remove the mark, then what was built. Nothing else was touched.
    Abandon(String),
    /// All is done; remove the mark.
    Finish,
}

/// Decides the next step.
#[must_use]
pub fn next_recovery_step(now: &RecoveryProgress) -> RecoveryStep {
    let holds =
        matches!(&now.record, RecordNow::Present { recovery } if recovery.as_ref() == Some(&now.nonce));
    match now.phase {
        Phase::Switched => after_the_switch(now),
        _ if holds => RecoveryStep::NoteSwitch,
        Phase::Asked | Phase::Built => before_the_switch(now),
    }
}

fn after_the_switch(now: &RecoveryProgress) -> RecoveryStep {
    if now.source == RecoverySource::Nothing {
        return RecoveryStep::Finish;
    }
    match (now.built, now.data) {
        // It was put in place already.
        (false, _) => RecoveryStep::Finish,
        (true, Data::NoDirectory) => RecoveryStep::PutInPlace,
        (true, _) => RecoveryStep::SetDataAside,
    }
}

fn before_the_switch(now: &RecoveryProgress) -> RecoveryStep {
    match &now.record {
        // The answer to the change may have been lost, and the change not.
        RecordNow::Unreadable(why) if now.phase == Phase::Built => return RecoveryStep::Wait(why.clone()),
        RecordNow::Present { recovery } if *recovery != now.former => {
            return RecoveryStep::Abandon("another recovery was faster".to_owned());
        }
        _ => {}
    }
    if now.source == RecoverySource::OwnData && !now.replayed && now.data == Data::Present {
        return RecoveryStep::LetEtcdReplay;
    }
    match &now.verdict {
        Verdict::NotAsked => return RecoveryStep::Judge,
        Verdict::Refused(why) => return RecoveryStep::Abandon(why.clone()),
        Verdict::Allowed => {}
    }
    let nothing_to_build = now.source == RecoverySource::Nothing;
    if now.phase == Phase::Built && (now.built || nothing_to_build) {
        RecoveryStep::SwitchRecord
    } else {
        RecoveryStep::Build
    }
}
