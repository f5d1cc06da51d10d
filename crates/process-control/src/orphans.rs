//! Which children are ours, and the reaping of all others: descendants that a child left behind and the kernel gave us.
//! Refuses the status of a child that was started here; only its own `wait` may take that.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use tokio::sync::Notify;

use crate::identity::stat_of;
use crate::pidfd;

/// Woken when a child of ours was reaped: until then the kernel may have shown us no other zombie.
pub(crate) static OWN_CHILD_REAPED: Notify = Notify::const_new();

/// Children that were started here and are not reaped: none while somebody waits for it, its pidfd once it is
/// abandoned.
static OWN: LazyLock<Mutex<Own>> = LazyLock::new(Mutex::default);

type Own = HashMap<i32, Option<OwnedFd>>;

/// Set once this process takes in the orphans of its descendants.
static TAKES_IN: AtomicBool = AtomicBool::new(false);

/// From now on every child that was not started here counts as an orphan.
pub(crate) fn take_in() -> nix::Result<()> {
    if nix::unistd::getpid().as_raw() != 1 {
        nix::sys::prctl::set_child_subreaper(true)?;
    }
    TAKES_IN.store(true, Ordering::SeqCst);
    Ok(())
}

/// Starts a child while nobody sweeps, so that it is known as ours before it can end.
pub(crate) fn know<E>(start: impl FnOnce() -> Result<i32, E>) -> Result<i32, E> {
    let mut own = lock();
    let pid = start()?;
    own.insert(pid, None);
    Ok(pid)
}

/// The child was reaped by its own `wait`.
pub(crate) fn forget(pid: i32) {
    lock().remove(&pid);
    OWN_CHILD_REAPED.notify_one();
}

/// Nobody will wait for this child any more; a later sweep reaps it.
pub(crate) fn abandon(pid: i32, descriptor: OwnedFd) {
    let mut own = lock();
    match pidfd::reap(descriptor.as_fd()) {
        Ok(None) => drop(own.insert(pid, Some(descriptor))),
        Ok(Some(_)) | Err(_) => drop(own.remove(&pid)),
    }
}

/// Reaps everything that has ended and that nobody waits for. Returns how many orphans that were.
pub(crate) fn sweep() -> io::Result<u32> {
    let mut own = lock();
    own.retain(|_pid, abandoned| match abandoned {
        Some(descriptor) => matches!(pidfd::reap(descriptor.as_fd()), Ok(None)),
        None => true,
    });
    let mut orphans = 0;
    while let Some(pid) = pidfd::peek_at_any_zombie()? {
        if own.contains_key(&pid) {
            // Others may stand behind it; `OWN_CHILD_REAPED` brings us back.
            break;
        }
        pidfd::reap_zombie(pid)?;
        orphans += 1;
    }
    Ok(orphans)
}

/// Sends SIGKILL to every process that was given to us because its parent ended. Descendants of those are given to
/// us in turn and need a further call. Does nothing in a process that does not attend to its signals here. Returns how
/// many were signalled.
pub fn end_orphans() -> io::Result<u32> {
    if !TAKES_IN.load(Ordering::SeqCst) {
        return Ok(0);
    }
    let own = lock();
    let ourselves = nix::unistd::getpid().as_raw();
    let mut ended = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if own.contains_key(&pid) || !is_living_child(pid, ourselves) {
            continue;
        }
        let Some(descriptor) = pidfd::open(pid)? else { continue };
        // Looked at again after the pidfd is held: now the pid cannot change hands unnoticed.
        if is_living_child(pid, ourselves) && pidfd::signal(descriptor.as_fd(), Signal::SIGKILL)? {
            ended += 1;
        }
    }
    Ok(ended)
}

fn is_living_child(pid: i32, parent: i32) -> bool {
    stat_of(pid.unsigned_abs()).ok().flatten().is_some_and(|stat| stat.parent == parent && !stat.ended)
}

fn lock() -> MutexGuard<'static, Own> {
    // A panic while the lock is held leaves the map whole: every change is a single call.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}
