//! What happened, as values with times, and what follows from it (pure): counts, gaps, lost writes, missed events, leaders.
//! Refuses clocks and connections: whoever saw something says when.

mod changes;
mod history;
mod leases;
mod requests;
mod watches;
mod writes;

use std::time::Duration;

pub use changes::{Change, Step};
pub use history::{History, ReadSummary, WriteSummary};
pub use leases::{LeaseSummary, LeaseView, Tenure, examine_lease};
pub use requests::{Gap, Operation, OperationSummary, Outcome, Request, Second, gap, seconds, summarize};
pub use watches::{WatchEntry, WatchLog, WatchSummary, examine_watches};
pub use writes::{Attempt, Fate};

/// Time since the load began.
pub type Moment = Duration;

/// Whole milliseconds, as seconds: what reports show.
#[must_use]
pub fn rounded(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
