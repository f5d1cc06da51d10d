//! At most so many requests of one caller: a bucket that refills. Pure; time is an argument.
//! Refuses to know callers: a name is a name.

use std::collections::BTreeMap;
use std::time::Duration;

/// A caller's whole set of leaves and keys several times over.
const BURST: f64 = 60.0;
/// What the shortest leaves need, with retries.
const PER_SECOND: f64 = 5.0;
/// Callers are few and proven; beyond this the oldest news is forgotten.
const CALLERS: usize = 1024;

/// How much each caller may still ask.
#[derive(Debug, Default)]
pub struct RateLimit {
    buckets: BTreeMap<String, (f64, Duration)>,
}

impl RateLimit {
    /// Whether `caller` may ask at `now`, a monotonic time since any beginning.
    pub fn allows(&mut self, caller: &str, now: Duration) -> bool {
        if self.buckets.len() >= CALLERS {
            self.buckets.retain(|_, (_, at)| now.saturating_sub(*at) < Duration::from_secs(60));
        }
        let (left, at) = self.buckets.get(caller).copied().unwrap_or((BURST, now));
        let left = (left + now.saturating_sub(at).as_secs_f64() * PER_SECOND).min(BURST);
        let allowed = left >= 1.0;
        self.buckets.insert(caller.to_owned(), (if allowed { left - 1.0 } else { left }, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_caller_is_bounded_and_hurts_nobody_else() {
        let mut limit = RateLimit::default();
        let allowed = (0..1000).filter(|_| limit.allows("noisy", Duration::ZERO)).count();
        assert_eq!(allowed, 60);
        assert!(limit.allows("quiet", Duration::ZERO));
        assert!(!limit.allows("noisy", Duration::from_millis(100)));
        assert!(limit.allows("noisy", Duration::from_millis(300)));
    }
}
