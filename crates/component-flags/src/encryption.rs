//! The `EncryptionConfiguration`: Secrets are sealed with secretbox, first key writes, every key reads, plain text last.
//! Refuses malformed keys, and never shows a secret in an error or in Debug.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Length of a secretbox key.
const KEY_BYTES: usize = 32;

/// One key as the certificate-authority hands it out.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct EncryptionKey {
    /// Stored in front of every object sealed with it; unique.
    pub name: String,
    /// 32 bytes in base64.
    pub secret: String,
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EncryptionKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is wrong with a set of keys.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionKeyError {
    /// Not a JSON list of keys.
    #[error(
        "the encryption keys are not a JSON list of {{\"name\", \"secret\"}} (line {line}, column {column})"
    )]
    // serde_json's own text may quote the secret: only the position is told.
    Unreadable {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// Nothing to write with.
    #[error("the list of encryption keys is empty")]
    Empty,
    /// A name is empty or used twice.
    #[error("encryption key name {name:?} is empty, used twice, or contains a colon")]
    Name {
        /// The name.
        name: String,
    },
    /// Wrong length or encoding.
    #[error("encryption key {name:?} is not {KEY_BYTES} bytes in base64")]
    Secret {
        /// The key's name.
        name: String,
    },
}

/// Reads and checks keys.json.
pub fn encryption_keys(bytes: &[u8]) -> Result<Vec<EncryptionKey>, EncryptionKeyError> {
    let keys: Vec<EncryptionKey> = serde_json::from_slice(bytes)
        .map_err(|error| EncryptionKeyError::Unreadable { line: error.line(), column: error.column() })?;
    if keys.is_empty() {
        return Err(EncryptionKeyError::Empty);
    }
    let mut names = BTreeSet::new();
    for key in &keys {
        if key.name.is_empty() || key.name.contains(':') || !names.insert(&key.name) {
            return Err(EncryptionKeyError::Name { name: key.name.clone() });
        }
        let decoded = STANDARD.decode(&key.secret);
        if decoded.map(|bytes| bytes.len()) != Ok(KEY_BYTES) {
            return Err(EncryptionKeyError::Secret { name: key.name.clone() });
        }
    }
    Ok(keys)
}

/// Renders the file. Plain text is readable last, so that objects from before encryption stay readable.
#[must_use]
pub fn encryption_configuration(keys: &[EncryptionKey]) -> Value {
    let keys: Vec<Value> = keys.iter().map(|key| json!({ "name": key.name, "secret": key.secret })).collect();
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [{ "secretbox": { "keys": keys } }, { "identity": {} }],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_their_secrets_stay_out_of_debug() {
        let secret = STANDARD.encode([7_u8; KEY_BYTES]);
        let json =
            format!(r#"[{{"name":"key2","secret":"{secret}"}},{{"name":"key1","secret":"{secret}"}}]"#);
        let keys = encryption_keys(json.as_bytes()).unwrap();
        assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["key2", "key1"]);
        assert!(!format!("{keys:?}").contains(&secret));
    }

    #[test]
    fn bad_keys_are_refused_without_showing_them() {
        let secret = STANDARD.encode([7_u8; KEY_BYTES]);
        for (json, told) in [
            ("[]".to_owned(), "the list of encryption keys is empty"),
            (format!(r#"{{"secret":"{secret}"}}"#), "not a JSON list"),
            (format!(r#"[{{"name":"","secret":"{secret}"}}]"#), "is empty, used twice"),
            (r#"[{"name":"a","secret":"c2hvcnQ="}]"#.to_owned(), "\"a\" is not 32 bytes"),
            (
                format!(r#"[{{"name":"a","secret":"{secret}"}},{{"name":"a","secret":"{secret}"}}]"#),
                "used twice",
            ),
        ] {
            let error = encryption_keys(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains(&secret));
        }
    }
}
