//! The whole list of desired objects. Pure.
//! Refuses to know what exists: that is compared elsewhere.

use serde_json::Value;

use crate::endpoints::{self, ApiServerAddress};
use crate::roles;

/// The kinds of objects that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// rbac.authorization.k8s.io/v1 `ClusterRole`.
    ClusterRole,
    /// rbac.authorization.k8s.io/v1 `ClusterRoleBinding`.
    ClusterRoleBinding,
    /// rbac.authorization.k8s.io/v1 `RoleBinding`.
    RoleBinding,
    /// v1 `Endpoints`.
    Endpoints,
    /// discovery.k8s.io/v1 `EndpointSlice`.
    EndpointSlice,
}

/// One object as it must be. Fields that it does not name are none of our business.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Its kind.
    pub resource: Resource,
    /// Its namespace, if its kind has one.
    pub namespace: Option<&'static str>,
    /// Its name.
    pub name: String,
    /// The whole object, with apiVersion, kind and metadata.
    pub body: Value,
    /// Whether it must exist. If not, and it is ours, it is removed.
    pub exists: bool,
}

/// What the list is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostedObjects {
    /// Where clients outside reach the API servers; empty: the endpoints of the `kubernetes` Service are left alone.
    pub api_server_addresses: Vec<ApiServerAddress>,
    /// The port there.
    pub api_server_port: u16,
}

impl Resource {
    /// Its group and version.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::ClusterRole | Self::ClusterRoleBinding | Self::RoleBinding => {
                "rbac.authorization.k8s.io/v1"
            }
            Self::Endpoints => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ClusterRole => "ClusterRole",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::RoleBinding => "RoleBinding",
            Self::Endpoints => "Endpoints",
            Self::EndpointSlice => "EndpointSlice",
        }
    }

    /// Its name in URLs.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ClusterRole => "clusterroles",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::RoleBinding => "rolebindings",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslices",
        }
    }
}

impl Desired {
    /// Kind, namespace if it has one, and name: "Endpoints default/kubernetes".
    #[must_use]
    pub fn described(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.resource.kind(), self.name),
            None => format!("{} {}", self.resource.kind(), self.name),
        }
    }
}

impl HostedObjects {
    /// Every object that must exist, roles before the bindings that name them.
    #[must_use]
    pub fn desired(&self) -> Vec<Desired> {
        let mut list = roles::desired();
        list.extend(endpoints::desired(&self.api_server_addresses, self.api_server_port));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_list() {
        let objects = HostedObjects {
            api_server_addresses: ["192.0.2.10", "2001:db8::10"].map(|text| text.parse().unwrap()).to_vec(),
            api_server_port: 6443,
        };
        let bodies: Vec<Value> = objects.desired().into_iter().map(|desired| desired.body).collect();
        insta::assert_snapshot!(serde_json::to_string_pretty(&bodies).unwrap());
    }

    #[test]
    fn bodies_say_what_the_list_says() {
        for desired in (HostedObjects { api_server_port: 1, ..HostedObjects::default() }).desired() {
            assert_eq!(desired.body["apiVersion"], desired.resource.api_version());
            assert_eq!(desired.body["kind"], desired.resource.kind());
            assert_eq!(desired.body["metadata"]["name"], desired.name.as_str());
            assert_eq!(desired.body["metadata"].get("namespace").and_then(Value::as_str), desired.namespace);
        }
    }

    #[test]
    fn without_an_address_the_endpoints_are_left_alone() {
        let list = HostedObjects::default().desired();
        assert!(
            list.iter()
                .all(|desired| !matches!(desired.resource, Resource::Endpoints | Resource::EndpointSlice))
        );
    }
}
