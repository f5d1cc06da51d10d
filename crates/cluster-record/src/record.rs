//! The record itself: token, founders, and one line per member. Plain data.
//! Refuses secrets: the token keeps clusters apart, it opens nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RecordError;

/// The format that this version writes.
pub const FORMAT_VERSION: u32 = 1;

/// What is remembered about one etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRecord {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Counts the changes; a change that expects another number is refused.
    pub version: u64,
    /// etcd's `--initial-cluster-token`: with the founders it determines every id of the cluster.
    pub token: String,
    /// The founders, in the order in which they were given.
    pub initial_members: Vec<InitialMember>,
    /// One line for each member that ever touched its volume.
    pub members: BTreeMap<String, MemberLine>,
    /// The id of the cluster that they serve, once one of them told it; in hexadecimal, as etcd writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Clusters that a person gave up by `recover`: what still has their data must not serve it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<String>,
    /// The recovery that made this record what it is; none: founded, or written by a survivor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<String>,
}

/// A founder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitialMember {
    /// Its name.
    pub name: String,
    /// Its only peer URL.
    pub peer_url: String,
}

/// What is known about a member's volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberLine {
    /// The random id that the supervisor wrote on it; none when only the data's existence is known.
    pub volume_id: Option<String>,
    /// Whether a member with this volume ever served, so that missing data is lost data.
    pub started: bool,
}

impl ClusterRecord {
    /// Reads what lies at `origin`. What is no record, or one of a newer version, is an error that says so.
    pub(crate) fn parse(bytes: &[u8], origin: &str) -> Result<Self, RecordError> {
        let origin = || origin.to_owned();
        let damaged = |source| RecordError::Damaged { origin: origin(), source };
        let value: Value = serde_json::from_slice(bytes).map_err(damaged)?;
        let foreign = |why: &str| RecordError::Foreign { origin: origin(), why: why.to_owned() };
        let format = value.get("formatVersion").ok_or_else(|| foreign("it has no formatVersion"))?;
        let found = format.as_u64().ok_or_else(|| foreign("its formatVersion is no number"))?;
        if found > u64::from(FORMAT_VERSION) {
            return Err(RecordError::Newer { origin: origin(), found, supported: FORMAT_VERSION });
        }
        serde_json::from_value(value).map_err(|error| foreign(&error.to_string()))
    }

    /// The text that [`Self::parse`] reads.
    pub(crate) fn render(&self, origin: &str) -> Result<String, RecordError> {
        let damaged = |source| RecordError::Damaged { origin: origin.to_owned(), source };
        let mut text = serde_json::to_string_pretty(self).map_err(damaged)?;
        text.push('\n');
        Ok(text)
    }

    /// A record for a cluster that nobody has founded yet, with a fresh token.
    #[must_use]
    pub fn for_founding(initial_members: Vec<InitialMember>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            version: 1,
            token: random_identifier(),
            initial_members,
            members: BTreeMap::new(),
            cluster_id: None,
            given_up: Vec::new(),
            recovery: None,
        }
    }

    /// Makes it the record of the cluster that `recovery` begins: `by` and nobody else has its data. Without `by` nobody has,
    /// and the founders found together. `former` is the cluster that the recovery gives up, if its id is known otherwise.
    pub fn begin_anew(
        &mut self,
        recovery: &str,
        token: &str,
        founders: Vec<InitialMember>,
        by: Option<(&str, Option<&str>)>,
        former: Option<String>,
    ) {
        for id in [self.cluster_id.take(), former].into_iter().flatten() {
            if !self.given_up.contains(&id) {
                self.given_up.push(id);
            }
        }
        token.clone_into(&mut self.token);
        self.initial_members = founders;
        self.members = by
            .map(|(name, volume_id)| {
                let volume_id = volume_id.map(str::to_owned);
                (name.to_owned(), MemberLine { volume_id, started: true })
            })
            .into_iter()
            .collect();
        self.recovery = Some(recovery.to_owned());
    }

    /// A record written anew by a member that still has its data. Every member counts as started, so that an empty one
    /// joins and none of them founds again; the volumes of the others are unknown.
    #[must_use]
    pub fn from_a_survivor(
        initial_members: Vec<InitialMember>,
        survivor: &str,
        volume_id: Option<&str>,
    ) -> Self {
        let members = initial_members
            .iter()
            .map(|member| {
                let volume_id = if member.name == survivor { volume_id.map(str::to_owned) } else { None };
                (member.name.clone(), MemberLine { volume_id, started: true })
            })
            .collect();
        Self { members, ..Self::for_founding(initial_members) }
    }
}

/// 128 random bits as 32 hexadecimal digits; for tokens and volume ids.
#[must_use]
pub fn random_identifier() -> String {
    format!("{:032x}", rand::random::<u128>())
}
