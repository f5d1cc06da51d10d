//! The project's one back-off: growing delays with jitter between two bounds, never giving up by itself.
//! Refuses to run anything; whoever retries asks for the next delay.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays that grow from `first` to `longest`, each lengthened by a random share of itself.
#[derive(Debug)]
pub struct Backoff {
    builder: ExponentialBuilder,
    longest: Duration,
    delays: ExponentialBackoff,
}

impl Backoff {
    /// Starts at `first`, doubles, and never exceeds twice `longest` (the jitter adds at most the delay itself).
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self::growing(first, longest, 2.0)
    }

    /// The same with delays that each are `factor` times the one before; a factor below 1 counts as 1.
    #[must_use]
    pub fn growing(first: Duration, longest: Duration, factor: f32) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .with_factor(factor.max(1.0))
            .with_jitter()
            .without_max_times();
        Self { builder, longest, delays: builder.build() }
    }

    /// The next delay; grows with every call.
    pub fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.longest)
    }

    /// Begins again at the first delay, after a success.
    pub fn reset(&mut self) {
        self.delays = self.builder.build();
    }
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
