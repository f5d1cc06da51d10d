//! Seeded faults at random moments under load, while keys and CAs are replaced, API servers restart and all goes down and up, and what must never come
//! of them: a lost write, a missed event, two leaders, members of etcd that differ, a control plane that does not come back. A plan that is kept stays the same.
//! Refuses fakes, and faults that nothing can survive: data is lost of one member at a time, when all others have theirs.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code: a broken expectation is a failed test, and what is done is printed"
)]

mod changes;
mod clock;
mod contents;
mod event;
mod faults;
mod members;
mod milliseconds;
mod network;
mod plan;
mod replicas;
mod run;
mod slow_network;
mod small_volume;

pub use event::{Event, Process};
pub use members::{client_urls, hears_of_a_leader, peer_ports};
pub use network::{Wrong, in_own_namespaces};
pub use plan::{INSTANCES, Plan, Step};
pub use run::{Outcome, run};
pub use slow_network::Slow;
