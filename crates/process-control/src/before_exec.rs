//! What happens in the child between fork and exec: dispositions, session, hostname, death signal.
//! Refuses to allocate or lock: only async-signal-safe calls are allowed there.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getppid, setsid, write};

/// Everything the child needs, made before the fork.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) death_signal: Option<Signal>,
    pub(crate) own_session: bool,
    pub(crate) hostname: Option<OwnHostname>,
    /// Us, as the child sees us.
    pub(crate) parent: Pid,
    /// Where the step that failed is told; the error itself travels through std's own pipe.
    pub(crate) failed_step: OwnedFd,
}

/// A hostname with the maps of the user namespace that is needed without privileges.
#[derive(Debug)]
pub(crate) struct OwnHostname {
    name: String,
    user_map: String,
    group_map: String,
}

/// Which step failed; any other error came from exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Session = b's',
    Hostname = b'h',
    DeathSignal = b'd',
}

impl OwnHostname {
    pub(crate) fn new(name: &str) -> Self {
        let user = nix::unistd::geteuid();
        let group = nix::unistd::getegid();
        Self {
            name: name.to_owned(),
            user_map: format!("{user} {user} 1\n"),
            group_map: format!("{group} {group} 1\n"),
        }
    }

    /// In a UTS namespace of our own; where that is not allowed, inside a user namespace in which it is.
    fn set(&self) -> nix::Result<()> {
        match unshare(CloneFlags::CLONE_NEWUTS) {
            Err(Errno::EPERM) => {
                unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWUTS)?;
                // Without this the kernel refuses a group map to the unprivileged.
                write_file(c"/proc/self/setgroups", b"deny")?;
                write_file(c"/proc/self/uid_map", self.user_map.as_bytes())?;
                write_file(c"/proc/self/gid_map", self.group_map.as_bytes())?;
            }
            result => result?,
        }
        // SAFETY: the pointer and the length describe the same living string.
        Errno::result(unsafe { libc::sethostname(self.name.as_ptr().cast(), self.name.len()) }).map(drop)
    }
}

impl Plan {
    /// Runs in the child, after fork and before exec.
    pub(crate) fn carry_out(&self) -> io::Result<()> {
        reset_signals()?;
        if self.own_session {
            self.step(Step::Session, setsid().map(drop))?;
        }
        if let Some(hostname) = &self.hostname {
            self.step(Step::Hostname, hostname.set())?;
        }
        // Last: a change of credentials, as a user namespace is one, clears it.
        if let Some(signal) = self.death_signal {
            self.step(Step::DeathSignal, nix::sys::prctl::set_pdeathsig(signal))?;
            if getppid() != self.parent {
                // It died before the kernel could know that we want to die with it.
                // SAFETY: ends this process without running what belongs to the parent.
                unsafe { libc::_exit(128 + signal as i32) };
            }
        }
        Ok(())
    }

    fn step(&self, step: Step, result: nix::Result<()>) -> io::Result<()> {
        result.map_err(|errno| {
            // If even this fails, the error is told as one of exec.
            let _ = write(&self.failed_step, &[step as u8]);
            errno.into()
        })
    }
}

/// Reads, in the parent, which step failed in the child; none when it was exec itself.
pub(crate) fn read_failed_step(pipe: BorrowedFd<'_>) -> Option<Step> {
    let mut told = [0_u8];
    let length = nix::unistd::read(pipe, &mut told).unwrap_or(0);
    [Step::Session, Step::Hostname, Step::DeathSignal]
        .into_iter()
        .find(|step| length == 1 && *step as u8 == told[0])
}

/// Ignored signals and the mask survive exec; a child must begin with neither. By system call, because libc refuses
/// the two or three signals that it keeps for itself, which somebody above us may ignore nevertheless.
fn reset_signals() -> io::Result<()> {
    // Larger than any kernel's `struct sigaction`; all zeroes are SIG_DFL without flags and with an empty mask.
    let default = [0_u64; 8];
    let previous = std::ptr::null_mut::<u64>();
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the kernel reads less than `default`, and writes nothing to a null pointer. Its refusals (SIGKILL,
        // SIGSTOP) change nothing.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), previous, SIGNAL_SET_BYTES)
        };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(io::Error::from)
}

fn write_file(path: &CStr, content: &[u8]) -> nix::Result<()> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    debug_assert!(file.as_raw_fd() > 2);
    write(&file, content).map(drop)
}

const LAST_SIGNAL: libc::c_int = 64;
/// The kernel's signal set: one bit for each signal.
const SIGNAL_SET_BYTES: usize = 8;
