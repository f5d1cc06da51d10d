//! The labels of what is made at run time, as the chart's own objects bear them.
//! Refuses anything that changes from version to version.

use std::collections::BTreeMap;

use crate::{Component, ReleaseObjects};

/// Kubernetes' recommended labels; without a release those that need none.
#[must_use]
pub fn recommended(release: Option<&ReleaseObjects>, component: Component) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", Some("hosted-control-plane")),
        ("app.kubernetes.io/instance", release.map(ReleaseObjects::release)),
        ("app.kubernetes.io/component", Some(component.name())),
        ("app.kubernetes.io/managed-by", Some("pilothouse")),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
    .collect()
}
