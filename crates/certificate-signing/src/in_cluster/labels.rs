//! The labels of what is made at run time, as the chart's own objects bear them.
//! Refuses anything that changes from version to version.

use std::collections::BTreeMap;

use naming_contract::{Component, ReleaseObjects};

/// The recommended labels of Kubernetes.
pub(super) fn labels(objects: &ReleaseObjects) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "hosted-control-plane"),
        ("app.kubernetes.io/instance", objects.release()),
        ("app.kubernetes.io/component", Component::CertificateAuthority.name()),
        ("app.kubernetes.io/managed-by", "pilothouse"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}
