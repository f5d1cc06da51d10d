//! Child processes as a supervisor needs them: started with a death signal, waited for and signalled by pidfd,
//! orphans reaped, stops counted. Refuses policy: whom to start, to stop or to restart is decided elsewhere.
//! A process that attends to its signals here must start *all* its children here: every other one counts as an orphan.
//! [`capture`] runs a short-lived command and returns what it wrote.
#![allow(unsafe_code, reason = "fork, prctl, namespaces, signal handlers and pidfds have no safe form")]

mod before_exec;
mod capture;
mod child;
mod identity;
mod orphans;
mod pidfd;
mod signals;
mod spawn;

pub use capture::{CaptureError, Captured, capture};
pub use child::{Child, ChildEnding, WaitError};
pub use identity::{IdentityError, ProcessHandle, ProcessIdentity};
pub use nix::sys::signal::Signal;
pub use orphans::end_orphans;
pub use signals::{InstalledSignals, SignalError, Signals, StopByHand};
pub use spawn::{Output, Spawn, SpawnError};
