//! `pilothouse.json`: by which a state directory is recognised, and what was chosen when it was made.
//! Owns its format and the rule for component versions; refuses what another format version wrote.

use component_flags::{EtcdVersion, KubernetesVersion, Release, VersionError};
use serde::{Deserialize, Serialize};

use crate::cluster_name::ClusterName;
use crate::ports::PortBlock;
use crate::settings::Settings;

/// The content of `pilothouse.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the `pilothouse` that made it.
    pub format_version: u32,
    /// The control plane's name.
    pub name: ClusterName,
    /// First port of its block.
    pub port_block: PortBlock,
    /// What it consists of.
    pub settings: Settings,
    /// The versions with which all of it was ready; none before that happened once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<RecordedVersions>,
}

/// The layout of state directories that this code knows.
pub const FORMAT_VERSION: u32 = 1;

/// Versions of upstream's binaries as text, so that a later `pilothouse` can read what this one cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedVersions {
    /// Of kube-apiserver and everything released with it: "1.37.2".
    pub kubernetes: String,
    /// Of etcd: "3.7.3".
    pub etcd: String,
}

/// Versions of the binaries at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComponentVersions {
    /// Of kube-apiserver, kube-controller-manager and kube-scheduler: the lowest of them.
    pub kubernetes: KubernetesVersion,
    /// Of etcd.
    pub etcd: EtcdVersion,
}

/// Why the binaries at hand must not touch this data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Older than what wrote the data.
    #[error(
        "--components holds {product} {offered}, but this control plane has run {recorded}: going back can make its \
         data unreadable; use {product} {recorded} or newer"
    )]
    Downgrade {
        /// etcd or Kubernetes.
        product: &'static str,
        /// The version at hand.
        offered: String,
        /// The version recorded.
        recorded: String,
    },
    /// Kubernetes is upgraded minor by minor.
    #[error(
        "--components holds Kubernetes {offered}, but this control plane has run {recorded}: Kubernetes cannot skip a \
         minor version; run 1.{next} first"
    )]
    SkippedMinor {
        /// The version at hand.
        offered: String,
        /// The version recorded.
        recorded: String,
        /// The minor version to run in between.
        next: u32,
    },
    /// A recorded version that this `pilothouse` does not know.
    #[error(
        "the state directory was run with a version that this pilothouse does not know; use a newer pilothouse"
    )]
    Unknown(#[source] VersionError),
}

impl ComponentVersions {
    /// The form that is recorded.
    #[must_use]
    pub fn to_recorded(self) -> RecordedVersions {
        RecordedVersions { kubernetes: self.kubernetes.to_string(), etcd: self.etcd.to_string() }
    }

    /// Refuses minor versions that are older than the recorded ones, and a skipped minor of Kubernetes. Patch releases go
    /// both ways.
    pub fn may_follow(self, recorded: &RecordedVersions) -> Result<(), UpgradeError> {
        let kubernetes = KubernetesVersion::parse(&recorded.kubernetes).map_err(UpgradeError::Unknown)?;
        let etcd = EtcdVersion::parse(&recorded.etcd).map_err(UpgradeError::Unknown)?;
        let downgrade = |product, offered, recorded| UpgradeError::Downgrade { product, offered, recorded };
        if self.kubernetes.minor() < kubernetes.minor() {
            return Err(downgrade("Kubernetes", self.kubernetes.to_string(), kubernetes.to_string()));
        }
        if Release::from(self.etcd).minor() < Release::from(etcd).minor() {
            return Err(downgrade("etcd", self.etcd.to_string(), etcd.to_string()));
        }
        if self.kubernetes.minor() > kubernetes.minor() + 1 {
            return Err(UpgradeError::SkippedMinor {
                offered: self.kubernetes.to_string(),
                recorded: kubernetes.to_string(),
                next: kubernetes.minor() + 1,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(kubernetes: &str, etcd: &str) -> ComponentVersions {
        ComponentVersions {
            kubernetes: KubernetesVersion::parse(kubernetes).unwrap(),
            etcd: EtcdVersion::parse(etcd).unwrap(),
        }
    }

    #[test]
    fn versions_go_forward_and_one_minor_at_a_time() {
        let recorded = versions("1.36.3", "3.7.1").to_recorded();
        for (kubernetes, etcd) in [("1.36.3", "3.7.1"), ("1.36.2", "3.7.0"), ("1.37.0", "3.7.3")] {
            assert_eq!(versions(kubernetes, etcd).may_follow(&recorded), Ok(()));
        }
        let refusal =
            |kubernetes, etcd| versions(kubernetes, etcd).may_follow(&recorded).unwrap_err().to_string();
        assert!(refusal("1.35.9", "3.7.1").contains("Kubernetes 1.35.9"));
        assert!(refusal("1.37.0", "3.6.8").contains("etcd 3.6.8"));
        let old = versions("1.35.0", "3.6.9").to_recorded();
        assert!(
            versions("1.37.0", "3.6.9").may_follow(&old).unwrap_err().to_string().contains("run 1.36 first")
        );
        let foreign = RecordedVersions { kubernetes: "1.50.0".into(), etcd: "3.6.9".into() };
        assert!(matches!(versions("1.37.0", "3.6.9").may_follow(&foreign), Err(UpgradeError::Unknown(_))));
    }
}
