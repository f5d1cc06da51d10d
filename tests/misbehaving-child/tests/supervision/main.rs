//! The driver with real processes: a test supervisor and the misbehaving child.
//! Refuses sleeps: every wait is for a condition, within a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes only #[test] functions of an integration test for tests"
)]

mod death_signal;
mod endings;
mod first_process;
mod harness;
mod health;
mod orphans;
mod restarts;
mod stops;
