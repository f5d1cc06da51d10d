//! What a rotation of shared keys does next: from where it stands, who is there and what each has in use. Pure.
//! Refuses to go on while anybody who could still use or meet the older key has not confirmed the present set.

use std::fmt;
use std::time::Duration;

use certificates::{SharedKeySet, may_have_keys};
use naming_contract::Component;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Names that a sentence lists before it only counts.
const NAMED: usize = 3;

/// Where the rotation of a set stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// One key, and nothing under way.
    Settled,
    /// The next key is trusted; the present one is in use.
    Introduced,
    /// The next key is in use; the old one is still trusted.
    Used,
    /// Nobody uses the old key any more; what was made with it runs out, or is written anew.
    Retiring,
}

/// Where the rotation of a set stands, and since when. A founding has no beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of the key that was in use when the rotation began, from 1.
    pub(crate) key: u64,
    pub(crate) stage: Stage,
    pub(crate) since: Option<OffsetDateTime>,
    /// What is handed out.
    pub(crate) generation: u64,
}

/// An instance that exists, and the generation that it has in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) component: Component,
    /// None: it does not say.
    pub(crate) generation: Option<u64>,
}

/// How long a rotation rests at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From a set that is stored until the next: longer than another replica may hand out what it read before.
    pub(crate) settle: Duration,
    /// Longest life of what was made with the old key: of a token; of a request that seals an object.
    pub(crate) overlap: Duration,
}

/// What to do about a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The wanted key is in use alone.
    Rest,
    /// Somebody or something is waited for.
    Wait(String),
    /// Store the set of that stage.
    Enter(Stage),
}

impl Position {
    /// Whether nothing is to be done, without a look at anybody.
    pub(crate) fn rests(&self, wanted: u64) -> bool {
        self.stage == Stage::Settled && wanted <= self.key
    }

    /// The number of the key that signs or writes.
    pub(crate) fn in_use(&self) -> u64 {
        match self.stage {
            Stage::Settled | Stage::Introduced => self.key,
            Stage::Used | Stage::Retiring => self.key + 1,
        }
    }

    /// The generation with which every stored object must be written before the old key goes; none while that is not so.
    pub(crate) fn asks_to_rewrite(&self, now: OffsetDateTime, patience: Patience) -> Option<u64> {
        let due = self.stage == Stage::Retiring && left(self.since, patience.overlap, now).is_none();
        due.then_some(self.generation)
    }
}

/// What to do next. `rewritten` is the highest generation with which all stored objects are said to be written.
pub(crate) fn step(
    set: SharedKeySet,
    position: &Position,
    wanted: u64,
    holders: &[Holder],
    rewritten: Option<u64>,
    now: OffsetDateTime,
    patience: Patience,
) -> Step {
    if position.rests(wanted) {
        return Step::Rest;
    }
    if let Some(left) = left(position.since, patience.settle, now) {
        return Step::Wait(format!("other replicas to read what was stored, {left}"));
    }
    match position.stage {
        Stage::Settled => Step::Enter(Stage::Introduced),
        Stage::Introduced | Stage::Used => match unconfirmed(set, position.generation, holders) {
            Some(whom) => Step::Wait(whom),
            None if position.stage == Stage::Introduced => Step::Enter(Stage::Used),
            None => Step::Enter(Stage::Retiring),
        },
        Stage::Retiring => retire(set, position, holders, rewritten, now, patience),
    }
}

fn retire(
    set: SharedKeySet,
    position: &Position,
    holders: &[Holder],
    rewritten: Option<u64>,
    now: OffsetDateTime,
    patience: Patience,
) -> Step {
    if let Some(left) = left(position.since, patience.overlap, now) {
        let what = match set {
            SharedKeySet::Encryption => "requests that may still write with the old key",
            _ => "tokens of the old key to run out",
        };
        return Step::Wait(format!("{what}, {left}"));
    }
    if set == SharedKeySet::Encryption && rewritten.is_none_or(|written| written < position.generation) {
        return Step::Wait("cluster-bootstrap to write every Secret anew".to_owned());
    }
    // Who came meanwhile with what an earlier life left would be met by a set that no longer has his key.
    match unconfirmed(set, position.generation, holders) {
        Some(whom) => Step::Wait(whom),
        None => Step::Enter(Stage::Settled),
    }
}

/// When `span` since `since` is over, for people; none when it is. A clock that was set back prolongs it.
fn left(since: Option<OffsetDateTime>, span: Duration, now: OffsetDateTime) -> Option<String> {
    let until = since? + span;
    // Whole seconds: nothing else is worth a line in the log.
    (now < until).then(|| format!("until {}", until.replace_nanosecond(0).unwrap_or(until)))
}

/// Who has not confirmed `generation`; none when everybody has.
fn unconfirmed(set: SharedKeySet, generation: u64, holders: &[Holder]) -> Option<String> {
    let concerned = || holders.iter().filter(|holder| may_have_keys(holder.component, set));
    // An empty list is more likely a mistake in looking than a control plane without API servers.
    if !concerned().any(|holder| holder.component == Component::KubeApiserver) {
        return Some("an API server to be there".to_owned());
    }
    let late: Vec<String> = concerned()
        .filter(|holder| holder.generation.is_none_or(|known| known < generation))
        .map(|holder| match holder.generation {
            Some(known) => format!("{} (generation {known})", holder.name),
            None => format!("{} (no answer)", holder.name),
        })
        .collect();
    match late.len() {
        0 => None,
        count if count <= NAMED => Some(format!("{} to take up generation {generation}", late.join(", "))),
        count => {
            let (named, more) = (late[..NAMED].join(", "), count - NAMED);
            Some(format!("{named} and {more} more to take up generation {generation}"))
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (old, new) = (self.key, self.key + 1);
        match self.stage {
            Stage::Settled => write!(formatter, "key {old} is in use"),
            Stage::Introduced => write!(formatter, "key {new} is made known, key {old} is in use"),
            Stage::Used => write!(formatter, "key {new} is taken into use, key {old} is still trusted"),
            Stage::Retiring => write!(formatter, "key {new} is in use, key {old} is about to go"),
        }
    }
}

#[cfg(test)]
#[path = "planner_properties.rs"]
mod properties;
