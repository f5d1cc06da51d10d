//! The system calls on pidfds. A pidfd names one process for ever, so nothing here can hit a reused pid.
//! Refuses pids as targets: they are only turned into pidfds.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::ChildEnding;

/// Opens a pidfd for `pid`; it is close-on-exec. None when there is no such process.
pub(crate) fn open(pid: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match Errno::result(result) {
        // SAFETY: the kernel has just made this descriptor for us alone.
        Ok(descriptor) => Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) })),
        Err(Errno::ESRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a descriptor that is never replaced awaitable. Panics outside of a tokio runtime, as all of tokio does.
pub(crate) fn awaitable<T: AsFd + AsRawFd>(descriptor: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `AsFd` vouches for an open descriptor; none of our descriptors is swapped while it is awaited.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(io::Error::from)
}

/// Sends a signal; false when the process has already ended and is reaped.
pub(crate) fn signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<bool> {
    let no_information = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is borrowed for the call; a null siginfo means "as kill(2)".
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as libc::c_int,
            no_information,
            0,
        )
    };
    match Errno::result(result) {
        Ok(_) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the process has ended (it may still be a zombie).
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut descriptors = [nix::poll::PollFd::new(pidfd, nix::poll::PollFlags::POLLIN)];
    Ok(nix::poll::poll(&mut descriptors, nix::poll::PollTimeout::ZERO)? > 0)
}

/// Reaps our child without blocking; none while it lives.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<ChildEnding>> {
    let found = wait_without_blocking(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, libc::WEXITED)?;
    Ok(found.map(|(_pid, ending)| ending))
}

/// Reaps the child with this pid without blocking. Only for a pid that was peeked at and not reaped since.
pub(crate) fn reap_zombie(pid: i32) -> io::Result<()> {
    wait_without_blocking(libc::P_PID, pid as libc::id_t, libc::WEXITED).map(drop)
}

/// The pid of some child that has ended and is not reaped yet; it is left as it is.
pub(crate) fn peek_at_any_zombie() -> io::Result<Option<i32>> {
    match wait_without_blocking(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT) {
        Ok(found) => Ok(found.map(|(pid, _ending)| pid)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// libc rather than nix, whose `waitid` loses a child that a real-time signal ended.
fn wait_without_blocking(
    kind: libc::idtype_t,
    id: libc::id_t,
    flags: libc::c_int,
) -> io::Result<Option<(i32, ChildEnding)>> {
    loop {
        // SAFETY: siginfo_t is plain data for which all zeroes is a value.
        let mut information: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `information` lives through the call and is ours to write.
        let result = unsafe { libc::waitid(kind, id, &raw mut information, flags | libc::WNOHANG) };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => {
                // SAFETY: after waitid the fields of SIGCHLD are valid, or zero when no child was found.
                let (pid, status) = unsafe { (information.si_pid(), information.si_status()) };
                return Ok((pid != 0).then_some((
                    pid,
                    if information.si_code == libc::CLD_EXITED {
                        ChildEnding::Exited(status)
                    } else {
                        ChildEnding::Signalled(status)
                    },
                )));
            }
        }
    }
}
