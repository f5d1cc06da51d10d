//! Numbered objects as ConfigMaps of one namespace: their paths, their JSON, and reading both back (pure).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

const NAME_PREFIX: &str = "numbered-";
const SEQUENCE: &str = "sequence";

/// The collection in which a run works.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    namespace: String,
}

impl Collection {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    pub(crate) fn namespace_path(&self) -> String {
        format!("/api/v1/namespaces/{}", self.namespace)
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/configmaps", self.namespace_path())
    }

    pub(crate) fn path_of(&self, object: u64) -> String {
        format!("{}/{NAME_PREFIX}{object}", self.path())
    }
}

/// The object with this sequence number; `revision` makes the write conditional.
pub(crate) fn body(object: u64, sequence: u32, revision: Option<u64>) -> Bytes {
    let mut metadata = json!({ "name": format!("{NAME_PREFIX}{object}") });
    if let Some(revision) = revision {
        metadata["resourceVersion"] = json!(revision.to_string());
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": { SEQUENCE: sequence.to_string() },
    });
    Bytes::from(object.to_string())
}

/// What is read of any object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Read {
    pub(crate) metadata: Metadata,
    pub(crate) data: BTreeMap<String, String>,
    pub(crate) spec: serde_json::Value,
    /// Of a Status that a watch brings.
    pub(crate) code: u16,
    pub(crate) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) resource_version: String,
}

/// A list of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReadList {
    pub(crate) metadata: Metadata,
    pub(crate) items: Vec<Read>,
}

impl Metadata {
    /// Revisions of one resource can be compared as numbers (KEP-5504).
    pub(crate) fn revision(&self) -> u64 {
        self.resource_version.parse().unwrap_or(0)
    }
}

impl Read {
    /// The object's number and sequence number; none if it is not one of ours.
    pub(crate) fn numbered(&self) -> Option<(u64, u32)> {
        let object = self.metadata.name.strip_prefix(NAME_PREFIX)?.parse().ok()?;
        Some((object, self.data.get(SEQUENCE)?.parse().ok()?))
    }
}

impl ReadList {
    /// The sequence numbers of all objects of ours in it.
    pub(crate) fn numbered(&self) -> BTreeMap<u64, u32> {
        self.items.iter().filter_map(Read::numbered).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let read: Read = serde_json::from_slice(&body(17, 3, Some(99))).unwrap();
        assert_eq!(read.numbered(), Some((17, 3)));
        assert_eq!(read.metadata.revision(), 99);
        assert_eq!(Collection::new("some").path_of(17), "/api/v1/namespaces/some/configmaps/numbered-17");
    }

    #[test]
    fn others_objects_are_not_ours() {
        let other = br#"{"metadata":{"name":"kube-root-ca.crt","resourceVersion":"5"},"data":{"ca.crt":""}}"#;
        let read: Read = serde_json::from_slice(other).unwrap();
        assert_eq!((read.numbered(), read.metadata.revision()), (None, 5));
    }
}
