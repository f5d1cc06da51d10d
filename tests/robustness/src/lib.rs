//! Seeded faults at random moments under load, while keys and CAs are replaced, and what must never come of them: a lost write, a missed event, two leaders,
//! members of etcd that differ, a control plane that does not come back. The same seed gives the same plan.
//! Refuses fakes, and faults that nothing can survive: data is lost of one member at a time, when all others have theirs.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code: a broken expectation is a failed test, and what is done is printed"
)]

mod faults;
mod network;
mod plan;
mod replicas;
mod run;
mod small_volume;

pub use network::in_own_namespaces;
pub use plan::{Event, Plan, Process, Step};
pub use run::{Outcome, run};
