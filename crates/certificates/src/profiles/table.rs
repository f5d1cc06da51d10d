//! One row a profile: the whole of what is fixed about leaves. Pure.
//! Refuses logic: constants and shorthands only.

use std::time::Duration;

use health_endpoints::ReloadBehaviour::{OwnClient, Reloads, ReloadsLate};

use super::{CommonName, NameRule, Profile, ProfileRow, Usage};
use crate::{Authority, identities};

const SECOND: u64 = 1;
const HOUR: u64 = 3600 * SECOND;
/// Three days: long enough to be away for a weekend's hour, short enough that a stolen leaf is soon worthless.
const COMPONENT_LIFETIME: Duration = Duration::from_secs(72 * HOUR);
/// One year: people copy kubeconfigs.
const PEOPLE_LIFETIME: Duration = Duration::from_secs(365 * 24 * HOUR);
/// One year, as kubeadm gives: nobody renews these but whoever asks for them again.
const NODE_LIFETIME: Duration = PEOPLE_LIFETIME;
/// What reloads within seconds, or is ours, needs no more than a few renewals' time.
const SHORTEST: Duration = Duration::from_secs(10);
/// client-go re-reads client certificates every 5 minutes (`transport/cert_rotation.go`): half the life must be longer.
const SHORTEST_CLIENT_GO: Duration = Duration::from_secs(12 * 60);

const SERVER: &[Usage] = &[Usage::Server];
const CLIENT: &[Usage] = &[Usage::Client];
const BOTH: &[Usage] = &[Usage::Server, Usage::Client];

const fn serving(
    profile: Profile,
    name: &'static str,
    authority: Authority,
    used_by: &'static str,
) -> ProfileRow {
    ProfileRow {
        profile,
        name,
        authority,
        common_name: CommonName::Instance,
        organisation: None,
        usages: SERVER,
        names: NameRule::Instance,
        default_lifetime: COMPONENT_LIFETIME,
        minimum_lifetime: SHORTEST,
        reload: Reloads,
        used_by,
    }
}

const fn client(
    profile: Profile,
    name: &'static str,
    authority: Authority,
    user: &'static str,
    used_by: &'static str,
) -> ProfileRow {
    ProfileRow {
        common_name: CommonName::Fixed(user),
        usages: CLIENT,
        names: NameRule::None,
        ..serving(profile, name, authority, used_by)
    }
}

const fn client_go(
    profile: Profile,
    name: &'static str,
    user: &'static str,
    used_by: &'static str,
) -> ProfileRow {
    ProfileRow {
        minimum_lifetime: SHORTEST_CLIENT_GO,
        reload: ReloadsLate,
        ..client(profile, name, Authority::Cluster, user, used_by)
    }
}

/// In the order of [`Profile`]; a test checks that.
pub(super) const TABLE: [ProfileRow; 19] = [
    serving(Profile::EtcdServer, "etcd-server", Authority::Etcd, "etcd --cert-file, at every handshake"),
    ProfileRow {
        usages: BOTH,
        ..serving(
            Profile::EtcdPeer,
            "etcd-peer",
            Authority::EtcdPeer,
            "etcd --peer-cert-file, at every handshake",
        )
    },
    ProfileRow {
        reload: OwnClient,
        ..client(
            Profile::EtcdMemberClient,
            "etcd-member-client",
            Authority::Etcd,
            identities::ETCD_MEMBER_USER,
            "etcd-supervisor's own client",
        )
    },
    ProfileRow {
        names: NameRule::ApiServer,
        ..serving(
            Profile::ApiserverServing,
            "apiserver-serving",
            Authority::Cluster,
            "kube-apiserver --tls-cert-file, by watching the file",
        )
    },
    client(
        Profile::ApiserverEtcdClient,
        "apiserver-etcd-client",
        Authority::Etcd,
        identities::ETCD_CLIENT_USER,
        "kube-apiserver --etcd-certfile, at every handshake",
    ),
    ProfileRow {
        organisation: Some(identities::KUBELET_CLIENTS_GROUP),
        ..client_go(
            Profile::ApiserverKubeletClient,
            "apiserver-kubelet-client",
            identities::KUBELET_CLIENT_USER,
            "kube-apiserver --kubelet-client-certificate, every 5 minutes",
        )
    },
    client(
        Profile::ApiserverFrontProxyClient,
        "apiserver-front-proxy-client",
        Authority::FrontProxy,
        identities::FRONT_PROXY_USER,
        "kube-apiserver --proxy-client-cert-file, by watching the file",
    ),
    client_go(
        Profile::ControllerManagerClient,
        "controller-manager-client",
        identities::CONTROLLER_MANAGER_USER,
        "kube-controller-manager --kubeconfig, every 5 minutes",
    ),
    serving(
        Profile::ControllerManagerServing,
        "controller-manager-serving",
        Authority::Cluster,
        "kube-controller-manager --tls-cert-file, by watching the file",
    ),
    client_go(
        Profile::SchedulerClient,
        "scheduler-client",
        identities::SCHEDULER_USER,
        "kube-scheduler --kubeconfig, every 5 minutes",
    ),
    serving(
        Profile::SchedulerServing,
        "scheduler-serving",
        Authority::Cluster,
        "kube-scheduler --tls-cert-file, by watching the file",
    ),
    client_go(
        Profile::CloudControllerManagerClient,
        "cloud-controller-manager-client",
        identities::CLOUD_CONTROLLER_MANAGER_USER,
        "cloud-controller-manager --kubeconfig, every 5 minutes",
    ),
    serving(
        Profile::CloudControllerManagerServing,
        "cloud-controller-manager-serving",
        Authority::Cluster,
        "cloud-controller-manager --tls-cert-file, by watching the file",
    ),
    ProfileRow {
        organisation: Some(identities::MASTERS_GROUP),
        reload: OwnClient,
        ..client(
            Profile::ClusterBootstrapClient,
            "cluster-bootstrap-client",
            Authority::Cluster,
            identities::CLUSTER_BOOTSTRAP_USER,
            "cluster-bootstrap's own client",
        )
    },
    ProfileRow {
        organisation: Some(identities::ADMINISTRATORS_GROUP),
        reload: OwnClient,
        default_lifetime: PEOPLE_LIFETIME,
        ..client(
            Profile::Administrator,
            "administrator",
            Authority::Cluster,
            identities::ADMINISTRATOR_USER,
            "people, through the admin kubeconfig",
        )
    },
    ProfileRow {
        reload: OwnClient,
        ..serving(
            Profile::CertificateAuthorityServing,
            "certificate-authority-serving",
            Authority::Cluster,
            "certificate-authority's own server, at every handshake",
        )
    },
    ProfileRow {
        common_name: CommonName::Node,
        organisation: Some(identities::NODES_GROUP),
        default_lifetime: NODE_LIFETIME,
        ..client_go(
            Profile::NodeClient,
            "node-client",
            identities::NODE_USER_PREFIX,
            "kubelet --kubeconfig, every 5 minutes",
        )
    },
    ProfileRow {
        default_lifetime: NODE_LIFETIME,
        ..serving(
            Profile::NodeServing,
            "node-serving",
            Authority::Cluster,
            "kubelet tlsCertFile, by watching the file",
        )
    },
    ProfileRow {
        default_lifetime: NODE_LIFETIME,
        ..client_go(
            Profile::KubeProxyClient,
            "kube-proxy-client",
            identities::KUBE_PROXY_USER,
            "kube-proxy --kubeconfig, every 5 minutes",
        )
    },
];
