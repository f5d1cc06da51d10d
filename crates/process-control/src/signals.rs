//! The signals of this process: stops are counted, repeats swallowed, SIGCHLD reaps orphans, SIGPIPE is ignored.
//! Refuses to decide what a stop means; it only tells that one was asked for, and never takes it back.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::{orphans, pidfd};

/// Why signals cannot be attended to.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// They are process-wide and already installed.
    #[error("signal handlers are already installed in this process")]
    Installed,
    /// The kernel refused.
    #[error("cannot install the handler of {what}")]
    Refused {
        /// The signal, or the pipe behind the handlers.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Handlers are installed; nobody attends to them yet. What arrives meanwhile is remembered.
#[derive(Debug)]
#[must_use = "signals are swallowed until somebody attends to them"]
pub struct InstalledSignals {
    wakes: UnixStream,
}

/// Tells whether this process was asked to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signals {
    stop: watch::Receiver<Option<Signal>>,
}

/// Asks for a stop as SIGTERM does, for tests and for reasons from inside.
#[derive(Debug, Clone)]
pub struct StopByHand {
    stop: watch::Sender<Option<Signal>>,
}

impl InstalledSignals {
    /// Installs the handlers: the first act of `main`, before there is a runtime. SIGHUP counts as a stop too,
    /// unless it is ignored (nohup).
    pub fn install() -> Result<Self, SignalError> {
        if INSTALLED.swap(true, Ordering::SeqCst) {
            return Err(SignalError::Installed);
        }
        let pipe_error = |source| SignalError::Refused { what: "signals (its pipe)".into(), source };
        let (wakes, wakened_by) = UnixStream::pair().map_err(pipe_error)?;
        wakes.set_nonblocking(true).map_err(pipe_error)?;
        wakened_by.set_nonblocking(true).map_err(pipe_error)?;
        OWNER.store(nix::unistd::getpid().as_raw(), Ordering::SeqCst);
        WAKE.store(wakened_by.as_raw_fd(), Ordering::SeqCst);
        // The handlers need it as long as the process lives.
        std::mem::forget(wakened_by);
        handle(Signal::SIGTERM, SigHandler::Handler(on_signal))?;
        handle(Signal::SIGINT, SigHandler::Handler(on_signal))?;
        if matches!(handle(Signal::SIGHUP, SigHandler::Handler(on_signal))?, SigHandler::SigIgn) {
            handle(Signal::SIGHUP, SigHandler::SigIgn)?;
        }
        handle(Signal::SIGCHLD, SigHandler::Handler(on_signal))?;
        handle(Signal::SIGPIPE, SigHandler::SigIgn)?;
        Ok(Self { wakes })
    }

    /// Begins to attend, with a task on the current tokio runtime; takes in orphans of our descendants from now on.
    pub fn attend(self) -> Result<Signals, SignalError> {
        let source = |source| SignalError::Refused { what: "signals (its pipe)".into(), source };
        let wakes = pidfd::awaitable(self.wakes).map_err(source)?;
        orphans::take_in()
            .map_err(|errno| SignalError::Refused { what: "orphans".into(), source: errno.into() })?;
        let (sender, stop) = watch::channel(None);
        tokio::spawn(attend_for_ever(wakes, sender));
        Ok(Signals { stop })
    }
}

impl Signals {
    /// A stop that is asked for by hand; the process' own signals are left alone.
    #[must_use]
    pub fn by_hand() -> (Self, StopByHand) {
        let (sender, stop) = watch::channel(None);
        (Self { stop }, StopByHand { stop: sender })
    }

    /// The signal by which the first stop was asked for, if one was.
    #[must_use]
    pub fn stop(&self) -> Option<Signal> {
        *self.stop.borrow()
    }

    /// Resolves with that signal once a stop is asked for, at once when it already was. Cancel-safe.
    pub async fn stop_asked(&self) -> Signal {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            // Whoever could ask is gone: the runtime is going down, or the hand was dropped.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

impl StopByHand {
    /// Asks for a stop; repeats change nothing.
    pub fn ask(&self) {
        ask(&self.stop, Signal::SIGTERM);
    }
}

async fn attend_for_ever(wakes: AsyncFd<UnixStream>, stop: watch::Sender<Option<Signal>>) {
    loop {
        for (signal, seen) in
            [(Signal::SIGTERM, &TERMINATE), (Signal::SIGINT, &INTERRUPT), (Signal::SIGHUP, &HANG_UP)]
        {
            for _ in 0..seen.swap(0, Ordering::SeqCst) {
                ask(&stop, signal);
            }
        }
        match orphans::sweep() {
            Ok(0) => {}
            Ok(orphans) => tracing::debug!(orphans, "reaped orphans"),
            Err(error) => tracing::warn!(%error, "cannot reap orphans; they remain as zombies until we end"),
        }
        tokio::select! {
            () = orphans::OWN_CHILD_REAPED.notified() => {}
            woken = wakes.readable() => match woken {
                Ok(mut ready) => {
                    let mut buffer = [0_u8; 64];
                    while wakes.get_ref().read(&mut buffer).is_ok_and(|length| length > 0) {}
                    ready.clear_ready();
                }
                Err(error) => {
                    tracing::error!(%error, "signals can no longer be attended to");
                    return;
                }
            },
        }
    }
}

fn ask(stop: &watch::Sender<Option<Signal>>, signal: Signal) {
    let first = stop.send_if_modified(|asked| {
        let first = asked.is_none();
        asked.get_or_insert(signal);
        first
    });
    if first {
        tracing::info!(%signal, "stop asked for");
    } else {
        tracing::info!(%signal, "stop asked for again; already stopping");
    }
}

fn handle(signal: Signal, handler: SigHandler) -> Result<SigHandler, SignalError> {
    let action = SigAction::new(handler, SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP, SigSet::empty());
    // SAFETY: `on_signal` makes async-signal-safe calls only.
    unsafe { sigaction(signal, &action) }
        .map(|before| before.handler())
        .map_err(|errno| SignalError::Refused { what: signal.to_string(), source: errno.into() })
}

/// Counts, then wakes the task. Counters and not bytes carry the news: the pipe may be full.
extern "C" fn on_signal(signal: libc::c_int) {
    // SAFETY: getpid, write and errno are async-signal-safe.
    unsafe {
        // A child between fork and exec has our handlers and our pipe; its signals are not ours.
        if libc::getpid() != OWNER.load(Ordering::SeqCst) {
            return;
        }
        match signal {
            libc::SIGTERM => TERMINATE.fetch_add(1, Ordering::SeqCst),
            libc::SIGINT => INTERRUPT.fetch_add(1, Ordering::SeqCst),
            libc::SIGHUP => HANG_UP.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        let errno = *libc::__errno_location();
        let byte = 0_u8;
        libc::write(WAKE.load(Ordering::SeqCst), (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

static INSTALLED: AtomicBool = AtomicBool::new(false);
static OWNER: AtomicI32 = AtomicI32::new(-1);
static WAKE: AtomicI32 = AtomicI32::new(-1);
static TERMINATE: AtomicU32 = AtomicU32::new(0);
static INTERRUPT: AtomicU32 = AtomicU32::new(0);
static HANG_UP: AtomicU32 = AtomicU32::new(0);
