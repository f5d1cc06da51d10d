//! A process told apart for good: pid, start time and boot, so that a pid file never points to a stranger.
//! Refuses to signal by pid: a handle is a pidfd whose identity was checked while it was held.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::pidfd;

/// Which process, for ever. Serializes for pid files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub start_time: u64,
    /// The kernel's boot id: ticks and pids begin anew with every boot.
    pub boot: String,
}

/// Why a process cannot be identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The kernel's account of the process cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file below `/proc`.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel's account has an unknown form.
    #[error("cannot understand {path}: {content}")]
    Unintelligible {
        /// The file below `/proc`.
        path: String,
        /// What it held.
        content: String,
    },
    /// No pidfd could be had.
    #[error("cannot open a pidfd for process {pid}")]
    Descriptor {
        /// The process id.
        pid: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The process has ended.
    #[error("process {pid} has ended")]
    Gone {
        /// The process id.
        pid: u32,
    },
}

impl ProcessIdentity {
    /// The identity of the living process with this pid; none when there is none.
    pub fn of(pid: u32) -> Result<Option<Self>, IdentityError> {
        let Some(stat) = stat_of(pid)?.filter(|stat| !stat.ended) else { return Ok(None) };
        let boot = read_proc("/proc/sys/kernel/random/boot_id")?.unwrap_or_default().trim().to_owned();
        Ok(Some(Self { pid, start_time: stat.start_time, boot }))
    }

    /// Our own identity.
    pub fn own() -> Result<Self, IdentityError> {
        let pid = std::process::id();
        Self::of(pid)?.ok_or(IdentityError::Gone { pid })
    }

    /// Whether this very process lives; a zombie does not.
    pub fn is_alive(&self) -> Result<bool, IdentityError> {
        Ok(Self::of(self.pid)?.as_ref() == Some(self))
    }

    /// A handle by which this very process can be signalled and waited for; none when it has ended.
    pub fn open(&self) -> Result<Option<ProcessHandle>, IdentityError> {
        let descriptor = pidfd::open(self.pid.cast_signed())
            .map_err(|source| IdentityError::Descriptor { pid: self.pid, source })?;
        let Some(descriptor) = descriptor else { return Ok(None) };
        // Looked at only now: a process that still has this identity had it when the pidfd was opened.
        Ok(self.is_alive()?.then_some(ProcessHandle { pid: self.pid, descriptor }))
    }
}

/// A process that need not be our child.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: u32,
    descriptor: OwnedFd,
}

impl ProcessHandle {
    /// Its process id, for messages.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; false when it has already ended.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        pidfd::signal(self.descriptor.as_fd(), signal)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> io::Result<bool> {
        pidfd::has_ended(self.descriptor.as_fd())
    }

    /// Waits until it has ended. Cancel-safe. Must run in a tokio runtime.
    pub async fn ended(&self) -> io::Result<()> {
        let descriptor = pidfd::awaitable(self.descriptor.as_fd())?;
        descriptor.readable().await?.retain_ready();
        Ok(())
    }
}

/// What `/proc/<pid>/stat` tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// A zombie, or on its way to be reaped.
    pub(crate) ended: bool,
    pub(crate) parent: i32,
    /// In clock ticks since boot.
    pub(crate) start_time: u64,
}

pub(crate) fn stat_of(pid: u32) -> Result<Option<Stat>, IdentityError> {
    let path = format!("/proc/{pid}/stat");
    let Some(content) = read_proc(&path)? else { return Ok(None) };
    parse_stat(&content).map(Some).ok_or(IdentityError::Unintelligible { path, content })
}

fn parse_stat(content: &str) -> Option<Stat> {
    // The name in parentheses may itself hold spaces and parentheses; what follows the last one does not.
    let (_name, rest) = content.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        ended: matches!(*fields.first()?, "Z" | "X" | "x"),
        parent: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

/// None when the process is gone: no such file, or it went while being read (ESRCH).
fn read_proc(path: &str) -> Result<Option<String>, IdentityError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(String::from_utf8_lossy(&content).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(None),
        Err(source) => Err(IdentityError::Unreadable { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b) (c)) Z 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 10 11";
        assert_eq!(parse_stat(line), Some(Stat { ended: true, parent: 7, start_time: 123_456 }));
    }

    #[test]
    fn we_are_alive_and_a_twin_with_another_start_time_or_boot_is_not() {
        let own = ProcessIdentity::own().unwrap();
        assert!(own.is_alive().unwrap());
        assert!(own.open().unwrap().is_some_and(|handle| !handle.has_ended().unwrap()));
        for twin in [
            ProcessIdentity { start_time: own.start_time + 1, ..own.clone() },
            ProcessIdentity { boot: "another".into(), ..own.clone() },
        ] {
            assert!(!twin.is_alive().unwrap());
            assert!(twin.open().unwrap().is_none());
        }
    }

    #[test]
    fn an_identity_survives_its_pid_file() {
        let own = ProcessIdentity::own().unwrap();
        let text = serde_json::to_string(&own).unwrap();
        assert!(text.contains("startTime"), "{text}");
        assert_eq!(serde_json::from_str::<ProcessIdentity>(&text).unwrap(), own);
    }
}
