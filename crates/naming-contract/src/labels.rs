//! The labels of what is made at run time, as the chart's own objects bear them, and those by which others find it.
//! Refuses anything that changes from version to version.

use std::collections::BTreeMap;

use crate::{Component, ReleaseObjects};

/// The chart that an object is of.
pub const NAME: &str = "app.kubernetes.io/name";
/// The control plane that an object is part of: a release.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The component that a Pod or workload runs.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The value of [`NAME`] on everything that our own chart makes.
pub const CHART: &str = "hosted-control-plane";

/// Kubernetes' recommended labels but the version, which changes; without a release those that need none.
#[must_use]
pub fn recommended(release: Option<&ReleaseObjects>, component: Component) -> BTreeMap<String, String> {
    [
        (NAME, Some(CHART)),
        (INSTANCE, release.map(ReleaseObjects::release)),
        (COMPONENT, Some(component.name())),
        ("app.kubernetes.io/part-of", Some("pilothouse")),
        ("app.kubernetes.io/managed-by", Some("pilothouse")),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
    .collect()
}
