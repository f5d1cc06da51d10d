//! The argv of any cloud-controller-manager that is built on k8s.io/cloud-provider.
//! Refuses to know clouds: which one, and its configuration, are the user's extra arguments.

use crate::argument::{ArgumentError, Rules};
use crate::leader_elected::{self, LeaderElectedFlags};

/// All that one cloud-controller-manager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudControllerManagerFlags {
    /// What all leader-elected components are told.
    pub common: LeaderElectedFlags,
    /// Name that cloud resources carry.
    pub cluster_name: Option<String>,
}

const RULES: Rules = Rules { owned: &[leader_elected::OWNED], added_to: &[], supersedes: &[] };

/// The argv of a cloud-controller-manager, without the program.
pub fn cloud_controller_manager(
    flags: &CloudControllerManagerFlags,
    user: &[String],
) -> Result<Vec<String>, ArgumentError> {
    let mut arguments = flags.common.arguments();
    if let Some(name) = &flags.cluster_name {
        arguments.set("cluster-name", name);
    }
    arguments.join(user, &RULES)
}
