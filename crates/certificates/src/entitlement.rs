//! Who may have what: the one place that says which component gets which leaf and which shared keys. Pure.
//! Refuses to know how a component was proven to be one.

use naming_contract::Component;

use crate::{Profile, SharedKeySet};

/// Whether `component` may ask for a leaf of `profile`.
#[must_use]
pub const fn may_have(component: Component, profile: Profile) -> bool {
    match profile {
        Profile::EtcdServer | Profile::EtcdPeer | Profile::EtcdMemberClient => {
            matches!(component, Component::Etcd)
        }
        Profile::ApiserverServing
        | Profile::ApiserverEtcdClient
        | Profile::ApiserverKubeletClient
        | Profile::ApiserverFrontProxyClient => matches!(component, Component::KubeApiserver),
        Profile::ControllerManagerClient | Profile::ControllerManagerServing => {
            matches!(component, Component::KubeControllerManager)
        }
        Profile::SchedulerClient | Profile::SchedulerServing => matches!(component, Component::KubeScheduler),
        Profile::CloudControllerManagerClient | Profile::CloudControllerManagerServing => {
            matches!(component, Component::CloudControllerManager)
        }
        Profile::ClusterBootstrapClient => matches!(component, Component::ClusterBootstrap),
        // Whoever keeps the control plane (`pilothouse up`, or the certificate-authority itself) writes the admin
        // kubeconfig; it could read the CA's keys anyway.
        Profile::Administrator | Profile::CertificateAuthorityServing => {
            matches!(component, Component::CertificateAuthority)
        }
        Profile::NodeClient | Profile::NodeServing | Profile::KubeProxyClient => {
            matches!(component, Component::Node)
        }
    }
}

/// Whether `component` may have the shared keys of `set`.
#[must_use]
pub const fn may_have_keys(component: Component, set: SharedKeySet) -> bool {
    match set {
        SharedKeySet::ServiceAccount => {
            matches!(component, Component::KubeApiserver | Component::KubeControllerManager)
        }
        SharedKeySet::Encryption => matches!(component, Component::KubeApiserver),
        SharedKeySet::ClusterSigning => matches!(component, Component::KubeControllerManager),
    }
}

#[cfg(test)]
mod tests {
    use Component::{KubeApiserver, KubeControllerManager};

    use super::*;

    fn everybody() -> impl Iterator<Item = Component> {
        Component::ALL.into_iter().chain([Component::Node])
    }

    #[test]
    fn every_leaf_has_exactly_one_entitled_component() {
        for profile in Profile::ALL {
            let entitled = everybody().filter(|component| may_have(*component, profile)).count();
            assert_eq!(entitled, 1, "{profile}");
        }
    }

    #[test]
    fn shared_keys_go_only_to_those_who_need_them() {
        let entitled = |set| everybody().filter(move |component| may_have_keys(*component, set));
        assert!(entitled(SharedKeySet::ServiceAccount).eq([KubeApiserver, KubeControllerManager]));
        assert!(entitled(SharedKeySet::Encryption).eq([KubeApiserver]));
        assert!(entitled(SharedKeySet::ClusterSigning).eq([KubeControllerManager]));
    }
}
