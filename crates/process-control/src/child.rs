//! A running child: waited for and signalled through its pidfd, killed when dropped.
//! Refuses to lose a status: only its own `wait` reaps it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;

use crate::identity::{IdentityError, ProcessIdentity};
use crate::{orphans, pidfd};

/// How a child ended; its process is reaped when this value exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEnding {
    /// It called exit with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
}

/// Why the ending of a child cannot be told. The process itself is certainly gone.
#[derive(Debug, thiserror::Error)]
#[error("process {pid} has ended, but its exit status was taken by somebody else")]
pub struct WaitError {
    /// The child's process id.
    pub pid: u32,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// A child of ours that was spawned and not reaped yet. Dropping it sends SIGKILL.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: Option<AsyncFd<OwnedFd>>,
    ending: Option<ChildEnding>,
}

impl Child {
    /// Takes over a child that was just spawned; `orphans` already knows that it is ours.
    pub(crate) fn adopt(pid: i32) -> io::Result<Self> {
        // It is not reaped yet, so the pid is still its own.
        let descriptor = pidfd::open(pid)?.ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd::awaitable(descriptor)?;
        Ok(Self { pid, pidfd: Some(pidfd), ending: None })
    }

    /// Its process id, which is its own until [`Child::wait`] has returned.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Its process id with its start time, for a pid file.
    pub fn identity(&self) -> Result<ProcessIdentity, IdentityError> {
        ProcessIdentity::of(self.pid())?.ok_or(IdentityError::Gone { pid: self.pid() })
    }

    /// Waits until it has ended and reaps it. Cancel-safe; after the end it returns the same ending again.
    pub async fn wait(&mut self) -> Result<ChildEnding, WaitError> {
        if let Some(ending) = self.ending {
            return Ok(ending);
        }
        let ended = self.ended().await;
        orphans::forget(self.pid);
        self.pidfd = None;
        let ending = ended.map_err(|source| WaitError { pid: self.pid(), source })?;
        self.ending = Some(ending);
        Ok(ending)
    }

    /// Sends a signal; false when it has already ended.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        match &self.pidfd {
            Some(pidfd) => pidfd::signal(pidfd.get_ref().as_fd(), signal),
            None => Ok(false),
        }
    }

    async fn ended(&self) -> io::Result<ChildEnding> {
        let Some(pidfd) = &self.pidfd else { return Err(io::ErrorKind::NotFound.into()) };
        loop {
            let mut readable = pidfd.readable().await?;
            if let Some(ending) = pidfd::reap(pidfd.get_ref().as_fd())? {
                return Ok(ending);
            }
            readable.clear_ready();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(pidfd) = self.pidfd.take() else { return };
        let descriptor = pidfd.into_inner();
        // Nobody is left to tell of an error; PDEATHSIG ends it with us at the latest.
        drop(pidfd::signal(descriptor.as_fd(), Signal::SIGKILL));
        orphans::abandon(self.pid, descriptor);
    }
}
