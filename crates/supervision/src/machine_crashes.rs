//! How often the child crashed, how long to pause before the next start, and when it was once too often.
//! Refuses chance: the jitter comes from a seed, so instances differ and tests repeat.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Timings;

/// The crashes that still count.
#[derive(Debug)]
pub(crate) struct Crashes {
    within_window: VecDeque<Duration>,
    in_a_row: u32,
    jitter: u64,
}

impl Crashes {
    pub(crate) fn new(jitter_seed: u64) -> Self {
        Self { within_window: VecDeque::new(), in_a_row: 0, jitter: jitter_seed }
    }

    /// Counts a crash of a child that lived so long, none if it never did. Returns the pause before the next start,
    /// none when there were too many.
    pub(crate) fn count(
        &mut self,
        now: Duration,
        lived: Option<Duration>,
        timings: &Timings,
    ) -> Option<Duration> {
        self.within_window.retain(|crash| now.saturating_sub(*crash) < timings.crash_window);
        self.within_window.push_back(now);
        if self.within_window.len() >= timings.crash_limit {
            return None;
        }
        if lived.is_some_and(|lived| lived >= timings.crash_window) {
            self.in_a_row = 0;
        }
        let doubled = 2_u32.saturating_pow(self.in_a_row);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let pause = timings.back_off_first.saturating_mul(doubled).min(timings.back_off_longest);
        Some(pause + pause.mul_f64(self.next_share() / 2.0))
    }

    pub(crate) fn describe(&self, last: &str, timings: &Timings) -> String {
        format!("{} crashes within {:?}; the last: {last}", self.within_window.len(), timings.crash_window)
    }

    /// A share between 0 and 1 (splitmix64).
    fn next_share(&mut self) -> f64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.jitter;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 40) as f64 / (1_u64 << 24) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_LIFE: Duration = Duration::from_secs(100);

    fn pauses(lives: &[Duration]) -> Vec<Option<Duration>> {
        let timings = Timings::default();
        let mut crashes = Crashes::new(7);
        let mut now = Duration::ZERO;
        lives
            .iter()
            .map(|life| {
                now += *life;
                crashes.count(now, Some(*life), &timings)
            })
            .collect()
    }

    #[test]
    fn pauses_double_from_200_ms_and_the_fifth_crash_within_a_minute_is_the_last() {
        let pauses = pauses(&[Duration::from_millis(10); 5]);
        for (pause, least) in pauses[..4].iter().zip([200_u64, 400, 800, 1600]) {
            let (pause, least) = (pause.unwrap(), Duration::from_millis(least));
            assert!(pause >= least && pause <= least.mul_f64(1.5), "{pauses:?}");
        }
        assert_eq!(pauses[4], None);
    }

    #[test]
    fn a_child_that_dies_every_20_s_pauses_5_s_at_last_and_is_never_given_up() {
        let pauses = pauses(&[Duration::from_secs(20); 30]);
        let last = pauses[29].unwrap();
        assert!(last >= Duration::from_secs(5) && last <= Duration::from_millis(7500), "{pauses:?}");
        assert!(pauses.iter().all(Option::is_some));
    }

    #[test]
    fn a_long_life_lets_the_pauses_begin_again() {
        let short = Duration::from_millis(10);
        let pauses = pauses(&[short, short, short, LONG_LIFE]);
        assert!(pauses[3].unwrap() < Duration::from_millis(301), "{pauses:?}");
    }
}
