//! What clients noticed, for people (text, picture) and programs (JSON). Refuses verdicts but one: what must never happen.

mod picture;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{
    Gap, LeaseSummary, Operation, OperationSummary, ReadSummary, Second, WatchSummary, WriteSummary,
};

/// The load, as far as a reader must know it to judge the numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// The addresses that connections were made to.
    pub servers: Vec<String>,
    /// Clients with kept connections.
    pub clients: usize,
    /// Clients with a new connection for each request.
    pub fresh_clients: usize,
    /// Requests per second that were meant to be sent.
    pub rate: f64,
    /// Watches.
    pub watches: usize,
}

/// Something that was done to the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When, in seconds.
    pub at: f64,
    /// What.
    pub text: String,
}

/// Everything about one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was asked of the server.
    pub load: Load,
    /// When the load began, in seconds since 1970.
    pub began: u64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// Every kind of request.
    pub operations: BTreeMap<Operation, OperationSummary>,
    /// The longest time in which no read and no list succeeded.
    pub longest_gap_of_reads: Gap,
    /// The longest time in which no write and no deletion succeeded.
    pub longest_gap_of_writes: Gap,
    /// Reads against the writes and each other.
    pub reads: ReadSummary,
    /// Writes against the reads and the read-back.
    pub writes: WriteSummary,
    /// Watches against the writes and each other.
    pub watches: WatchSummary,
    /// Leader leases.
    pub leases: Vec<LeaseSummary>,
    /// Requests that were due more than a second before their client had the answer to another.
    pub not_sent: u64,
    /// Kept connections that had ended between two requests, which is no failure.
    pub reconnects: u64,
    /// What was done to the server.
    pub marks: Vec<Mark>,
    /// What was said at the first failure of each kind.
    pub examples: BTreeMap<String, String>,
    /// Every second.
    pub timeline: Vec<Second>,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

impl Report {
    /// Reads and lists that failed.
    #[must_use]
    pub fn failed_reads(&self) -> u64 {
        self.sum(Operation::looks, OperationSummary::failures)
    }

    /// Writes and deletions that failed.
    #[must_use]
    pub fn failed_writes(&self) -> u64 {
        self.sum(Operation::changes, OperationSummary::failures)
    }

    /// Requests that were told to retry by the protocol.
    #[must_use]
    pub fn told_to_retry(&self) -> u64 {
        self.sum(|_| true, OperationSummary::retries)
    }

    /// Requests that succeeded.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        self.sum(|_| true, |it| it.succeeded)
    }

    /// Requests per second that were really sent, without watches. Each try is one.
    #[must_use]
    pub fn achieved_rate(&self) -> f64 {
        let sent = |it: &OperationSummary| it.succeeded + it.failures() + it.retries();
        let requests = self.sum(|operation| operation.looks() || operation.changes(), sent);
        if self.seconds > 0.0 { requests as f64 / self.seconds } else { 0.0 }
    }

    /// Streams of watches that broke.
    #[must_use]
    pub fn watch_breaks(&self) -> u64 {
        self.watches.breaks.values().sum()
    }

    /// The longest time in which a controller's lease was not renewed, in seconds.
    #[must_use]
    pub fn longest_controller_pause(&self) -> f64 {
        self.leases.iter().map(|lease| lease.longest_pause).fold(0.0, f64::max)
    }

    /// What must never happen, whatever is done to the server: lost writes, reads and writes that no order explains, missed and
    /// doubled events, two leaders. Empty when none of it did.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let watches = &self.watches;
        let mut broken = Vec::new();
        for (what, found) in [
            ("lost acknowledged write", &self.writes.lost),
            ("refused write that was done", &self.writes.refused_but_done),
            ("stale read", &self.reads.stale),
            ("read that went back", &self.reads.went_back),
            ("read of what nobody wrote", &self.reads.never_written),
            ("missed event", &watches.missed),
            ("doubled event", &watches.doubled),
            ("event out of order", &watches.out_of_order),
            ("event of no write", &watches.made_up),
        ] {
            broken.extend(found.iter().map(|found| format!("{what}: {found}")));
        }
        if watches.behind > 0 {
            broken.push(format!("{} watches never came to the last event", watches.behind));
        }
        for lease in &self.leases {
            broken.extend(
                lease.two_leaders.iter().map(|found| format!("two leaders of {}: {found}", lease.name)),
            );
        }
        broken
    }

    fn sum(&self, of: impl Fn(Operation) -> bool, count: impl Fn(&OperationSummary) -> u64) -> u64 {
        self.operations
            .iter()
            .filter(|(operation, _)| of(**operation))
            .map(|(_, summary)| count(summary))
            .sum()
    }

    /// As JSON, for programs.
    #[must_use]
    pub fn json(&self) -> String {
        // Numbers, strings and maps with names as keys: serde_json takes all of it.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
