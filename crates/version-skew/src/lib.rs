//! Which version may start: after what was run before, and beside what runs now. Pure.
//! Owns the rules and their sentences; refuses to ask anybody, and to remember.

mod api_server;
mod controller;
mod etcd;
#[cfg(test)]
mod history;

pub use api_server::{api_server, recorded};
pub use controller::controller;
pub use etcd::etcd_member;

/// A member of something that serves now: what people call it, and its version.
pub type Serving = (String, component_flags::Release);

/// Whether a binary may be started. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Granted,
    /// Not yet: what stands against it goes by itself while an upgrade goes on.
    Later(String),
    /// Not with these settings; what to do is in the text. What it is compared with may change all the same.
    Refused(String),
}
