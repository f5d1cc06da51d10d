//! What the supervisor knows and does beside the running child; ends with it.
//! Owns what looks and tasks share; refuses decisions about membership.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use cluster_record::{ClusterRecord, RecordStore};
use component_flags::Release;
use etcd_membership::{DEFRAGMENT_LIMIT, ELECTION_LIMIT, MemberId, RejoinLock};
use health_endpoints::StatusBoard;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::crash_note::CrashNote;
use crate::members::Members;
use crate::own_member::OwnMember;
use crate::peers::Peers;
use crate::recovery::Recovery;
use crate::volume::VolumeFiles;
use crate::{EtcdConfiguration, care, recovery, set_changes, space};

/// An answer of the peers that is older says nothing about now.
const PEERS_ANSWER_AGE: Duration = Duration::from_secs(4);

/// Everything that looks, acts and tasks work with.
pub(crate) struct Member {
    pub(crate) instance: String,
    pub(crate) configuration: EtcdConfiguration,
    pub(crate) board: StatusBoard,
    pub(crate) files: VolumeFiles,
    pub(crate) members: Rc<Members>,
    pub(crate) record: RecordStore,
    /// As it was when it was last read.
    pub(crate) last_record: RefCell<Option<ClusterRecord>>,
    pub(crate) own: OwnMember,
    pub(crate) peers: Peers,
    pub(crate) rejoin_lock: RefCell<Option<RejoinLock>>,
    pub(crate) crashes: Cell<CrashNote>,
    pub(crate) seen: Seen,
    pub(crate) recovery: Recovery,
}

/// What was seen of the present child.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Whether the last look found it serving.
    pub(crate) serves: Cell<bool>,
    /// When a look last found it serving.
    served: Cell<Option<Instant>>,
    /// Whether it led when it was last asked.
    pub(crate) leads: Cell<bool>,
    /// Its id, once known.
    pub(crate) member: Cell<Option<MemberId>>,
    /// The cluster's version, once written down.
    pub(crate) cluster_version: Cell<Option<Release>>,
    /// Whether its data was there and is not there any more.
    pub(crate) data_is_gone: Cell<bool>,
    /// Whether a recovery gave its cluster up, so that it must not serve any more.
    pub(crate) given_up: Cell<bool>,
    /// What goes on with the Pods of the set, while the member beside leads.
    pub(crate) change: Cell<Option<&'static str>>,
    /// The name of the member whose database is being rewritten because we asked it to.
    pub(crate) defragmenting: RefCell<Option<String>>,
    /// Since when, and when last, the member beside was found rewriting its database, whoever asked it to.
    rewriting: Cell<Option<(Instant, Instant)>>,
    /// How many peers answered a linearizable read, and when.
    peers_serving: Cell<Option<(Instant, usize)>>,
}

impl Seen {
    pub(crate) fn forget(&self) {
        self.serves.set(false);
        self.served.set(None);
        self.leads.set(false);
        self.member.set(None);
        self.cluster_version.set(None);
        self.data_is_gone.set(false);
        self.given_up.set(false);
        self.change.set(None);
        self.defragmenting.replace(None);
        self.rewriting.set(None);
        self.peers_serving.set(None);
    }

    pub(crate) fn found_rewriting(&self, rewrites: bool) {
        let now = Instant::now();
        let since = self.rewriting.get().map_or(now, |(since, _)| since);
        self.rewriting.set(rewrites.then_some((since, now)));
    }

    /// Whether its silence means only that it rewrites its database.
    pub(crate) fn is_rewriting(&self) -> bool {
        self.rewriting.get().is_some_and(|(since, last)| {
            since.elapsed() < DEFRAGMENT_LIMIT && last.elapsed() <= PEERS_ANSWER_AGE
        })
    }

    pub(crate) fn looked(&self, serves: bool) {
        self.serves.set(serves);
        if serves {
            self.served.set(Some(Instant::now()));
        }
    }

    /// Whether it serves, or did before an election that may be going on.
    pub(crate) fn served_lately(&self) -> bool {
        self.served.get().is_some_and(|last| last.elapsed() < ELECTION_LIMIT)
    }

    pub(crate) fn peers_answered(&self, serving: usize) {
        self.peers_serving.set(Some((Instant::now(), serving)));
    }

    /// How many peers have a quorum behind them now, as far as is known.
    pub(crate) fn peers_serving(&self) -> usize {
        self.peers_serving
            .get()
            .filter(|(at, _)| at.elapsed() <= PEERS_ANSWER_AGE)
            .map_or(0, |(_, serving)| serving)
    }
}

/// The tasks; dropping ends them.
#[derive(Debug, Default)]
pub(crate) struct Tasks(RefCell<JoinSet<()>>);

impl Tasks {
    /// Ends what ran beside the last child and begins anew.
    pub(crate) fn begin(&self, member: &Rc<Member>) {
        let mut tasks = JoinSet::new();
        tasks.spawn_local(care::care(Rc::clone(member)));
        tasks.spawn_local(space::keep_space(Rc::clone(member)));
        tasks.spawn_local(set_changes::follow_set(Rc::clone(member)));
        tasks.spawn_local(recovery::attend(Rc::clone(member)));
        *self.0.borrow_mut() = tasks;
    }

    pub(crate) fn end(&self) {
        *self.0.borrow_mut() = JoinSet::new();
    }
}

impl Member {
    /// Writes the note where the next supervisor finds it; memory has it anyway.
    pub(crate) async fn note_crashes(&self, note: CrashNote) {
        if self.crashes.replace(note) == note {
            return;
        }
        if let Err(error) = self.files.with(move |files| files.write_crash_note(note)).await {
            tracing::warn!(error = telemetry::error_chain(&error), "the crash note cannot be written");
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}
