//! One measurement: the numbers of a report that go into the table.

use std::collections::BTreeMap;
use std::fmt;

use disruption::Report;

/// What clients noticed of one change.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) failed_reads: f64,
    pub(crate) failed_writes: f64,
    pub(crate) told_to_retry: f64,
    /// Seconds without a successful read, and without a successful write.
    pub(crate) gap_of_reads: f64,
    pub(crate) gap_of_writes: f64,
    pub(crate) watch_breaks: f64,
    /// Of them, the most within one second.
    pub(crate) watch_breaks_at_once: f64,
    pub(crate) missed_events: f64,
    pub(crate) lost_writes: f64,
    /// Seconds.
    pub(crate) controller_pause: f64,
    /// Seconds until all was whole again.
    pub(crate) whole_after: f64,
    pub(crate) succeeded: f64,
    /// Requests per second that were really sent.
    pub(crate) rate: f64,
    /// What was due more than a second before its client had the answer to something else.
    pub(crate) not_sent: f64,
    /// How often etcd elected a leader.
    pub(crate) elections: f64,
    /// How requests failed.
    pub(crate) failures: BTreeMap<String, u64>,
    /// What must never happen, and did.
    pub(crate) broken_promises: Vec<String>,
}

impl Measured {
    /// Takes it from the report.
    pub(crate) fn new(report: &Report, whole_after: f64, elections: u64) -> Self {
        let mut failures = BTreeMap::new();
        for (operation, summary) in &report.operations {
            for (kind, count) in &summary.failed {
                *failures.entry(format!("{} {kind}", operation.name())).or_default() += count;
            }
        }
        Self {
            failures,
            failed_reads: report.failed_reads() as f64,
            failed_writes: report.failed_writes() as f64,
            told_to_retry: report.told_to_retry() as f64,
            gap_of_reads: report.longest_gap_of_reads.seconds,
            gap_of_writes: report.longest_gap_of_writes.seconds,
            watch_breaks: report.watch_breaks() as f64,
            watch_breaks_at_once: report.watches.most_breaks_in_one_second as f64,
            missed_events: report.watches.missed.len() as f64,
            lost_writes: report.writes.lost.len() as f64,
            controller_pause: report.longest_controller_pause(),
            whole_after,
            succeeded: report.succeeded() as f64,
            rate: report.achieved_rate(),
            not_sent: report.not_sent as f64,
            elections: elections as f64,
            broken_promises: report.broken_promises(),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "failed {} reads, {} writes; told to retry {}; gaps {:.1} s reads, {:.1} s writes; {} watch breaks, at \
             most {} in one second; missed {}, lost {}; controllers paused {:.1} s; whole after {:.1} s; {} succeeded, {:.0} \
             sent per second, {} not sent; {} elections of etcd",
            self.failed_reads,
            self.failed_writes,
            self.told_to_retry,
            self.gap_of_reads,
            self.gap_of_writes,
            self.watch_breaks,
            self.watch_breaks_at_once,
            self.missed_events,
            self.lost_writes,
            self.controller_pause,
            self.whole_after,
            self.succeeded,
            self.rate,
            self.not_sent,
            self.elections
        )?;
        self.failures.iter().try_for_each(|(kind, count)| write!(formatter, "; {count} {kind}"))?;
        self.broken_promises.iter().take(3).try_for_each(|broken| write!(formatter, "; BROKEN: {broken}"))
    }
}
