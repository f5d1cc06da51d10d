//! Real supervisors and real etcds: founding, lost data, lost majorities and the way out of them, removed members, frozen members, stops,
//! restarts for new CAs, databases that are full or mostly free.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

mod harness;
mod pki;
mod recovery;
mod restarts;
mod scenarios;
mod space;
