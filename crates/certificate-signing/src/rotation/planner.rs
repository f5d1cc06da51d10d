//! What a rotation of shared keys or CAs does next: from where it stands, who is there and what each has in use. Pure.
//! Refuses to go on while anybody who could still use or meet the older key has not confirmed the present set.

use std::time::Duration;

use certificates::{Rotated, SharedKeySet, may_have_keys};
use naming_contract::Component;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Names that a sentence lists before it only counts.
const NAMED: usize = 3;

/// Where a rotation stands. "Key" is also a CA, whose rotation alone ends with [`Stage::Dropped`].
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
    /// The old CA is in no bundle any more; who trusts it still has not read the present one yet.
    Dropped,
}

/// Where the rotation of a set stands, and for how long. A founding has no beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of the key that was in use when the rotation began, from 1.
    pub(crate) key: u64,
    pub(crate) stage: Stage,
    /// Time that was seen to pass, whatever the machine's clock says of it.
    pub(crate) stood: Option<Duration>,
    /// What is handed out.
    pub(crate) generation: u64,
}

/// An instance that exists, and whether it has in use what is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) component: Component,
    /// If not: what it has in use instead, for people.
    pub(crate) confirmed: Result<(), String>,
}

/// How long a rotation rests at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From a set that is stored until the next: longer than another replica may hand out what it read before.
    pub(crate) settle: Duration,
    /// From a key that is made known until it is used: for those outside who must know it and are not asked.
    pub(crate) known: Duration,
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
            Stage::Used | Stage::Retiring | Stage::Dropped => self.key + 1,
        }
    }

    /// The generation with which every stored object must be written before the old key goes; none while that is not so.
    pub(crate) fn asks_to_rewrite(&self, patience: Patience) -> Option<u64> {
        let due = self.stage == Stage::Retiring && self.left(patience.overlap).is_none();
        due.then_some(self.generation)
    }

    /// What is left of a wait at this stage; none when it is over.
    fn left(&self, wait: Duration) -> Option<Duration> {
        wait.checked_sub(self.stood?).filter(|left| !left.is_zero())
    }
}

impl Patience {
    /// How long a stage lasts at least, however fast everybody confirms.
    pub(crate) fn at(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Introduced => self.known,
            Stage::Retiring => self.overlap,
            Stage::Settled | Stage::Used | Stage::Dropped => Duration::ZERO,
        }
    }
}

/// What to do next. `rewritten` is the highest generation with which all stored objects are said to be written; `now` is told to
/// people and decides nothing.
pub(crate) fn step(
    what: Rotated,
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
    if let Some(left) = position.left(patience.settle) {
        return Step::Wait(format!("other replicas to read what was stored, {}", until(now + left)));
    }
    match position.stage {
        Stage::Settled => Step::Enter(Stage::Introduced),
        Stage::Introduced => confirmed(what, position, holders).unwrap_or_else(|| {
            // Those of ours first: whom an operator must look after he should hear of at once.
            match position.left(patience.known) {
                Some(left) => {
                    Step::Wait(format!("clients outside to trust the next CA, {}", until(now + left)))
                }
                None => Step::Enter(Stage::Used),
            }
        }),
        Stage::Used => confirmed(what, position, holders).unwrap_or(Step::Enter(Stage::Retiring)),
        Stage::Retiring => retire(what, position, holders, rewritten, now, patience),
        Stage::Dropped => confirmed(what, position, holders).unwrap_or(Step::Enter(Stage::Settled)),
    }
}

fn retire(
    what: Rotated,
    position: &Position,
    holders: &[Holder],
    rewritten: Option<u64>,
    now: OffsetDateTime,
    patience: Patience,
) -> Step {
    if let Some(left) = position.left(patience.overlap) {
        let whom = match what {
            Rotated::ServiceAccount => "tokens of the old key to run out",
            Rotated::Encryption => "requests that may still write with the old key",
            Rotated::CertificateAuthorities => "certificates of the old CA outside to be replaced",
        };
        return Step::Wait(format!("{whom}, {}", until(now + left)));
    }
    if what == Rotated::Encryption && rewritten.is_none_or(|written| written < position.generation) {
        return Step::Wait("cluster-bootstrap to write every Secret anew".to_owned());
    }
    let next = match what {
        Rotated::CertificateAuthorities => Stage::Dropped,
        Rotated::ServiceAccount | Rotated::Encryption => Stage::Settled,
    };
    // Who came meanwhile with what an earlier life left would be met by a set that no longer has his key.
    confirmed(what, position, holders).unwrap_or(Step::Enter(next))
}

/// Whole seconds: nothing else is worth a line in the log.
fn until(end: OffsetDateTime) -> String {
    format!("until {}", end.replace_nanosecond(0).unwrap_or(end))
}

/// The wait for who has not confirmed what is handed out; none when everybody has.
fn confirmed(what: Rotated, position: &Position, holders: &[Holder]) -> Option<Step> {
    let concerned = || holders.iter().filter(|holder| concerns(what, holder.component));
    // An empty list is more likely a mistake in looking than a control plane without API servers.
    if !concerned().any(|holder| holder.component == Component::KubeApiserver) {
        return Some(Step::Wait("an API server to be there".to_owned()));
    }
    let late: Vec<String> = concerned()
        .filter_map(|holder| Some(format!("{} ({})", holder.name, holder.confirmed.as_ref().err()?)))
        .collect();
    let awaited = match late.len() {
        0 => return None,
        count if count <= NAMED => late.join(", "),
        count => format!("{} and {} more", late[..NAMED].join(", "), count - NAMED),
    };
    Some(Step::Wait(format!("{awaited} to take up generation {}", position.generation)))
}

/// CAs concern everybody.
fn concerns(what: Rotated, component: Component) -> bool {
    match what {
        Rotated::ServiceAccount => may_have_keys(component, SharedKeySet::ServiceAccount),
        Rotated::Encryption => may_have_keys(component, SharedKeySet::Encryption),
        Rotated::CertificateAuthorities => true,
    }
}

impl Position {
    /// Where it stands, for people.
    pub(crate) fn told(&self, what: Rotated) -> String {
        let (old, new, one) = (self.key, self.key + 1, what.one());
        match self.stage {
            Stage::Settled => format!("{one} {old} is in use"),
            Stage::Introduced => format!("{one} {new} is made known, {one} {old} is in use"),
            Stage::Used => format!("{one} {new} is taken into use, {one} {old} is still trusted"),
            Stage::Retiring => format!("{one} {new} is in use, {one} {old} is about to go"),
            Stage::Dropped => format!("{one} {new} is in use, {one} {old} is dropped"),
        }
    }
}

#[cfg(test)]
#[path = "planner_properties.rs"]
mod properties;
