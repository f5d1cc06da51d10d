//! The argv of kube-controller-manager.
//! Refuses the flags by which it would sign with other keys or hand out other ranges than the API server knows.

use std::path::PathBuf;

use crate::KubernetesVersion;
use crate::argument::{ArgumentError, Rules};
use crate::leader_elected::{self, LeaderElectedFlags};

/// All that one controller-manager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerManagerFlags {
    /// What all leader-elected components are told.
    pub common: LeaderElectedFlags,
    /// The cluster CA, published to every namespace and put into ServiceAccount Secrets; a change needs a restart.
    pub root_authority: PathBuf,
    /// Signs legacy ServiceAccount tokens; a change needs a restart.
    pub service_account_key: PathBuf,
    /// Signs `CertificateSigningRequests`; exactly one certificate.
    pub cluster_signing_certificate: PathBuf,
    /// Its key.
    pub cluster_signing_key: PathBuf,
    /// Ranges from which nodes get their Pod ranges; none: nodes are given none.
    pub pod_subnets: Vec<String>,
    /// Kept free when node ranges are given out; empty: not told.
    pub service_subnets: Vec<String>,
    /// Name that cloud resources carry.
    pub cluster_name: Option<String>,
}

const OWNED_SIGNING: &str = "the supervisor obtains the signing pair from the certificate-authority";

const RULES: Rules = Rules { owned: &[leader_elected::OWNED, OWNED], added_to: &[], supersedes: &[] };

const OWNED: &[(&str, &str)] = &[
    ("root-ca-file", leader_elected::OWNED_FILE),
    ("service-account-private-key-file", leader_elected::OWNED_FILE),
    ("cluster-signing-cert-file", OWNED_SIGNING),
    ("cluster-signing-key-file", OWNED_SIGNING),
    ("allocate-node-cidrs", "set --pod-subnet of the supervisor instead"),
    ("cluster-cidr", "set --pod-subnet of the supervisor instead"),
    ("service-cluster-ip-range", "set --service-subnet of the supervisor instead"),
    ("cluster-name", "set --cluster-name of the supervisor instead"),
];

/// The argv of a controller-manager, without the program. All supported versions take the same.
pub fn kube_controller_manager(
    _version: KubernetesVersion,
    flags: &ControllerManagerFlags,
    user: &[String],
) -> Result<Vec<String>, ArgumentError> {
    let mut arguments = flags.common.arguments();
    arguments
        .set("use-service-account-credentials", true)
        .file("root-ca-file", &flags.root_authority)
        .file("service-account-private-key-file", &flags.service_account_key)
        .file("cluster-signing-cert-file", &flags.cluster_signing_certificate)
        .file("cluster-signing-key-file", &flags.cluster_signing_key)
        .set("controllers", "*,bootstrapsigner,tokencleaner");
    if !flags.pod_subnets.is_empty() {
        arguments.set("allocate-node-cidrs", true).set("cluster-cidr", flags.pod_subnets.join(","));
        if !flags.service_subnets.is_empty() {
            arguments.set("service-cluster-ip-range", flags.service_subnets.join(","));
        }
    }
    if let Some(name) = &flags.cluster_name {
        arguments.set("cluster-name", name);
    }
    arguments.join(user, &RULES)
}
