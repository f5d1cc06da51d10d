//! The endpoints of the Service `kubernetes` in `default`: where Pods of the hosted cluster reach its API servers. Pure.
//! Refuses addresses that Kubernetes refuses in endpoints, with the reason.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::{Desired, Resource};

/// An address that may stand in endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiServerAddress(IpAddr);

/// Why an address may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} cannot be an endpoint of the Service `kubernetes`: {reason}")]
pub struct ApiServerAddressError {
    /// What was given.
    pub address: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for ApiServerAddress {
    type Err = ApiServerAddressError;

    /// The rules of Kubernetes' own validation (`ValidateEndpointIP`, `pkg/apis/core/validation`).
    fn from_str(text: &str) -> Result<Self, ApiServerAddressError> {
        let refused = |reason| ApiServerAddressError { address: text.to_owned(), reason };
        let address: IpAddr = text.parse().map_err(|_not_an_address| refused("it is not an IP address"))?;
        if address.is_loopback() {
            return Err(refused("Kubernetes refuses loopback addresses; give one that Pods can reach"));
        }
        if address.is_unspecified() {
            return Err(refused("it is no particular address; give one that Pods can reach"));
        }
        let link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        if link_local || address.is_multicast() {
            return Err(refused(
                "Kubernetes refuses link-local and multicast addresses; give one that Pods can reach",
            ));
        }
        Ok(Self(address))
    }
}

impl fmt::Display for ApiServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

const NAMESPACE: &str = "default";
const SERVICE: &str = "kubernetes";
/// Beside that of the first family; removed when there is one family only.
const SECOND_SLICE: &str = "kubernetes-ipv6";

/// Endpoints and one slice for each IP family, as kube-apiserver's own reconciler names and labels them.
pub(crate) fn desired(addresses: &[ApiServerAddress], port: u16) -> Vec<Desired> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let mut addresses = addresses.to_vec();
    // Kubernetes stores them sorted; another order would look like somebody's change.
    addresses.sort_by_key(ToString::to_string);
    addresses.dedup();
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.0.is_ipv4());
    let mut list = vec![endpoints(&addresses, port)];
    // The slice of the only or first family has the name that kube-apiserver gives it.
    if first.is_empty() {
        list.push(slice(SERVICE, "IPv6", &second, port));
        list.push(slice(SECOND_SLICE, "IPv6", &[], port));
    } else {
        list.push(slice(SERVICE, "IPv4", &first, port));
        list.push(slice(SECOND_SLICE, "IPv6", &second, port));
    }
    list
}

fn endpoints(addresses: &[ApiServerAddress], port: u16) -> Desired {
    let addresses: Vec<Value> =
        addresses.iter().map(|address| json!({ "ip": address.to_string() })).collect();
    let body = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "namespace": NAMESPACE,
            "name": SERVICE,
            // The slices below are ours: the mirroring controller must not add its own.
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{ "addresses": addresses, "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] }],
    });
    Desired {
        resource: Resource::Endpoints,
        namespace: Some(NAMESPACE),
        name: SERVICE.to_owned(),
        body,
        exists: true,
    }
}

fn slice(name: &str, family: &str, addresses: &[ApiServerAddress], port: u16) -> Desired {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({ "addresses": [address.to_string()], "conditions": { "ready": true } }))
        .collect();
    let body = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAMESPACE,
            "name": name,
            "labels": { "kubernetes.io/service-name": SERVICE },
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
    });
    Desired {
        resource: Resource::EndpointSlice,
        namespace: Some(NAMESPACE),
        name: name.to_owned(),
        body,
        exists: !addresses.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_kubernetes_refuses_are_refused_with_the_reason() {
        for (address, reason) in [
            ("127.0.0.1", "loopback"),
            ("::1", "loopback"),
            ("0.0.0.0", "no particular"),
            ("169.254.0.1", "link-local"),
            ("fe80::1", "link-local"),
            ("224.0.0.1", "multicast"),
            ("example.com", "not an IP address"),
        ] {
            let error = address.parse::<ApiServerAddress>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(address), "{error}");
        }
        assert!("192.0.2.1".parse::<ApiServerAddress>().is_ok());
    }

    #[test]
    fn each_family_has_its_slice_and_the_first_has_the_services_name() {
        let names = |texts: &[&str]| -> Vec<String> {
            let addresses: Vec<ApiServerAddress> = texts.iter().map(|text| text.parse().unwrap()).collect();
            desired(&addresses, 6443).iter().filter(|it| it.exists).map(Desired::described).collect()
        };
        assert_eq!(
            names(&["192.0.2.1"]),
            ["Endpoints default/kubernetes", "EndpointSlice default/kubernetes"]
        );
        assert_eq!(
            names(&["2001:db8::1"]),
            ["Endpoints default/kubernetes", "EndpointSlice default/kubernetes"]
        );
        let lone = desired(&["192.0.2.1".parse().unwrap()], 6443);
        assert!(lone.iter().any(|it| !it.exists && it.name == SECOND_SLICE), "one of an earlier time goes");
        assert_eq!(
            names(&["2001:db8::1", "192.0.2.1"]).last().unwrap(),
            "EndpointSlice default/kubernetes-ipv6"
        );
    }
}
