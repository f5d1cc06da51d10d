//! Requests and how they ended: counts by kind, by second, latencies, and the longest time without a success.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Moment, rounded};

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// GET of one object.
    Read,
    /// GET of a collection.
    List,
    /// POST or PUT.
    Write,
    /// DELETE of one object.
    Delete,
    /// The beginning of a watch; its breaks are counted with the watches.
    Watch,
}

impl Operation {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 5] = [Self::Read, Self::List, Self::Write, Self::Delete, Self::Watch];

    /// As reports call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Watch => "watch",
        }
    }

    /// Whether it changes something, so that it needs etcd's leader.
    #[must_use]
    pub fn changes(self) -> bool {
        matches!(self, Self::Write | Self::Delete)
    }

    /// Whether it only looks, and ends.
    #[must_use]
    pub fn looks(self) -> bool {
        matches!(self, Self::Read | Self::List)
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Succeeded,
    /// The protocol itself asked for another try, and nothing was done: GOAWAY before the request was taken, 429 with
    /// Retry-After, 503 with Retry-After of a server that shuts down.
    ToldToRetry(String),
    /// In any other way; the kind says how.
    Failed(String),
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What was asked.
    pub operation: Operation,
    /// When it was begun, connecting included.
    pub begun: Moment,
    /// When its end was known.
    pub ended: Moment,
    /// How it ended.
    pub outcome: Outcome,
}

/// All requests of one operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationSummary {
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed, by kind.
    pub failed: BTreeMap<String, u64>,
    /// How many were told to retry by the protocol, by kind.
    pub told_to_retry: BTreeMap<String, u64>,
    /// Median, 99th percentile and maximum of the successes, in seconds.
    pub latency: [f64; 3],
}

impl OperationSummary {
    /// Failures of any kind.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Those told to retry, of any kind.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.told_to_retry.values().sum()
    }
}

/// Counts all requests of one operation.
#[must_use]
pub fn summarize(requests: &[Request], operation: Operation) -> OperationSummary {
    let mut summary = OperationSummary::default();
    let mut latencies = Vec::new();
    for request in requests.iter().filter(|request| request.operation == operation) {
        match &request.outcome {
            Outcome::Succeeded => {
                summary.succeeded += 1;
                latencies.push(request.ended.saturating_sub(request.begun));
            }
            Outcome::ToldToRetry(kind) => *summary.told_to_retry.entry(kind.clone()).or_default() += 1,
            Outcome::Failed(kind) => *summary.failed.entry(kind.clone()).or_default() += 1,
        }
    }
    latencies.sort_unstable();
    if let Some(last) = latencies.len().checked_sub(1) {
        summary.latency = [last / 2, last * 99 / 100, last].map(|index| rounded(latencies[index]));
    }
    summary
}

/// A time without a success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// When it began, in seconds.
    pub from: f64,
    /// How long it was, in seconds.
    pub seconds: f64,
}

/// The longest time between two successes of the operations in question; the beginning and `end` count as successes, so
/// that an outage that lasts to the end is one.
#[must_use]
pub fn gap(requests: &[Request], end: Moment, of: impl Fn(Operation) -> bool) -> Gap {
    let counts = |request: &&Request| request.outcome == Outcome::Succeeded && of(request.operation);
    let mut successes: Vec<Moment> =
        requests.iter().filter(counts).map(|request| request.ended).filter(|ended| *ended < end).collect();
    successes.push(end);
    successes.sort_unstable();
    let mut longest = Gap::default();
    let mut before = Moment::ZERO;
    for success in successes {
        let seconds = rounded(success.saturating_sub(before));
        if seconds > longest.seconds {
            longest = Gap { from: rounded(before), seconds };
        }
        before = success;
    }
    longest
}

/// What ended within one second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Reads and lists that succeeded.
    pub looked: u32,
    /// Writes and deletes that succeeded.
    pub changed: u32,
    /// Reads, lists, writes and deletes that failed, by kind.
    pub failed: BTreeMap<String, u32>,
    /// Those told to retry.
    pub told_to_retry: u32,
    /// Watches that broke.
    pub watch_breaks: u32,
}

/// One entry for each second until `end`; the last may be a part of one.
#[must_use]
pub fn seconds(requests: &[Request], watch_breaks: &[Moment], end: Moment) -> Vec<Second> {
    let mut seconds = vec![Second::default(); (end.as_secs_f64().ceil() as usize).max(1)];
    let last = seconds.len() - 1;
    let index = |moment: Moment| (moment.as_secs() as usize).min(last);
    for request in requests.iter().filter(|request| request.operation != Operation::Watch) {
        let second = &mut seconds[index(request.ended)];
        match &request.outcome {
            Outcome::Succeeded if request.operation.changes() => second.changed += 1,
            Outcome::Succeeded => second.looked += 1,
            Outcome::ToldToRetry(_) => second.told_to_retry += 1,
            Outcome::Failed(kind) => *second.failed.entry(kind.clone()).or_default() += 1,
        }
    }
    for moment in watch_breaks {
        seconds[index(*moment)].watch_breaks += 1;
    }
    seconds
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn request(operation: Operation, ended: u64, outcome: Outcome) -> Request {
        Request { operation, begun: Duration::ZERO, ended: Duration::from_millis(ended), outcome }
    }

    #[test]
    fn an_outage_at_the_end_is_a_gap() {
        let requests = [request(Operation::Read, 1_000, Outcome::Succeeded)];
        let found = gap(&requests, Duration::from_secs(9), Operation::looks);
        assert_eq!(found, Gap { from: 1.0, seconds: 8.0 });
        assert_eq!(
            gap(&requests, Duration::from_secs(9), Operation::changes),
            Gap { from: 0.0, seconds: 9.0 }
        );
    }

    proptest! {
        #[test]
        fn nothing_is_counted_twice_or_not_at_all(
            ends in prop::collection::vec((0_usize..4, 0_u64..9_999, 0_u8..3), 0..200),
        ) {
            let outcome = |kind| match kind {
                0 => Outcome::Succeeded,
                1 => Outcome::ToldToRetry("GOAWAY".to_owned()),
                _ => Outcome::Failed("refused".to_owned()),
            };
            let requests: Vec<_> = ends
                .iter()
                .map(|(operation, ended, kind)| request(Operation::ALL[*operation], *ended, outcome(*kind)))
                .collect();
            let summaries = Operation::ALL.map(|operation| summarize(&requests, operation));
            let total: u64 = summaries.iter().map(|it| it.succeeded + it.failures() + it.retries()).sum();
            prop_assert_eq!(total, requests.len() as u64);
            let seconds = seconds(&requests, &[], Duration::from_secs(10));
            let failed: u64 = seconds.iter().flat_map(|second| second.failed.values()).map(|it| u64::from(*it)).sum();
            prop_assert_eq!(failed, summaries.iter().map(OperationSummary::failures).sum::<u64>());
            let succeeded: u64 = seconds.iter().map(|it| u64::from(it.looked) + u64::from(it.changed)).sum();
            prop_assert_eq!(succeeded, summaries.iter().map(|it| it.succeeded).sum::<u64>());
        }

        #[test]
        fn no_success_lies_inside_the_longest_gap(ends in prop::collection::vec(0_u64..9_999, 0..50)) {
            let requests: Vec<_> =
                ends.iter().map(|ended| request(Operation::Write, *ended, Outcome::Succeeded)).collect();
            let found = gap(&requests, Duration::from_secs(10), Operation::changes);
            for ended in &ends {
                let at = *ended as f64 / 1000.0;
                prop_assert!(at <= found.from + 1e-9 || at >= found.from + found.seconds - 1e-9);
            }
        }
    }
}
