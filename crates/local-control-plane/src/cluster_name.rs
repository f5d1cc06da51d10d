//! The name of a control plane: a DNS label, short enough for everything that carries it.
//! Refuses anything else, so that a name is valid wherever it turns up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::settings::is_dns_label;

/// A checked name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name: give at most {LONGEST} lower-case letters, digits and inner hyphens")]
pub struct NameError(String);

/// The name of the control plane that is meant when none is named.
pub const DEFAULT_NAME: &str = "local";
/// Leaves room for a suffix in a label of 63: object names and hostnames are made from it.
pub(crate) const LONGEST: usize = 40;

impl ClusterName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= LONGEST && is_dns_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ClusterName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_dns_labels() {
        for name in ["local", "a", "team-1", &"a".repeat(40)] {
            assert!(name.parse::<ClusterName>().is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a/b", "..", &"a".repeat(41)] {
            assert!(name.parse::<ClusterName>().is_err(), "{name}");
        }
    }
}
