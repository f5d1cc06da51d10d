//! A process that does nothing, and is not gone either.
//! Refuses to stay so: it is thawed when dropped, also by a failed test, so that it can end.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Instance;

/// A frozen process.
#[derive(Debug)]
pub struct Frozen(Pid);

impl Frozen {
    /// Freezes the child of `instance`; panics if it has none.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self::new(instance.pid)
    }

    /// Freezes the supervisor of `instance`, which then cannot replace its child; panics if it does not run.
    #[must_use]
    pub fn supervisor_of(instance: &Instance) -> Self {
        Self::new(instance.supervisor_pid)
    }

    fn new(pid: Option<u32>) -> Self {
        let pid = Pid::from_raw(pid.expect("it runs").cast_signed());
        kill(pid, Signal::SIGSTOP).expect("it can be frozen");
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _gone = kill(self.0, Signal::SIGCONT);
    }
}
