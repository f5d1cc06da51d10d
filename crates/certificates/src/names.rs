//! What a leaf holds, derived from its profile and the proven identity of whoever asks. Pure.
//! Refuses anything that a requester says about itself in a CSR.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{CommonName, NameRule, Profile, Usage, identities};

/// A subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LeafName {
    /// An IP address.
    Ip(IpAddr),
    /// A DNS name in lower case.
    Dns(String),
}

/// Who asks, as proven.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// The name of the instance.
    pub instance: &'a str,
    /// Further names of its own: addresses, DNS names of its Pod.
    pub names: &'a [LeafName],
}

/// What an installation calls its API servers.
#[derive(Debug, Clone, Default)]
pub struct NamingSettings {
    /// The Service subnets; the `kubernetes` Service has the first address of the first one, API servers get them all.
    pub service_subnets: Vec<IpNet>,
    /// The DNS domain inside the hosted cluster, usually `cluster.local`.
    pub cluster_domain: String,
    /// Names by which clients outside reach the API servers.
    pub extra_names: Vec<LeafName>,
}

/// What the authority will put into a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeafContents {
    /// The subject's CN.
    pub common_name: String,
    /// The subject's O.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Extended key usages.
    pub usages: Vec<Usage>,
    /// Subject alternative names, in order, each once.
    pub names: Vec<LeafName>,
}

/// Not a name that a certificate may carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is neither an IP address nor a DNS name (letters, digits, - and ., at most 253 characters)"
)]
pub struct ContentsError {
    /// What was given.
    pub name: String,
}

/// What a leaf of `profile` holds when `requester` asks.
pub fn leaf_contents(
    profile: Profile,
    requester: Requester<'_>,
    settings: &NamingSettings,
) -> Result<LeafContents, ContentsError> {
    let row = profile.row();
    let instance = || LeafName::dns(requester.instance);
    let common_name = match row.common_name {
        CommonName::Fixed(name) => name.to_owned(),
        CommonName::Instance => instance()?.to_string(),
        CommonName::Node => format!("{}{}", identities::NODE_USER_PREFIX, instance()?),
    };
    let mut names = Vec::new();
    if row.names == NameRule::ApiServer {
        names.extend(cluster_names(settings)?);
        names.extend(settings.extra_names.iter().cloned());
    }
    if row.names != NameRule::None {
        names.push(instance()?);
        names.extend(loopback());
        names.extend(requester.names.iter().cloned());
    }
    Ok(LeafContents {
        common_name,
        organisation: row.organisation.map(str::to_owned),
        usages: row.usages.to_vec(),
        names: each_once(names),
    })
}

/// How Pods of the hosted cluster call its API servers.
fn cluster_names(settings: &NamingSettings) -> Result<Vec<LeafName>, ContentsError> {
    let mut names: Vec<LeafName> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        .into_iter()
        .map(|name| LeafName::Dns(name.to_owned()))
        .collect();
    names.push(LeafName::dns(&format!("kubernetes.default.svc.{}", settings.cluster_domain))?);
    names.extend(settings.service_subnets.iter().filter_map(first_address).map(LeafName::Ip));
    Ok(names)
}

fn first_address(subnet: &IpNet) -> Option<IpAddr> {
    // Kubernetes' rule, also for /31 and /32: network address plus one, inside the subnet.
    let first = match subnet.network() {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits().checked_add(1)?)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().checked_add(1)?)),
    };
    subnet.contains(&first).then_some(first)
}

fn loopback() -> [LeafName; 3] {
    [
        LeafName::Dns("localhost".to_owned()),
        LeafName::Ip(Ipv4Addr::LOCALHOST.into()),
        LeafName::Ip(Ipv6Addr::LOCALHOST.into()),
    ]
}

fn each_once(names: Vec<LeafName>) -> Vec<LeafName> {
    let mut seen = std::collections::HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

impl LeafName {
    pub(crate) fn dns(name: &str) -> Result<Self, ContentsError> {
        let lower = name.to_ascii_lowercase();
        let label_is_fine = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if lower.len() <= 253 && lower.split('.').all(label_is_fine) {
            Ok(Self::Dns(lower))
        } else {
            Err(ContentsError { name: name.to_owned() })
        }
    }
}

impl FromStr for LeafName {
    type Err = ContentsError;

    fn from_str(name: &str) -> Result<Self, ContentsError> {
        name.parse().map(Self::Ip).or_else(|_| Self::dns(name))
    }
}

impl fmt::Display for LeafName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => formatter.write_str(name),
            Self::Ip(address) => address.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> NamingSettings {
        NamingSettings {
            service_subnets: vec!["10.96.0.0/12".parse().unwrap(), "fd00:10:96::/112".parse().unwrap()],
            cluster_domain: "cluster.local".to_owned(),
            extra_names: vec!["API.example.com".parse().unwrap(), "192.0.2.7".parse().unwrap()],
        }
    }

    fn names(profile: Profile) -> Vec<String> {
        let own = ["10.1.2.3".parse().unwrap(), "localhost".parse().unwrap()];
        let requester = Requester { instance: "one-0", names: &own };
        let contents = leaf_contents(profile, requester, &settings()).unwrap();
        contents.names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn api_servers_carry_every_name_by_which_they_are_called() {
        assert_eq!(
            names(Profile::ApiserverServing),
            [
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                "10.96.0.1",
                "fd00:10:96::1",
                "api.example.com",
                "192.0.2.7",
                "one-0",
                "localhost",
                "127.0.0.1",
                "::1",
                "10.1.2.3"
            ]
        );
    }

    #[test]
    fn other_servers_carry_their_own_names_and_clients_none() {
        assert_eq!(names(Profile::EtcdServer), ["one-0", "localhost", "127.0.0.1", "::1", "10.1.2.3"]);
        assert!(names(Profile::Administrator).is_empty());
    }

    #[test]
    fn a_node_is_known_by_its_own_name_and_kube_proxies_by_one() {
        let own = ["10.1.2.3".parse().unwrap()];
        let requester = Requester { instance: "Node-1", names: &own };
        let contents = |profile| leaf_contents(profile, requester, &settings()).unwrap();
        let client = contents(Profile::NodeClient);
        assert_eq!(client.common_name, "system:node:node-1");
        assert_eq!(client.organisation.as_deref(), Some("system:nodes"));
        assert!(client.names.is_empty());
        let serving = contents(Profile::NodeServing);
        assert_eq!((serving.common_name.as_str(), serving.organisation), ("node-1", None));
        assert!(serving.names.contains(&own[0]));
        assert_eq!(contents(Profile::KubeProxyClient).common_name, "system:kube-proxy");
        let wrong = Requester { instance: "node-1,system:masters", names: &[] };
        assert!(leaf_contents(Profile::NodeClient, wrong, &settings()).is_err());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for wrong in ["", "a b", "-a", "a..b", "*.example.com", "système", &"a".repeat(64)] {
            assert!(wrong.parse::<LeafName>().is_err(), "{wrong:?}");
        }
        let requester = Requester { instance: "not a host name", names: &[] };
        assert!(leaf_contents(Profile::EtcdPeer, requester, &settings()).is_err());
    }
}
