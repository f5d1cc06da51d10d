//! When a supervisor that ended starts again, and when one that does not answer counts as wedged.
//! Pure: time comes as an argument. Refuses to give up: an instance is kept until it is told to stop.

use std::time::Duration;

/// The delays between restarts of one instance: kubelet's doubling, capped for people who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RestartPolicy {
    next: Duration,
}

/// First delay; the same as a supervisor's for its child.
const FIRST: Duration = Duration::from_millis(200);
/// Longest delay; kubelet's 5 minutes help nobody at a terminal.
const LONGEST: Duration = Duration::from_secs(10);
/// Who lived this long starts over with the first delay, as does who was ready when it ended: delays are for those
/// that cannot work, and a leader that is killed again must be replaced as quickly as the first time.
const GOOD_LIFE: Duration = Duration::from_secs(60);
/// An end from outside says nothing about whether it works, unless it comes this soon, again and again: before any
/// component could have become ready.
const TOO_SOON: Duration = Duration::from_millis(200);

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl RestartPolicy {
    /// The delay until the next start, after a life of this length that ended ready or not, by itself or not.
    pub(crate) fn delay_after(&mut self, lived: Duration, was_ready: bool, from_outside: bool) -> Duration {
        if was_ready || lived >= GOOD_LIFE || (from_outside && lived >= TOO_SOON) {
            self.next = FIRST;
        }
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST);
        delay
    }
}

/// The liveness of one supervisor, as kubelet judges it: several failures in a row, over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LivenessPolicy {
    failures: u32,
    failing_since: Option<Duration>,
}

/// Failures in a row that it takes at least.
const FAILURES: u32 = 3;
/// Time over which it must have failed; three of kubelet's default periods.
pub(crate) const FAILING_FOR: Duration = Duration::from_secs(30);

impl LivenessPolicy {
    /// Takes one look into account; true when the process must be ended. `now` is any clock that does not go back.
    pub(crate) fn is_wedged_after(&mut self, alive: bool, now: Duration) -> bool {
        if alive {
            *self = Self::default();
            return false;
        }
        self.failures += 1;
        let since = *self.failing_since.get_or_insert(now);
        self.failures >= FAILURES && now.saturating_sub(since) >= FAILING_FOR
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_double_to_ten_seconds_and_start_over_after_a_good_life() {
        let mut policy = RestartPolicy::default();
        let delays: Vec<u64> = (0..8)
            .map(|_| policy.delay_after(Duration::from_secs(1), false, false).as_millis() as u64)
            .collect();
        assert_eq!(delays, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(policy.delay_after(Duration::from_secs(60), false, false), FIRST);
        assert_eq!(policy.delay_after(Duration::from_secs(59), false, false), FIRST * 2);
        assert_eq!(policy.delay_after(Duration::from_secs(5), true, false), FIRST);
        assert_eq!(policy.delay_after(Duration::from_secs(5), false, true), FIRST);
        assert_eq!(policy.delay_after(Duration::from_millis(199), false, true), FIRST * 2);
    }

    #[test]
    fn thirty_seconds_of_silence_are_one_too_many_and_one_answer_forgives() {
        let mut policy = LivenessPolicy::default();
        for second in 0..30 {
            assert!(!policy.is_wedged_after(false, Duration::from_secs(second)));
        }
        assert!(!policy.is_wedged_after(true, Duration::from_secs(30)));
        for second in 31..61 {
            assert!(!policy.is_wedged_after(false, Duration::from_secs(second)));
        }
        assert!(policy.is_wedged_after(false, Duration::from_secs(61)));
    }

    #[test]
    fn a_machine_that_slept_is_not_held_against_the_process() {
        let mut policy = LivenessPolicy::default();
        assert!(!policy.is_wedged_after(false, Duration::from_secs(0)));
        assert!(!policy.is_wedged_after(false, Duration::from_secs(3600)));
    }

    proptest! {
        #[test]
        fn nothing_that_answers_every_half_minute_is_ever_ended(
            looks in prop::collection::vec((any::<bool>(), 0_u64..5_000), 0..200)
        ) {
            let mut policy = LivenessPolicy::default();
            let (mut now, mut last_answer) = (0, 0);
            for (alive, pause) in looks {
                now += pause;
                if alive { last_answer = now; }
                let ended = policy.is_wedged_after(alive, Duration::from_millis(now));
                prop_assert!(!ended || now - last_answer >= 30_000);
                if ended { break; }
            }
        }
    }
}
