//! All that the planner may know: the volume, the record, the peers. Plain data that somebody else gathered.
//! Refuses conclusions; a look that was not made is `None`, which is not the same as a look that saw nothing.

use std::time::Duration;

use crate::{ClusterId, MemberId};

/// A member that should exist, as the supervisor was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedMember {
    /// Its instance name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_url: String,
    /// Where clients reach it (gRPC).
    pub client_url: String,
}

/// One round of looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// My name.
    pub me: String,
    /// All members that should exist, myself among them.
    pub wanted: Vec<WantedMember>,
    /// My volume.
    pub volume: Volume,
    /// What is remembered outside the volumes.
    pub record: Record,
    /// What the peers say; none: not asked in this round.
    pub live: Option<LiveView>,
    /// The cluster in which I hold the lock under which one member at a time is replaced. It says nothing in any other one:
    /// a cluster that lost everything and was founded anew knows none of the old one's locks.
    pub rejoin_lock: Option<ClusterId>,
    /// How my child ended lately.
    pub crashes: Crashes,
}

/// My volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The random id that a supervisor wrote on it; none: a fresh volume, or one that lost it.
    pub id: Option<String>,
    /// etcd's data on it.
    pub data: Data,
    /// The ids written beside the data when they were known.
    pub identity: Option<Identity>,
    /// Whether so little space is left that etcd cannot write.
    pub full: bool,
}

/// What is in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// There is no such directory. It is made before the volume gets its id: with an id, somebody deleted it.
    NoDirectory,
    /// An empty directory.
    Empty,
    /// Something, but no write-ahead log: etcd died before it took part in anything.
    Leftovers,
    /// A write-ahead log: the member took part.
    Present,
}

/// Who the data belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The instance name of the member.
    pub name: String,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id in that cluster.
    pub member: MemberId,
}

/// The cluster record as far as it concerns me.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// There is none.
    Absent,
    /// There is one.
    Present {
        /// The founders: name and peer URL.
        founders: Vec<(String, String)>,
        /// My line in it.
        mine: Option<Line>,
        /// Clusters that a recovery gave up.
        given_up: Vec<ClusterId>,
    },
    /// It cannot be read; the text says why and what to do.
    Unreadable(String),
}

/// A member's line in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The volume it had; none: unknown.
    pub volume_id: Option<String>,
    /// Whether it ever served.
    pub started: bool,
}

/// What the peers said when they were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveView {
    /// The members as a quorum knows them: from a linearizable answer; none if no peer gave one.
    pub quorum: Option<Quorum>,
    /// One entry for each wanted member but me, and for each that is not wanted any more and still there: it may have the data
    /// without which I cannot come back.
    pub peers: Vec<PeerView>,
}

/// A linearizable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The cluster that answered.
    pub cluster: ClusterId,
    /// Its members.
    pub members: Vec<ListedMember>,
}

/// A member as etcd lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMember {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty for one that was added and never started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Whether it published its client URLs, so that it certainly ran. (A founder has a name before it ever ran.)
    pub started: bool,
    /// Whether it has no vote.
    pub learner: bool,
}

/// What is known about one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Whether its etcd answers at all, quorum or not.
    pub etcd_answers: bool,
    /// What its supervisor says.
    pub report: PeerReport,
}

/// What a peer's supervisor says about its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerReport {
    /// We do not know where to ask.
    NotAskable,
    /// It did not answer, or does not know yet.
    Silent,
    /// There is no data on its volume.
    Empty,
    /// There is data on its volume.
    Data,
}

/// The endings of my child since it last served.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crashes {
    /// How many, without one good moment between them.
    pub count: u32,
    /// How long ago the last one was.
    pub since_last: Duration,
    /// Whether its data was already set aside for that, so that doing it again would help nobody.
    pub data_was_set_aside: bool,
}

impl ListedMember {
    /// Whether this entry stands for the wanted member.
    #[must_use]
    pub fn stands_for(&self, wanted: &WantedMember) -> bool {
        self.peer_urls.contains(&wanted.peer_url) || self.name == wanted.name
    }
}

impl Quorum {
    /// How many members vote.
    #[must_use]
    pub fn voters(&self) -> usize {
        self.members.iter().filter(|member| !member.learner).count()
    }
}
