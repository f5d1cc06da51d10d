//! The table of certificate profiles: one row says all that is fixed about a leaf. Pure.
//! Refuses anything that depends on who asks: names are in `names`, rights in `entitlement`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use health_endpoints::ReloadBehaviour::{self, OwnClient, Reloads, ReloadsLate};
use naming_contract::files;
use serde::{Deserialize, Serialize};

use crate::identities;

/// A kind of leaf certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// etcd towards its clients.
    EtcdServer,
    /// etcd towards its peers, in both directions.
    EtcdPeer,
    /// etcd-supervisor's own client of etcd.
    EtcdMemberClient,
    /// kube-apiserver towards everybody.
    ApiserverServing,
    /// kube-apiserver, and its supervisor, as a client of etcd.
    ApiserverEtcdClient,
    /// kube-apiserver as a client of kubelets.
    ApiserverKubeletClient,
    /// kube-apiserver as a client of aggregated API servers.
    ApiserverFrontProxyClient,
    /// kube-controller-manager, and its supervisor, as a client of the API server.
    ControllerManagerClient,
    /// kube-controller-manager's own port.
    ControllerManagerServing,
    /// kube-scheduler, and its supervisor, as a client of the API server.
    SchedulerClient,
    /// kube-scheduler's own port.
    SchedulerServing,
    /// The cloud controller manager, and its supervisor, as a client of the API server.
    CloudControllerManagerClient,
    /// The cloud controller manager's own port.
    CloudControllerManagerServing,
    /// cluster-bootstrap as a client of the API server.
    ClusterBootstrapClient,
    /// People, in the admin kubeconfig.
    Administrator,
    /// The certificate-authority's own port.
    CertificateAuthorityServing,
}

/// One of the separate CAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// API servers, their clients, and our own services.
    Cluster,
    /// etcd's servers and clients.
    Etcd,
    /// etcd's peers alone: an API server's etcd certificate must not speak raft.
    EtcdPeer,
    /// The API server's identity towards aggregated API servers.
    FrontProxy,
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// TLS server.
    Server,
    /// TLS client.
    Client,
}

/// Where a leaf's common name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommonName {
    /// The same for every instance: Kubernetes knows it as a user.
    Fixed(&'static str),
    /// The name of the instance that asks.
    Instance,
}

/// Which names a leaf carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// None: clients are known by their subject, and a name would only let them serve.
    None,
    /// The instance, loopback and the names of the caller's identity.
    Instance,
    /// The same and all by which a hosted cluster calls its API servers.
    ApiServer,
}

/// All that is fixed about the leaves of one profile.
#[derive(Debug, Clone, Copy)]
pub struct ProfileRow {
    /// Which profile.
    pub profile: Profile,
    /// Its name in URLs, paths and flags.
    pub name: &'static str,
    /// Which CA signs it.
    pub authority: Authority,
    /// Its subject's CN.
    pub common_name: CommonName,
    /// Its subject's O: a Kubernetes group.
    pub organisation: Option<&'static str>,
    /// Its extended key usages.
    pub usages: &'static [Usage],
    /// Its subject alternative names.
    pub names: NameRule,
    /// How long it lives unless configured.
    pub default_lifetime: Duration,
    /// The least that may be configured.
    pub minimum_lifetime: Duration,
    /// How whoever holds it takes up a renewed one.
    pub reload: ReloadBehaviour,
    /// Who that is and by which setting, for people.
    pub used_by: &'static str,
}

const SECOND: u64 = 1;
const HOUR: u64 = 3600 * SECOND;
/// Three days: long enough to be away for a weekend's hour, short enough that a stolen leaf is soon worthless.
const COMPONENT_LIFETIME: Duration = Duration::from_secs(72 * HOUR);
/// One year: people copy kubeconfigs.
const PEOPLE_LIFETIME: Duration = Duration::from_secs(365 * 24 * HOUR);
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
const TABLE: [ProfileRow; 16] = [
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
];

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 16] = {
        let mut all = [Self::EtcdServer; 16];
        let mut index = 0;
        while index < TABLE.len() {
            all[index] = TABLE[index].profile;
            index += 1;
        }
        all
    };

    /// The profile's row of the table.
    #[must_use]
    pub const fn row(self) -> &'static ProfileRow {
        &TABLE[self as usize]
    }

    /// Its name in URLs, paths and flags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Which CA signs it.
    #[must_use]
    pub const fn authority(self) -> Authority {
        self.row().authority
    }

    /// The profile whose subject a certificate has; serving profiles are known by their directory instead.
    #[must_use]
    pub fn by_client_common_name(common_name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| matches!(row.common_name, CommonName::Fixed(fixed) if fixed == common_name))
            .map(|row| row.profile)
    }
}

impl Authority {
    /// All CAs.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Etcd, Self::EtcdPeer, Self::FrontProxy];

    /// Its name in paths and subjects.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Etcd => "etcd",
            Self::EtcdPeer => "etcd-peer",
            Self::FrontProxy => "front-proxy",
        }
    }

    /// The CN of its certificates.
    #[must_use]
    pub fn common_name(self) -> String {
        format!("pilothouse {self} CA")
    }

    /// Who trusts it by which setting, and how a new bundle is taken up, for people.
    #[must_use]
    pub const fn read_by(self) -> &'static str {
        match self {
            Self::Cluster => {
                "kube-apiserver --client-ca-file and controllers' kubeconfigs reload it; kube-controller-manager --root-ca-file needs a restart"
            }
            Self::Etcd => "etcd --trusted-ca-file and kube-apiserver --etcd-cafile need a restart",
            Self::EtcdPeer => "etcd --peer-trusted-ca-file needs a restart",
            Self::FrontProxy => "kube-apiserver --requestheader-client-ca-file reloads it",
        }
    }

    /// The file name of its trust bundle.
    #[must_use]
    pub const fn bundle(self) -> &'static str {
        match self {
            Self::Cluster => files::CLUSTER_BUNDLE,
            Self::Etcd => files::ETCD_BUNDLE,
            Self::EtcdPeer => files::ETCD_PEER_BUNDLE,
            Self::FrontProxy => files::FRONT_PROXY_BUNDLE,
        }
    }
}

/// No such profile or key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} {name:?}; there are: {known}")]
pub struct UnknownName {
    /// "certificate profile" or "shared key set".
    pub kind: &'static str,
    /// What was given.
    pub name: String,
    /// What there is.
    pub known: String,
}

impl FromStr for Profile {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.profile).ok_or_else(|| UnknownName {
            kind: "certificate profile",
            name: name.to_owned(),
            known: TABLE.map(|row| row.name).join(", "),
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_finds_its_own_row() {
        for profile in Profile::ALL {
            assert_eq!(profile.row().profile, profile);
            assert_eq!(profile.name().parse::<Profile>(), Ok(profile));
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.name());
        }
        assert!("etcd".parse::<Profile>().unwrap_err().to_string().contains("etcd-server"));
    }

    #[test]
    fn clients_carry_no_names_and_servers_no_groups() {
        for row in Profile::ALL.map(Profile::row) {
            if row.usages.contains(&Usage::Server) {
                assert!(row.organisation.is_none() && row.names != NameRule::None, "{}", row.name);
            } else {
                assert_eq!(row.names, NameRule::None, "{}", row.name);
            }
        }
    }

    #[test]
    fn what_is_reloaded_late_lives_longer_than_two_polls_of_client_go() {
        for row in Profile::ALL.map(Profile::row) {
            assert!(row.minimum_lifetime <= row.default_lifetime);
            if row.reload == ReloadsLate {
                assert!(row.minimum_lifetime > 2 * Duration::from_secs(5 * 60), "{}", row.name);
            }
        }
    }

    #[test]
    fn only_cluster_bootstrap_is_a_master() {
        let masters: Vec<_> = Profile::ALL
            .into_iter()
            .filter(|profile| profile.row().organisation == Some(identities::MASTERS_GROUP))
            .collect();
        assert_eq!(masters, [Profile::ClusterBootstrapClient]);
    }
}
