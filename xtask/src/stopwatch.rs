//! How long something took, for people, and a sign of life while it takes long.
#![expect(
    clippy::disallowed_types,
    reason = "tokio's pausable clock is for supervisors; this one times builds"
)]

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Started when made; printed as seconds or minutes.
#[derive(Clone, Copy)]
#[expect(
    clippy::disallowed_types,
    reason = "tokio's pausable clock is for supervisors; this one times builds"
)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

impl fmt::Display for Stopwatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&seconds(self.elapsed()))
    }
}

/// "0.4 s", "31 s", "4 min 12 s": as many digits as people read.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        whole @ 10..120 => format!("{whole} s"),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

/// Runs `work` and calls `sign_of_life` every `interval` until it is done.
pub(crate) fn with_signs_of_life<T>(
    interval: Duration,
    sign_of_life: impl Fn(Stopwatch) + Send,
    work: impl FnOnce() -> T,
) -> T {
    let stopwatch = Stopwatch::start();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while matches!(is_done.recv_timeout(interval), Err(RecvTimeoutError::Timeout)) {
                sign_of_life(stopwatch);
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(449)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(31)), "31 s");
        assert_eq!(seconds(Duration::from_secs(252)), "4 min 12 s");
    }

    #[test]
    fn signs_of_life_come_while_the_work_runs_and_only_then() {
        let (sign, signs) = mpsc::channel();
        with_signs_of_life(
            Duration::from_millis(1),
            move |_| {
                let _ = sign.send(());
            },
            || signs.recv_timeout(Duration::from_mins(1)).unwrap(),
        );
        // The sender ended with the work: nothing can print after it.
        while signs.try_recv().is_ok() {}
        assert_eq!(signs.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
