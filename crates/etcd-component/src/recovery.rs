//! The way out of a permanently lost majority: a command leaves a request on the volume, the supervisor that owns the volume
//! answers it, and carries it out when a person confirmed it. Refuses decisions: the recovery of etcd-membership draws them.

mod attending;
mod command;
mod etcdutl;
mod files;
mod situation;
mod steps;

use std::cell::{Cell, RefCell};

use component_runtime::Replacement;

pub use command::{RecoverCommand, Snapshot};
pub use etcd_membership::recovery::{RecoveryRequest, RecoverySource};

pub(crate) use attending::attend;
pub(crate) use steps::Turn;

/// So many revisions are skipped: more than can have been written since, so that no revision is given out twice. etcd's own
/// advice, good for a week of 1500 writes a second (`etcdutl snapshot restore`, Kubernetes disaster recovery).
pub const DEFAULT_BUMP_REVISION: u64 = 1_000_000_000;

/// What a supervisor must remember of recoveries while it lives.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// By which the child is ended.
    replacement: Replacement,
    /// The upstream binary, beside which etcdutl is.
    etcd: std::path::PathBuf,
    /// Whether the child that ran last wrote all that its log holds into its database.
    replayed: Cell<bool>,
    /// What is told on the board.
    told: RefCell<String>,
}

impl Recovery {
    pub(crate) fn new(replacement: Replacement, etcd: std::path::PathBuf) -> Self {
        Self { replacement, etcd, replayed: Cell::new(false), told: RefCell::default() }
    }
}
