//! By which names the Pods of a release are called, from the proven identity of each. Pure.
//! Refuses the cluster domain of whoever hosts: inside Pods names end with `svc`, and a domain would have to be guessed.

use naming_contract::{Component, ReleaseObjects};

use crate::{ContentsError, LeafName};

/// The names, besides its own and loopback, under which the Pod `pod` of `component` serves. Clients serve under none,
/// but carry none either: the profile decides.
pub fn pod_names(
    component: Component,
    pod: &str,
    namespace: &str,
    objects: &ReleaseObjects,
) -> Result<Vec<LeafName>, ContentsError> {
    let mut names = Vec::new();
    match component {
        Component::Etcd => {
            names.extend(service_names(&format!("{pod}.{}", objects.etcd_peers()), namespace)?);
            names.extend(service_names(&objects.component(component), namespace)?);
        }
        Component::KubeApiserver | Component::CertificateAuthority => {
            names.extend(service_names(&objects.component(component), namespace)?);
        }
        // Nobody calls them by a Service.
        Component::KubeControllerManager
        | Component::KubeScheduler
        | Component::CloudControllerManager
        | Component::ClusterBootstrap
        | Component::Node => {}
    }
    Ok(names)
}

/// `service`, `service.namespace`, `service.namespace.svc`.
fn service_names(service: &str, namespace: &str) -> Result<[LeafName; 3], ContentsError> {
    Ok([
        LeafName::dns(service)?,
        LeafName::dns(&format!("{service}.{namespace}"))?,
        LeafName::dns(&format!("{service}.{namespace}.svc"))?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NamingSettings, Profile, Requester, leaf_contents};

    fn names(profile: Profile, component: Component, pod: &str, extra: &[&str]) -> Vec<String> {
        let own = pod_names(component, pod, "tenants", &ReleaseObjects::of("demo")).unwrap();
        let settings = NamingSettings {
            service_subnets: vec!["10.96.0.0/16".parse().unwrap()],
            cluster_domain: "cluster.local".to_owned(),
            extra_names: extra.iter().map(|name| name.parse().unwrap()).collect(),
        };
        let contents = leaf_contents(profile, Requester { instance: pod, names: &own }, &settings).unwrap();
        contents.names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_etcd_member_is_called_by_its_own_name_and_by_the_service_of_all() {
        for profile in [Profile::EtcdServer, Profile::EtcdPeer] {
            assert_eq!(
                names(profile, Component::Etcd, "demo-etcd-0", &[]),
                [
                    "demo-etcd-0",
                    "localhost",
                    "127.0.0.1",
                    "::1",
                    "demo-etcd-0.demo-etcd-peers",
                    "demo-etcd-0.demo-etcd-peers.tenants",
                    "demo-etcd-0.demo-etcd-peers.tenants.svc",
                    "demo-etcd",
                    "demo-etcd.tenants",
                    "demo-etcd.tenants.svc",
                ]
            );
        }
        assert!(names(Profile::EtcdMemberClient, Component::Etcd, "demo-etcd-0", &[]).is_empty());
    }

    #[test]
    fn an_api_server_carries_the_whole_list() {
        let found = names(
            Profile::ApiserverServing,
            Component::KubeApiserver,
            "demo-kube-apiserver-7d9f-x2x4v",
            &["api.example.com", "203.0.113.9"],
        );
        for name in [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "10.96.0.1",
            "demo-kube-apiserver",
            "demo-kube-apiserver.tenants",
            "demo-kube-apiserver.tenants.svc",
            "localhost",
            "127.0.0.1",
            "::1",
            "api.example.com",
            "203.0.113.9",
            "demo-kube-apiserver-7d9f-x2x4v",
        ] {
            assert!(found.iter().any(|known| known == name), "{name} not in {found:?}");
        }
    }

    #[test]
    fn services_of_ours_and_controllers_get_no_foreign_name() {
        let authority = names(
            Profile::CertificateAuthorityServing,
            Component::CertificateAuthority,
            "demo-certificate-authority-0",
            &["api.example.com"],
        );
        assert!(authority.contains(&"demo-certificate-authority.tenants.svc".to_owned()));
        assert!(!authority.contains(&"api.example.com".to_owned()));
        let scheduler =
            names(Profile::SchedulerServing, Component::KubeScheduler, "demo-kube-scheduler-0", &[]);
        assert_eq!(scheduler, ["demo-kube-scheduler-0", "localhost", "127.0.0.1", "::1"]);
    }
}
