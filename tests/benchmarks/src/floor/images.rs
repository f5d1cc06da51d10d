//! The images that our release runs too: what the nodes have been given.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use management_cluster::ComponentVersions;
use naming_contract::Component;

/// Names of images on the nodes.
pub(crate) struct Images(Vec<String>);

impl Images {
    /// Asks the management cluster what its nodes have of these versions.
    pub(crate) async fn loaded(client: &kube::Client, versions: &ComponentVersions) -> Result<Self> {
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
        let images = nodes
            .items
            .into_iter()
            .filter_map(|node| node.status?.images)
            .flatten()
            .filter_map(|it| it.names);
        let of_kubernetes = format!(":v{}", versions.kubernetes);
        // The images of etcd have a build number behind the version.
        let of_etcd = format!("/etcd:{}-", versions.etcd);
        let images =
            images.flatten().filter(|name| name.ends_with(&of_kubernetes) || name.contains(&of_etcd));
        let images = Self(images.collect());
        for component in [
            Component::Etcd,
            Component::KubeApiserver,
            Component::KubeControllerManager,
            Component::KubeScheduler,
        ] {
            images.of(component).with_context(|| format!("no node has an image of {component}"))?;
        }
        Ok(images)
    }

    /// The one of a component.
    pub(super) fn of(&self, component: Component) -> Option<&str> {
        let prefix = format!("registry.k8s.io/{component}:");
        self.0.iter().find(|name| name.starts_with(&prefix)).map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn of_names(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }
}
