//! Waits as values: a condition says what it waits for and what it last saw; one loop polls, reports, is cancelled by drop.
//! Refuses deadlines of its own: a caller that wants one wraps the wait in `tokio::time::timeout`.

mod retry;
mod wait;

pub use retry::Backoff;
pub use wait::{Condition, Pace, Progress, Sighting, Silent, wait_for};
