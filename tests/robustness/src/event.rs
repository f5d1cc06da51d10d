//! What can befall a control plane, and what its operator can do meanwhile: as values that are written into plans (JSON) and
//! told to people. Refuses to do any of it.

use std::fmt;
use std::time::Duration;

use certificates::Rotated;
use serde::{Deserialize, Serialize};

use crate::milliseconds;

/// Which process of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Process {
    /// The upstream component.
    Child,
    /// Ours.
    Supervisor,
}

/// Something that befalls the control plane, or that its operator does meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// SIGKILL of these in the same instant.
    Kill(Vec<(String, Process)>),
    /// SIGSTOP, and SIGCONT after a while if it still lives.
    Freeze {
        /// The instance.
        instance: String,
        /// Which of its processes.
        process: Process,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// SIGTERM of a supervisor, as for a new Pod.
    Stop(String),
    /// All data of a member of etcd is deleted, and its processes are killed. All members have theirs when it happens.
    LoseVolume(String),
    /// Nobody reaches the port that a member has for its peers, while it reaches theirs: it hears them, and they do not hear it.
    CutOff {
        /// The member.
        member: String,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// A member and its peers do not reach each other, whoever opened the connection.
    Isolate {
        /// The member.
        member: String,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// The network between members of etcd is bad.
    Loss {
        /// How many of hundred packets it loses.
        percent: u32,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// The network between members of etcd is slow.
    Delay {
        /// How long each packet takes.
        #[serde(with = "milliseconds", rename = "packetMilliseconds")]
        packet: Duration,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// The volume of a member, which is small, has no space left.
    FillVolume {
        /// The member: always the same one.
        member: String,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// The disk of a member is slow.
    SlowVolume {
        /// The member: always the same one.
        member: String,
        /// How many writes a second it takes.
        writes: u32,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// SIGSTOP of all that has one number, supervisors and all, as of a machine that stands still: dead to others, and back.
    Standstill {
        /// The instances.
        instances: Vec<String>,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// The clock of all processes of ours is ahead. Upstream's, which are static programs of Go, keep the right one.
    ClockAhead {
        /// By how much.
        #[serde(with = "milliseconds", rename = "aheadMilliseconds")]
        ahead: Duration,
        /// For how long.
        #[serde(with = "milliseconds", rename = "milliseconds")]
        lasts: Duration,
    },
    /// An operator wants another key, or other CAs; whoever has that under way already says so, and goes on.
    Rotate(Rotated),
    /// An operator restarts one API server after the other, each when all are ready.
    RollApiServers,
    /// An operator stops the whole control plane, and starts it again as soon as it has stopped.
    DownAndUp,
    /// An operator has the database of a member rewritten.
    Defragment(String),
    /// An operator saves what a member has.
    Snapshot(String),
}

impl Event {
    /// The instances that it names.
    #[must_use]
    pub fn instances(&self) -> Vec<&String> {
        match self {
            Self::Kill(victims) => victims.iter().map(|(instance, _)| instance).collect(),
            Self::Standstill { instances, .. } => instances.iter().collect(),
            Self::Freeze { instance: one, .. }
            | Self::CutOff { member: one, .. }
            | Self::Isolate { member: one, .. }
            | Self::FillVolume { member: one, .. }
            | Self::SlowVolume { member: one, .. }
            | Self::Stop(one)
            | Self::LoseVolume(one)
            | Self::Defragment(one)
            | Self::Snapshot(one) => vec![one],
            Self::Loss { .. }
            | Self::Delay { .. }
            | Self::ClockAhead { .. }
            | Self::Rotate(_)
            | Self::RollApiServers
            | Self::DownAndUp => Vec::new(),
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Child => "child",
            Self::Supervisor => "supervisor",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(victims) => {
                formatter.write_str("kill")?;
                victims
                    .iter()
                    .try_for_each(|(instance, process)| write!(formatter, " {instance}'s {process}"))
            }
            Self::Freeze { instance, process, lasts } => {
                write!(formatter, "freeze {instance}'s {process} for {lasts:.1?}")
            }
            Self::Stop(instance) => write!(formatter, "stop {instance}"),
            Self::LoseVolume(member) => write!(formatter, "lose all data of {member}"),
            Self::CutOff { member, lasts } => {
                write!(formatter, "let the peers of {member} not hear it for {lasts:.1?}")
            }
            Self::Isolate { member, lasts } => {
                write!(formatter, "cut {member} off from its peers for {lasts:.1?}")
            }
            Self::Loss { percent, lasts } => {
                write!(formatter, "lose {percent} % of what members send each other for {lasts:.1?}")
            }
            Self::Delay { packet, lasts } => {
                write!(formatter, "let what members send each other take {packet:.1?} for {lasts:.1?}")
            }
            Self::FillVolume { member, lasts } => {
                write!(formatter, "leave no space on the volume of {member} for {lasts:.1?}")
            }
            Self::SlowVolume { member, writes, lasts } => {
                write!(formatter, "let the disk of {member} take {writes} writes a second for {lasts:.1?}")
            }
            Self::Standstill { instances, lasts } => {
                write!(formatter, "let {} stand still for {lasts:.1?}", instances.join(", "))
            }
            Self::ClockAhead { ahead, lasts } => {
                write!(formatter, "set our clock {ahead:.0?} ahead for {lasts:.1?}")
            }
            Self::Rotate(what) => write!(formatter, "replace {}", what.all_of_them()),
            Self::RollApiServers => formatter.write_str("restart API servers one after the other"),
            Self::DownAndUp => formatter.write_str("stop all, and start it again"),
            Self::Defragment(member) => write!(formatter, "defragment {member}"),
            Self::Snapshot(member) => write!(formatter, "save a snapshot of {member}"),
        }
    }
}
