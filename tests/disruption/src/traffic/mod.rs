//! The I/O: one server, connections to it, what is asked over them, and what went wrong. Refuses to retry by itself and
//! to draw conclusions: those are `model`'s.

mod client;
mod connection;
mod credentials;
mod leases;
mod ledger;
mod numbered_object;
mod read_back;
mod recorder;
mod server;
mod trouble;
mod watch_stream;
mod watcher;

pub(crate) use client::{Client, ClientContext};
pub(crate) use leases::follow_lease;
pub(crate) use ledger::Ledger;
pub(crate) use numbered_object::Collection;
pub(crate) use read_back::Checker;
pub(crate) use recorder::Recorder;
pub(crate) use server::Server;
pub use server::ServerError;
pub use trouble::SHUTTING_DOWN;
pub(crate) use trouble::Trouble;
pub(crate) use watcher::Watcher;
