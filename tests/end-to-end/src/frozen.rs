//! A child that does nothing, and is not gone either.
//! Refuses to stay so: it is thawed when dropped, also by a failed test, so that it can end.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Instance;

/// A frozen child.
#[derive(Debug)]
pub struct Frozen(Pid);

impl Frozen {
    /// Freezes the child of `instance`; panics if it has none.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        let pid = Pid::from_raw(instance.pid.expect("it runs").cast_signed());
        kill(pid, Signal::SIGSTOP).expect("it can be frozen");
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _gone = kill(self.0, Signal::SIGCONT);
    }
}
