//! What one leader-elected component is told by its operator.
//! Refuses defaults: those are the command line's.

use std::net::{IpAddr, SocketAddr};

use certificates::{Authority, SharedKeySet};
use component_flags::{
    ArgumentError, CloudControllerManagerFlags, ControllerManagerFlags, KubernetesVersion,
    LeaderElectedFlags, RequestHeader, SchedulerFlags, TlsServerFiles, cloud_controller_manager,
    kube_controller_manager, kube_scheduler,
};
use component_runtime::Paths;
use serving_api_servers::ServingApiServers;

use crate::Kind;

/// What one leader-elected component is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerConfiguration {
    /// Which component.
    pub kind: Kind,
    /// The API server that it talks to: one URL behind which all of them are.
    pub api_server: String,
    /// Each API server that may serve it; none of those that answer may be older than it is.
    pub serving_api_servers: ServingApiServers,
    /// Where it serves health and metrics; its certificate must hold this address unless it is unspecified.
    pub bind_address: IpAddr,
    /// Where it serves health and metrics.
    pub secure_port: u16,
    /// Ranges of Pods, from which nodes get theirs; only for kube-controller-manager.
    pub pod_subnets: Vec<String>,
    /// Ranges of Services; only for kube-controller-manager.
    pub service_subnets: Vec<String>,
    /// Name that cloud resources carry; not for kube-scheduler.
    pub cluster_name: Option<String>,
}

/// Name of the rendered kubeconfig.
pub(crate) const KUBECONFIG: &str = "kubeconfig";

impl ControllerConfiguration {
    /// Where it listens.
    #[must_use]
    pub fn listens_at(&self) -> SocketAddr {
        SocketAddr::new(self.bind_address, self.secure_port)
    }

    /// The argv for a binary of this version.
    pub(crate) fn argv(
        &self,
        version: KubernetesVersion,
        paths: &Paths,
        operators: &[String],
    ) -> Result<Vec<String>, ArgumentError> {
        let common = self.common(paths);
        match self.kind {
            Kind::ControllerManager => {
                let flags = ControllerManagerFlags {
                    common,
                    root_authority: paths.trust(Authority::Cluster),
                    service_account_key: paths
                        .shared_key(SharedKeySet::ServiceAccount, SharedKeySet::SIGNING),
                    cluster_signing_certificate: paths
                        .shared_key(SharedKeySet::ClusterSigning, SharedKeySet::CERTIFICATE),
                    cluster_signing_key: paths
                        .shared_key(SharedKeySet::ClusterSigning, SharedKeySet::CERTIFICATE_KEY),
                    pod_subnets: self.pod_subnets.clone(),
                    service_subnets: self.service_subnets.clone(),
                    cluster_name: self.cluster_name.clone(),
                };
                kube_controller_manager(version, &flags, operators)
            }
            Kind::Scheduler => kube_scheduler(version, &SchedulerFlags { common }, operators),
            Kind::CloudControllerManager => {
                let flags = CloudControllerManagerFlags { common, cluster_name: self.cluster_name.clone() };
                cloud_controller_manager(&flags, operators)
            }
        }
    }

    fn common(&self, paths: &Paths) -> LeaderElectedFlags {
        let serving = paths.leaf(self.kind.serving(), Authority::Cluster);
        LeaderElectedFlags {
            kubeconfig: paths.configuration(KUBECONFIG),
            bind_address: self.bind_address,
            secure_port: self.secure_port,
            serving: TlsServerFiles {
                trusted_authority: serving.authority,
                certificate: serving.certificate,
                key: serving.key,
            },
            request_header: RequestHeader { authority: paths.trust(Authority::FrontProxy) },
        }
    }
}
