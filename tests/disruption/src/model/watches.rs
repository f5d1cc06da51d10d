//! What watches showed against what was done: every change once, in order, none missing, none made up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::{Attempt, Change, Fate, Moment, rounded};

/// One line in the life of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEntry {
    /// An event.
    Seen {
        /// When it arrived.
        at: Moment,
        /// The object's revision in it.
        revision: u64,
        /// What it shows.
        change: Change,
    },
    /// The stream ended; the kind says how.
    Broke {
        /// When.
        at: Moment,
        /// How.
        kind: String,
    },
    /// A stream is there again, from the last revision on.
    Resumed {
        /// When.
        at: Moment,
    },
    /// The revision to resume from was too old, so a list took the place of what lay between.
    Relisted {
        /// The last revision seen before.
        from: u64,
        /// The list's revision.
        to: u64,
    },
}

/// The life of one watch, from before the first change on.
#[derive(Debug, Clone, Default)]
pub struct WatchLog {
    /// What happened, in order.
    pub entries: Vec<WatchEntry>,
    /// The revision up to which it has certainly seen everything, bookmarks included.
    pub reached: u64,
}

impl WatchLog {
    /// When its streams broke.
    pub fn breaks(&self) -> impl Iterator<Item = Moment> {
        self.entries.iter().filter_map(|entry| match entry {
            WatchEntry::Broke { at, .. } => Some(*at),
            _ => None,
        })
    }
}

/// What all watches showed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchSummary {
    /// How many there were.
    pub watches: u64,
    /// Events in all of them.
    pub events: u64,
    /// Broken streams by kind.
    pub breaks: BTreeMap<String, u64>,
    /// The largest number of streams that broke within one second, wherever that second begins: watches that are moved gently
    /// come back spread over time.
    pub most_breaks_in_one_second: u64,
    /// Too-old revisions, after which events are legitimately gone.
    pub relists: u64,
    /// The longest time from a break to the next stream, in seconds.
    pub longest_break: f64,
    /// The longest time from an acknowledgement to the event, in seconds.
    pub slowest_event: f64,
    /// Events that a watch should have shown.
    pub missed: Vec<String>,
    /// Events that a watch showed again.
    pub doubled: Vec<String>,
    /// Events older than the one before.
    pub out_of_order: Vec<String>,
    /// Events of changes that nobody attempted, or that were refused.
    pub made_up: Vec<String>,
    /// Watches that did not reach the last revision in time.
    pub behind: u64,
}

/// Compares the watches with the attempts and with each other. `last` is the revision that each must have reached.
#[must_use]
pub fn examine_watches(logs: &[WatchLog], attempts: &[Attempt], last: u64, end: Moment) -> WatchSummary {
    let mut summary = WatchSummary { watches: logs.len() as u64, ..WatchSummary::default() };
    summary.most_breaks_in_one_second = most_in_one_second(logs.iter().flat_map(WatchLog::breaks)) as u64;
    let revisions = revisions(logs, attempts);
    let acknowledged: HashMap<Change, Moment> = attempts
        .iter()
        .filter(|attempt| matches!(attempt.fate, Fate::Acknowledged(_)))
        .map(|attempt| (attempt.change, attempt.ended))
        .collect();
    let possible: HashSet<Change> = attempts
        .iter()
        .filter(|attempt| attempt.fate != Fate::Refused)
        .map(|attempt| attempt.change)
        .collect();
    for (number, log) in logs.iter().enumerate() {
        let seen = walk(number, log, end, &mut summary);
        for (change, at) in &seen {
            if !possible.contains(change) {
                summary.made_up.push(format!("watch {number}: {change}"));
            }
            if let Some(acknowledged) = acknowledged.get(change) {
                let seconds = rounded(at.saturating_sub(*acknowledged));
                summary.slowest_event = summary.slowest_event.max(seconds);
            }
        }
        if log.reached < last {
            summary.behind += 1;
        }
        missing(number, log, &seen, &revisions, &mut summary);
    }
    summary
}

fn most_in_one_second(moments: impl Iterator<Item = Moment>) -> usize {
    let mut moments: Vec<Moment> = moments.collect();
    moments.sort_unstable();
    let within = |(index, from): (usize, &Moment)| {
        moments[index..].partition_point(|moment| *moment < *from + Duration::from_secs(1))
    };
    moments.iter().enumerate().map(within).max().unwrap_or(0)
}

/// All changes that happened, with their revisions: acknowledged ones, and what any watch showed. A deletion's answer
/// names no revision, so without any watch that showed it there is none.
fn revisions(logs: &[WatchLog], attempts: &[Attempt]) -> BTreeMap<Change, Option<u64>> {
    let mut revisions = BTreeMap::new();
    for attempt in attempts {
        if let Fate::Acknowledged(revision) = attempt.fate {
            revisions.insert(attempt.change, revision);
        }
    }
    for entry in logs.iter().flat_map(|log| &log.entries) {
        if let WatchEntry::Seen { revision, change, .. } = entry {
            revisions.entry(*change).or_default().get_or_insert(*revision);
        }
    }
    revisions
}

/// Goes along one watch and gives what it showed, with the moment of the first time.
fn walk(number: usize, log: &WatchLog, end: Moment, summary: &mut WatchSummary) -> HashMap<Change, Moment> {
    let mut seen = HashMap::new();
    let mut newest = 0;
    let mut broken_since: Option<Moment> = None;
    for entry in &log.entries {
        match entry {
            WatchEntry::Seen { at, revision, change } => {
                summary.events += 1;
                if seen.contains_key(change) {
                    summary.doubled.push(format!("watch {number}: {change}"));
                } else {
                    seen.insert(*change, *at);
                    if *revision <= newest {
                        summary.out_of_order.push(format!("watch {number}: {change}"));
                    }
                }
                newest = newest.max(*revision);
            }
            WatchEntry::Broke { at, kind } => {
                *summary.breaks.entry(kind.clone()).or_default() += 1;
                broken_since.get_or_insert(*at);
            }
            WatchEntry::Resumed { at } => {
                if let Some(since) = broken_since.take() {
                    summary.longest_break = summary.longest_break.max(rounded(at.saturating_sub(since)));
                }
            }
            WatchEntry::Relisted { .. } => summary.relists += 1,
        }
    }
    if let Some(since) = broken_since {
        summary.longest_break = summary.longest_break.max(rounded(end.saturating_sub(since)));
    }
    seen
}

fn missing(
    number: usize,
    log: &WatchLog,
    seen: &HashMap<Change, Moment>,
    revisions: &BTreeMap<Change, Option<u64>>,
    summary: &mut WatchSummary,
) {
    let excused: BTreeSet<(u64, u64)> = log
        .entries
        .iter()
        .filter_map(|entry| match entry {
            WatchEntry::Relisted { from, to } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    let demanded = |revision: Option<u64>| match revision {
        // What it has not reached yet is not missed: the watch is behind, which is counted apart.
        Some(revision) => {
            revision <= log.reached && !excused.iter().any(|(from, to)| *from < revision && revision <= *to)
        }
        // No watch showed this deletion: each that got to the end without a list missed it.
        None => excused.is_empty(),
    };
    for (change, revision) in revisions {
        if demanded(*revision) && !seen.contains_key(change) {
            summary.missed.push(format!("watch {number}: {change}"));
        }
    }
}

#[cfg(test)]
mod tests;
