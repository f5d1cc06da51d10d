//! What the end-to-end tests share: a control plane that cleans up after itself, clients, a writer and its checker.
//! Refuses fakes: everything here runs the real binaries, named by `PILOTHOUSE_COMPONENTS` and `PILOTHOUSE_BINARIES`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

mod child;
mod control_plane;
mod environment;
mod frozen;
mod kubernetes;
mod lease_history;
mod leftovers;
mod listener;
mod namespaces;
mod nobody;
mod packets;
mod ports;
mod refusal;
mod wait;
mod writer;

pub use control_plane::{ControlPlane, Instance, Rotation, pilothouse};
pub use environment::{binary, component, components, components_before, fake_clock, supervisor_of};
pub use frozen::Frozen;
pub use kubernetes::{client, create_namespace, lease_holder};
pub use lease_history::{Held, LeaseHistory};
pub use leftovers::{assert_nothing_left, processes_of};
pub use listener::Listener;
pub use namespaces::{inside_namespaces, shell};
pub use nobody::Nobody;
pub use packets::packets_dropped;
pub use ports::free_port;
pub use wait::{eventually, median};
pub use writer::{Report, Writer};
