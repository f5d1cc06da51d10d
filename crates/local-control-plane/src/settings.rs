//! What a control plane consists of: what was asked for, merged with what its state directory remembers, and checked.
//! Pure. Refuses to look at the machine: whether a port is free or a binary there is found out elsewhere.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Flags of `pilothouse up` as given; what is absent comes from the state directory, or else from the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requested {
    /// Number of etcd members.
    pub etcd_members: Option<u32>,
    /// Number of API servers.
    pub api_servers: Option<u32>,
    /// Number of controller managers.
    pub controller_managers: Option<u32>,
    /// Number of schedulers.
    pub schedulers: Option<u32>,
    /// Port of the front.
    pub port: Option<u16>,
    /// The address that clients outside this machine use.
    pub advertise_address: Option<IpAddr>,
    /// Addresses of Services, one range for each IP family.
    pub service_subnets: Vec<IpNet>,
    /// Addresses of Pods, one range for each IP family.
    pub pod_subnets: Vec<IpNet>,
    /// More names or addresses in the API servers' certificates.
    pub certificate_names: Vec<String>,
    /// Directory of the upstream binaries.
    pub components: Option<PathBuf>,
    /// A cloud controller manager to run.
    pub cloud_controller_manager: Option<PathBuf>,
}

/// What a control plane consists of; remembered in its state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Number of etcd members: 1, 3 or 5. Never changes.
    pub etcd_members: u32,
    /// Number of API servers.
    pub api_servers: u32,
    /// Number of controller managers.
    pub controller_managers: u32,
    /// Number of schedulers.
    pub schedulers: u32,
    /// Port of the front.
    pub port: u16,
    /// The address that clients outside this machine use; also what the `kubernetes` endpoints tell.
    pub advertise_address: Option<IpAddr>,
    /// Addresses of Services. Never changes: Services that exist keep their addresses.
    pub service_subnets: Vec<IpNet>,
    /// Addresses of Pods. None: no Pod ranges are allocated to nodes.
    pub pod_subnets: Vec<IpNet>,
    /// More names or addresses in the API servers' certificates.
    pub certificate_names: Vec<String>,
    /// Directory of the upstream binaries, absolute.
    pub components: PathBuf,
    /// A cloud controller manager to run.
    pub cloud_controller_manager: Option<PathBuf>,
}

/// Why settings are refused. Each text says what to give instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// An even or too large number of etcd members.
    #[error("--etcd {0}: etcd needs an odd number of members to agree; give 1, 3 or 5")]
    EtcdMembers(u32),
    /// A count outside its range.
    #[error("{flag} {given}: give a number from 1 to {most}")]
    Count {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: u32,
        /// The largest number.
        most: u32,
    },
    /// An address that nobody else can reach.
    #[error(
        "--advertise-address {0}: give an address of this machine that clients elsewhere can reach, \
         or leave the flag away to serve 127.0.0.1 only"
    )]
    AdvertiseAddress(IpAddr),
    /// Two ranges share addresses.
    #[error(
        "{first_flag} {first} and {second_flag} {second} overlap; give ranges that have no address in common"
    )]
    Overlap {
        /// Where the first was given.
        first_flag: &'static str,
        /// The first.
        first: IpNet,
        /// Where the second was given.
        second_flag: &'static str,
        /// The second.
        second: IpNet,
    },
    /// Too many ranges, or two of one family.
    #[error("{flag} may be given twice at most, once with an IPv4 range and once with an IPv6 range")]
    Families {
        /// The flag.
        flag: &'static str,
    },
    /// A range that Kubernetes would not take.
    #[error("{flag} {given}: {because}")]
    Subnet {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: IpNet,
        /// Why not, and what to give.
        because: String,
    },
    /// Neither a name nor an address.
    #[error("--certificate-name {0:?}: give a DNS name such as api.example.org or an IP address")]
    CertificateName(String),
    /// Nowhere to find upstream's binaries.
    #[error(
        "no upstream binaries: give --components DIR with etcd, kube-apiserver, kube-controller-manager and \
         kube-scheduler in it; `cargo xtask components` builds them, `cargo xtask up` does both"
    )]
    NoComponents,
    /// What cannot be changed once a control plane exists.
    #[error(
        "{flag} {asked}: this control plane was made with {recorded}, which cannot be changed; \
         leave the flag away, give another --name, or remove it first with `pilothouse down --purge`"
    )]
    Unchangeable {
        /// The flag.
        flag: &'static str,
        /// What was given.
        asked: String,
        /// What the state directory says.
        recorded: String,
    },
}

impl Requested {
    /// Completes what was asked for with what was remembered or else the defaults, and checks it.
    pub fn settle(self, recorded: Option<&Settings>) -> Result<Settings, SettingsError> {
        if let Some(recorded) = recorded {
            self.refuse_changes(recorded)?;
        }
        let pick = |asked: Option<u32>, of: fn(&Settings) -> u32, default| {
            asked.or(recorded.map(of)).unwrap_or(default)
        };
        let settings = Settings {
            etcd_members: pick(self.etcd_members, |known| known.etcd_members, 3),
            api_servers: pick(self.api_servers, |known| known.api_servers, 2),
            controller_managers: pick(self.controller_managers, |known| known.controller_managers, 2),
            schedulers: pick(self.schedulers, |known| known.schedulers, 2),
            port: self
                .port
                .or(recorded.map(|known| known.port))
                .unwrap_or(naming_contract::ports::KUBE_APISERVER),
            advertise_address: self.advertise_address.or(recorded.and_then(|known| known.advertise_address)),
            service_subnets: given_or(
                self.service_subnets,
                recorded.map(|known| &known.service_subnets),
                || vec![DEFAULT_SERVICE_SUBNET],
            ),
            pod_subnets: given_or(self.pod_subnets, recorded.map(|known| &known.pod_subnets), Vec::new),
            certificate_names: given_or(
                self.certificate_names,
                recorded.map(|known| &known.certificate_names),
                Vec::new,
            ),
            components: self
                .components
                .or_else(|| recorded.map(|known| known.components.clone()))
                .ok_or(SettingsError::NoComponents)?,
            cloud_controller_manager: self
                .cloud_controller_manager
                .or_else(|| recorded.and_then(|known| known.cloud_controller_manager.clone())),
        };
        settings.check()?;
        Ok(settings)
    }

    fn refuse_changes(&self, recorded: &Settings) -> Result<(), SettingsError> {
        if let Some(asked) = self.etcd_members
            && asked != recorded.etcd_members
        {
            return Err(SettingsError::Unchangeable {
                flag: "--etcd",
                asked: asked.to_string(),
                recorded: recorded.etcd_members.to_string(),
            });
        }
        if !self.service_subnets.is_empty() && self.service_subnets != recorded.service_subnets {
            return Err(SettingsError::Unchangeable {
                flag: "--service-subnet",
                asked: listed(&self.service_subnets),
                recorded: listed(&recorded.service_subnets),
            });
        }
        Ok(())
    }
}

impl Settings {
    /// How many cloud controller managers run: two, so that one can take over, or none.
    #[must_use]
    pub fn cloud_controller_managers(&self) -> u32 {
        if self.cloud_controller_manager.is_some() { 2 } else { 0 }
    }

    fn check(&self) -> Result<(), SettingsError> {
        if ![1, 3, 5].contains(&self.etcd_members) {
            return Err(SettingsError::EtcdMembers(self.etcd_members));
        }
        for (flag, given, most) in [
            ("--api-servers", self.api_servers, MOST_API_SERVERS),
            ("--controller-managers", self.controller_managers, MOST_CONTROLLERS),
            ("--schedulers", self.schedulers, MOST_CONTROLLERS),
        ] {
            if !(1..=most).contains(&given) {
                return Err(SettingsError::Count { flag, given, most });
            }
        }
        if let Some(address) = self.advertise_address
            && (address.is_loopback() || address.is_unspecified() || address.is_multicast())
        {
            return Err(SettingsError::AdvertiseAddress(address));
        }
        self.check_subnets()?;
        match self.certificate_names.iter().find(|name| !is_certificate_name(name)) {
            Some(name) => Err(SettingsError::CertificateName(name.clone())),
            None => Ok(()),
        }
    }

    fn check_subnets(&self) -> Result<(), SettingsError> {
        for (flag, subnets) in
            [("--service-subnet", &self.service_subnets), ("--pod-subnet", &self.pod_subnets)]
        {
            if let [first, others @ ..] = subnets.as_slice()
                && (others.len() > 1 || others.iter().any(|other| is_v4(other) == is_v4(first)))
            {
                return Err(SettingsError::Families { flag });
            }
            for subnet in subnets {
                check_subnet(flag, subnet)?;
            }
        }
        for service in &self.service_subnets {
            // kube-apiserver refuses more than 20 bits of Service addresses, in either family.
            let bits = subnet_bits(service);
            if bits > 20 {
                let because =
                    "Kubernetes takes at most 20 bits of Service addresses; give a longer prefix".to_owned();
                return Err(SettingsError::Subnet { flag: "--service-subnet", given: *service, because });
            }
            if bits < 3 {
                let because = "too few addresses for Services; give a shorter prefix".to_owned();
                return Err(SettingsError::Subnet { flag: "--service-subnet", given: *service, because });
            }
            for pod in &self.pod_subnets {
                if overlap(service, pod) {
                    return Err(SettingsError::Overlap {
                        first_flag: "--service-subnet",
                        first: *service,
                        second_flag: "--pod-subnet",
                        second: *pod,
                    });
                }
            }
            if let Some(address) = self.advertise_address
                && service.contains(&address)
            {
                let because = format!("it contains --advertise-address {address}; give another range");
                return Err(SettingsError::Subnet { flag: "--service-subnet", given: *service, because });
            }
        }
        Ok(())
    }
}

/// The largest numbers for which every instance has its place in the block of ports.
pub(crate) const MOST_API_SERVERS: u32 = 8;
/// See [`MOST_API_SERVERS`]; the same for each of the leader-elected components.
pub(crate) const MOST_CONTROLLERS: u32 = 4;

/// kubeadm's default.
const DEFAULT_SERVICE_SUBNET: IpNet =
    IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 96, 0, 0), 16));

fn check_subnet(flag: &'static str, subnet: &IpNet) -> Result<(), SettingsError> {
    if subnet.addr() != subnet.network() {
        let because = format!("it has bits set after its prefix; give {}", subnet.trunc());
        return Err(SettingsError::Subnet { flag, given: *subnet, because });
    }
    if subnet.network().is_loopback() || subnet.network().is_multicast() {
        let because = "loopback and multicast ranges cannot be used; give a private range".to_owned();
        return Err(SettingsError::Subnet { flag, given: *subnet, because });
    }
    Ok(())
}

fn given_or<T: Clone>(asked: Vec<T>, recorded: Option<&Vec<T>>, default: impl FnOnce() -> Vec<T>) -> Vec<T> {
    if asked.is_empty() { recorded.cloned().unwrap_or_else(default) } else { asked }
}

fn listed(subnets: &[IpNet]) -> String {
    subnets.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",")
}

fn is_v4(subnet: &IpNet) -> bool {
    matches!(subnet, IpNet::V4(_))
}

fn subnet_bits(subnet: &IpNet) -> u8 {
    subnet.max_prefix_len() - subnet.prefix_len()
}

fn overlap(first: &IpNet, second: &IpNet) -> bool {
    first.contains(second) || second.contains(first)
}

fn is_certificate_name(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    !host.is_empty() && host.len() <= 253 && host.split('.').all(is_dns_label)
}

/// Lower-case letters, digits and inner hyphens, at most 63 of them (RFC 1123).
pub(crate) fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests;
