//! The images that our release runs too: what the nodes have been given.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use naming_contract::Component;

/// Names of images on the nodes.
pub(crate) struct Images(Vec<String>);

impl Images {
    /// Asks the management cluster what its nodes have.
    pub(crate) async fn loaded(client: &kube::Client) -> Result<Self> {
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
        let images = nodes
            .items
            .into_iter()
            .filter_map(|node| node.status?.images)
            .flatten()
            .filter_map(|it| it.names);
        let images = Self(images.flatten().collect());
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
