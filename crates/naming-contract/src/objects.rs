//! Names of the objects of one release in a management cluster; chart, supervisors and tests agree on them here.
//! Refuses namespaces and contents: a name is all that is decided.

use crate::Component;

/// Longest name of a release: `<release>-restart-cloud-controller-manager` must be a DNS label of 63 characters, and a
/// Deployment's Pods must be told apart after Kubernetes has cut their names to 58 and 5 more.
pub const LONGEST_RELEASE_NAME: usize = 30;

/// ConfigMap keys of the trust bundles are the file names of [`crate::files`]; this is the key of the cluster record.
pub const CLUSTER_RECORD_KEY: &str = "record.json";
/// Key of the version record: the Kubernetes version itself.
pub const VERSION_RECORD_KEY: &str = "kubernetes";
/// Key of the kubeconfig in its Secret, as Cluster API expects it.
pub const KUBECONFIG_KEY: &str = "value";

/// The names of one release's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseObjects {
    release: String,
}

impl ReleaseObjects {
    /// The objects of the release called `release`.
    #[must_use]
    pub fn of(release: impl Into<String>) -> Self {
        Self { release: release.into() }
    }

    /// The release that has a cluster record of this name, if the name follows the contract.
    #[must_use]
    pub fn of_cluster_record(name: &str) -> Option<Self> {
        name.strip_suffix(&Self::of("").cluster_record()).map(Self::of)
    }

    /// The release that has a version record of this name, if the name follows the contract.
    #[must_use]
    pub fn of_version_record(name: &str) -> Option<Self> {
        name.strip_suffix(&Self::of("").version_record()).map(Self::of)
    }

    /// The release that has a lease of this name for a component's restarts, if the name follows the contract.
    #[must_use]
    pub fn of_restart_lease(name: &str, component: Component) -> Option<Self> {
        name.strip_suffix(&Self::of("").restart_lease(component)).map(Self::of)
    }

    /// The release's own name.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Workload, ServiceAccount and, where there is one, Service of a component.
    #[must_use]
    pub fn component(&self, component: Component) -> String {
        self.named(component.name())
    }

    /// The component whose ServiceAccount bears this name.
    #[must_use]
    pub fn component_of_service_account(&self, name: &str) -> Option<Component> {
        Component::ALL.into_iter().find(|component| self.component(*component) == name)
    }

    /// Headless Service of etcd's members, ready or not: `<pod>.<this>.<namespace>.svc`.
    #[must_use]
    pub fn etcd_peers(&self) -> String {
        self.named("etcd-peers")
    }

    /// Pod of etcd's member with this ordinal.
    #[must_use]
    pub fn etcd_member(&self, ordinal: u32) -> String {
        self.named(&format!("etcd-{ordinal}"))
    }

    /// Headless Service of the API servers that are ready: its addresses are the serving API servers.
    #[must_use]
    pub fn apiserver_replicas(&self) -> String {
        self.named("kube-apiserver-replicas")
    }

    /// Headless Service of all API servers, ready or not.
    #[must_use]
    pub fn apiserver_addresses(&self) -> String {
        self.named("kube-apiserver-addresses")
    }

    /// Secret of a CA's pair (`tls.crt`, `tls.key`); `authority` as in the bundle's file name: `cluster`, `etcd`, …
    #[must_use]
    pub fn authority_secret(&self, authority: &str) -> String {
        self.named(&format!("ca-{authority}"))
    }

    /// Secret of keys that several processes share: `service-account`, `encryption`.
    #[must_use]
    pub fn shared_key_secret(&self, set: &str) -> String {
        self.named(&format!("keys-{set}"))
    }

    /// ConfigMap of the trust bundles, one key each.
    #[must_use]
    pub fn trust(&self) -> String {
        self.named("trust")
    }

    /// ConfigMap of what must be remembered of etcd outside its volumes.
    #[must_use]
    pub fn cluster_record(&self) -> String {
        self.named("etcd-record")
    }

    /// ConfigMap of the highest version that all API servers ever ran together.
    #[must_use]
    pub fn version_record(&self) -> String {
        self.named("version-record")
    }

    /// Secret of the administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.named("kubeconfig")
    }

    /// Lease of whoever of a component's replicas restarts its child now.
    #[must_use]
    pub fn restart_lease(&self, component: Component) -> String {
        self.named(&format!("restart-{}", component.name()))
    }

    /// The inert ConfigMap that owns what is made at run time and not kept.
    #[must_use]
    pub fn anchor(&self) -> String {
        self.named("anchor")
    }

    /// The audience of the tokens by which the release's Pods prove themselves to its certificate-authority.
    #[must_use]
    pub fn audience(&self, namespace: &str) -> String {
        format!("pilothouse.{namespace}.{}", self.release)
    }

    fn named(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_names_its_component_and_no_other_release_does() {
        let demo = ReleaseObjects::of("demo");
        for component in Component::ALL {
            assert_eq!(demo.component_of_service_account(&demo.component(component)), Some(component));
        }
        assert_eq!(demo.component_of_service_account("demo"), None);
        assert_eq!(ReleaseObjects::of("demo-etcd").component_of_service_account("demo-etcd"), None);
        assert_eq!(demo.audience("tenants"), "pilothouse.tenants.demo");
    }

    #[test]
    fn names_lead_back_to_the_release() {
        let demo = ReleaseObjects::of("demo");
        assert_eq!(ReleaseObjects::of_cluster_record(&demo.cluster_record()), Some(demo.clone()));
        for component in Component::ALL {
            assert_eq!(
                ReleaseObjects::of_restart_lease(&demo.restart_lease(component), component),
                Some(demo.clone())
            );
        }
        assert_eq!(ReleaseObjects::of_version_record(&demo.version_record()), Some(demo.clone()));
        assert_eq!(ReleaseObjects::of_cluster_record("my-own-name"), None);
        assert_eq!(ReleaseObjects::of_version_record("my-own-name"), None);
    }

    #[test]
    fn every_name_stays_a_label() {
        let longest = ReleaseObjects::of("r".repeat(LONGEST_RELEASE_NAME));
        for component in Component::ALL {
            assert!(longest.restart_lease(component).len() <= 63);
            // Pods of a Deployment: a hash of 10, a suffix of 5, two dashes.
            assert!(longest.component(component).len() <= 63 - 8);
        }
        assert!(longest.apiserver_replicas().len() <= 63);
        assert!(longest.apiserver_addresses().len() <= 63);
    }
}
