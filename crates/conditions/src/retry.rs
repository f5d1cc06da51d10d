//! The project's one back-off: doubling delays with jitter between two bounds, never giving up by itself.
//! Refuses to run anything; whoever retries asks for the next delay.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays that double from `first` to `longest`, each lengthened by a random share of itself.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    delays: ExponentialBackoff,
}

impl Backoff {
    /// Starts at `first` and never exceeds twice `longest` (the jitter adds at most the delay itself).
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, delays: delays(first, longest) }
    }

    /// The next delay; grows with every call.
    pub fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.longest)
    }

    /// Begins again at the first delay, after a success.
    pub fn reset(&mut self) {
        self.delays = delays(self.first, self.longest);
    }
}

fn delays(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let delays: Vec<Duration> = (0..20).map(|_| backoff.next_delay()).collect();
        assert!(
            delays[0] >= Duration::from_millis(200) && delays[0] < Duration::from_millis(400),
            "{delays:?}"
        );
        assert!(delays[3] >= Duration::from_millis(1600), "{delays:?}");
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(10)), "{delays:?}");
        backoff.reset();
        assert!(backoff.next_delay() < Duration::from_millis(400));
    }
}
