//! The table of certificate profiles: one row says all that is fixed about a leaf. Pure.
//! Refuses anything that depends on who asks: names are in `names`, rights in `entitlement`.

mod table;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use health_endpoints::ReloadBehaviour;
use serde::{Deserialize, Serialize};

use self::table::TABLE;
use crate::Authority;

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
    /// A node's kubelet as a client of the API server.
    NodeClient,
    /// A node's kubelet towards API servers.
    NodeServing,
    /// A node's kube-proxy as a client of the API server.
    KubeProxyClient,
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
    /// The name of the node that asks, as the Node authorizer knows it.
    Node,
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

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 19] = {
        let mut all = [Self::EtcdServer; 19];
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

    /// Whether API servers know its holder by it, and would refuse it as soon as they trust its CA no more.
    #[must_use]
    pub const fn is_of_an_api_servers_client(self) -> bool {
        matches!(
            self,
            Self::ControllerManagerClient | Self::SchedulerClient | Self::CloudControllerManagerClient
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identities;

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
            if row.reload == ReloadBehaviour::ReloadsLate {
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
