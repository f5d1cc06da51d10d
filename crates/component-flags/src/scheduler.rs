//! The argv of kube-scheduler.
//! Refuses nothing of scheduling itself: `--config` is the user's, and then carries the client connection too.

use crate::KubernetesVersion;
use crate::argument::{ArgumentError, Rules};
use crate::leader_elected::{self, LeaderElectedFlags};

/// All that one scheduler is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerFlags {
    /// What all leader-elected components are told.
    pub common: LeaderElectedFlags,
}

const OWNED: &[(&str, &str)] =
    &[("write-config-to", "the supervisor runs the scheduler, it does not print its configuration")];

const RULES: Rules = Rules { owned: &[leader_elected::OWNED, OWNED], added_to: &[], supersedes: &[] };

/// The argv of a scheduler, without the program. All supported versions take the same.
pub fn kube_scheduler(
    _version: KubernetesVersion,
    flags: &SchedulerFlags,
    user: &[String],
) -> Result<Vec<String>, ArgumentError> {
    flags.common.arguments().join(user, &RULES)
}
