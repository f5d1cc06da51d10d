//! By which address clients outside reach the API servers. Pure, but for remembering what the Service says.
//! Refuses addresses that no certificate can carry.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use certificates::LeafName;
use k8s_openapi::api::core::v1::Service;
use naming_contract::{Component, ReleaseObjects, ports};
use tokio::time::Instant;

/// `HOST[:PORT]`; an IPv6 address with a port is written `[…]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAddress {
    /// A name or an address.
    pub host: LeafName,
    /// 6443 unless given.
    pub port: u16,
}

/// Not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not HOST or HOST:PORT, such as api.example.com, 203.0.113.9:443 or [2001:db8::9]:443")]
pub struct AddressError {
    /// What was given.
    pub given: String,
}

/// What is known about the API servers' addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    external: Option<ExternalAddress>,
    service: ExternalAddress,
    balancer_names: RefCell<Vec<LeafName>>,
    load_balancer: RefCell<Option<(ExternalAddress, Instant)>>,
}

/// The address for the administrators' kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Server {
    /// In the API servers' certificates from the beginning.
    Known(ExternalAddress),
    /// The load balancer's, learnt at that time: certificates that were issued before do not carry it.
    Learnt(ExternalAddress, Instant),
}

impl Addresses {
    pub(super) fn new(external: Vec<ExternalAddress>, objects: &ReleaseObjects, namespace: &str) -> Self {
        let name = format!("{}.{namespace}.svc", objects.component(Component::KubeApiserver));
        Self {
            external: external.into_iter().next(),
            service: ExternalAddress { host: LeafName::Dns(name), port: ports::KUBE_APISERVER },
            balancer_names: RefCell::default(),
            load_balancer: RefCell::default(),
        }
    }

    /// Remembers what the Service says now; says whether it is something else than before.
    pub(super) fn set_load_balancer(&self, names: Vec<LeafName>) -> bool {
        if *self.balancer_names.borrow() == names {
            return false;
        }
        let first = names.first().cloned();
        let address = first.map(|host| ExternalAddress { host, port: ports::KUBE_APISERVER });
        self.load_balancer.replace(address.map(|address| (address, Instant::now())));
        self.balancer_names.replace(names);
        true
    }

    /// The best address there is now.
    pub(super) fn server(&self) -> Server {
        match (&self.external, &*self.load_balancer.borrow()) {
            (Some(external), _) => Server::Known(external.clone()),
            (None, Some((address, since))) => Server::Learnt(address.clone(), *since),
            (None, None) => Server::Known(self.service.clone()),
        }
    }

    /// The address that is in every certificate from the beginning.
    pub(super) fn service(&self) -> &ExternalAddress {
        &self.service
    }
}

/// What a Service's status says about its load balancer, addresses first.
pub(super) fn load_balancer_names(service: &Service) -> Vec<LeafName> {
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
        .unwrap_or_default();
    let addresses = ingress.iter().filter_map(|ingress| ingress.ip.as_deref());
    let names = ingress.iter().filter_map(|ingress| ingress.hostname.as_deref());
    addresses.chain(names).filter_map(|name| name.parse().ok()).collect()
}

impl FromStr for ExternalAddress {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { given: given.to_owned() };
        let port = |port: &str| port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        if let Some(rest) = given.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let port = match rest.strip_prefix(':') {
                Some(given) => port(given)?,
                None if rest.is_empty() => ports::KUBE_APISERVER,
                None => return Err(wrong()),
            };
            return Ok(Self { host: LeafName::Ip(address), port });
        }
        let (host, port) = match given.split_once(':') {
            // More than one colon: an IPv6 address.
            Some((host, rest)) if !rest.contains(':') => (host, port(rest)?),
            _ => (given, ports::KUBE_APISERVER),
        };
        Ok(Self { host: host.parse().map_err(|_| wrong())?, port })
    }
}

impl fmt::Display for ExternalAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            LeafName::Ip(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            host => write!(formatter, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        for (given, told) in [
            ("api.example.com", "api.example.com:6443"),
            ("api.example.com:443", "api.example.com:443"),
            ("203.0.113.9:443", "203.0.113.9:443"),
            ("2001:db8::9", "[2001:db8::9]:6443"),
            ("[2001:db8::9]", "[2001:db8::9]:6443"),
            ("[2001:db8::9]:443", "[2001:db8::9]:443"),
        ] {
            assert_eq!(given.parse::<ExternalAddress>().unwrap().to_string(), told);
        }
        for wrong in
            ["", ":443", "a b", "host:0", "host:many", "[::1", "[::1]443", "[host]:443", "https://host"]
        {
            assert!(wrong.parse::<ExternalAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_operators_address_comes_first_and_the_services_name_last() {
        let objects = ReleaseObjects::of("demo");
        let addresses = Addresses::new(Vec::new(), &objects, "tenants");
        let told = |addresses: &Addresses| match addresses.server() {
            Server::Known(address) | Server::Learnt(address, _) => address.to_string(),
        };
        assert_eq!(told(&addresses), "demo-kube-apiserver.tenants.svc:6443");
        addresses.set_load_balancer(vec!["203.0.113.9".parse().unwrap()]);
        assert_eq!(told(&addresses), "203.0.113.9:6443");
        addresses.set_load_balancer(Vec::new());
        assert!(matches!(addresses.server(), Server::Known(_)));
        let given = Addresses::new(vec!["api.example.com:443".parse().unwrap()], &objects, "tenants");
        given.set_load_balancer(vec!["203.0.113.9".parse().unwrap()]);
        assert_eq!(told(&given), "api.example.com:443");
    }

    #[test]
    fn a_load_balancer_is_read_from_the_services_status() {
        let service: Service = serde_json::from_value(serde_json::json!({
            "status": { "loadBalancer": { "ingress": [
                { "hostname": "lb.example.com" }, { "ip": "203.0.113.9" }, { "hostname": "*.example.com" }
            ] } }
        }))
        .unwrap();
        let names: Vec<String> = load_balancer_names(&service).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["203.0.113.9", "lb.example.com"]);
        assert!(load_balancer_names(&Service::default()).is_empty());
    }
}
