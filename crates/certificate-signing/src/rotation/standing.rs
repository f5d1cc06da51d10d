//! How long each set has stood at its stage, counted by time that was seen to pass. Pure: moments are arguments.
//! Refuses to believe the machine's clock for more than a small part of a wait: it may have jumped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use time::OffsetDateTime;

use super::planner::{Position, Stage};
use crate::kept::Kept;

/// A wait is stored in so many parts, and of the time before a process began no more than one of them counts. The 25 h for
/// tokens have one part to spare: those that kubelet renews are 24 h old at most.
const PARTS: u32 = 25;
/// Nothing is stored more often, unless the wait is over.
const STORED_EVERY: Duration = Duration::from_secs(5);
/// A clock that is disciplined does not leave the steady one by more.
const JUMP: time::Duration = time::Duration::minutes(1);

/// A moment in the life of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Since the process began; it never jumps, and stands still while the machine sleeps.
    pub(crate) steady: Duration,
    /// What the machine's clock says.
    pub(crate) wall: OffsetDateTime,
}

/// Where a set is stored to stand, and what is stored of how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) position: Position,
    /// By the clock of whoever did it; none as founded.
    pub(crate) at: Option<OffsetDateTime>,
}

/// What this process has seen of each set.
#[derive(Debug, Default)]
pub(crate) struct Standings(BTreeMap<Kept, Sight>);

#[derive(Debug)]
struct Sight {
    key: u64,
    stage: Stage,
    /// When it was first seen at this stage, by the steady clock.
    first: Duration,
    /// What counts of the time before.
    before: Duration,
}

impl Standings {
    /// How long the set has stood where it is stored to stand, of a `wait` there; none as founded.
    pub(crate) fn look(
        &mut self,
        kept: Kept,
        stored: &Stored,
        wait: Duration,
        now: Moment,
    ) -> Option<Duration> {
        let Position { key, stage, stood, .. } = stored.position;
        let counted = stood.unwrap_or_default();
        let sight = |before| Sight { key, stage, first: now.steady, before };
        let sight = match self.0.entry(kept) {
            // Where this process has come in, nobody has seen how much time has passed since.
            Entry::Vacant(vacant) => vacant.insert(sight(counted + unseen(stored.at, wait, now.wall))),
            Entry::Occupied(occupied) => {
                let known = occupied.into_mut();
                if (known.key, known.stage) != (key, stage) {
                    *known = sight(counted);
                }
                known
            }
        };
        let since = now.steady.saturating_sub(sight.first);
        // Another replica may have seen more.
        sight.before = sight.before.max(counted.saturating_sub(since));
        stood.map(|_| sight.before + since)
    }
}

/// Whether a count of `stood` is to be stored in place of `stored`.
pub(crate) fn is_news(stood: Duration, stored: Duration, wait: Duration) -> bool {
    let over = stood >= wait;
    stored < wait && (over || stood.saturating_sub(stored) >= (wait / PARTS).max(STORED_EVERY))
}

/// What counts of the time since something was stored, of which nobody knows but by the machine's clock.
fn unseen(stored_at: Option<OffsetDateTime>, wait: Duration, wall: OffsetDateTime) -> Duration {
    let passed = stored_at.and_then(|at| Duration::try_from(wall - at).ok());
    passed.unwrap_or_default().min(wait / PARTS)
}

/// The machine's clock for sentences, which would be news every second if it were read anew each time.
#[derive(Debug, Default)]
pub(crate) struct ToldClock(Option<OffsetDateTime>);

impl ToldClock {
    /// What the clock says, and by how much it has jumped since the last look, if it has.
    pub(crate) fn now(&mut self, now: Moment) -> (OffsetDateTime, Option<time::Duration>) {
        let began = now.wall - now.steady;
        let jump = self.0.map(|known| began - known).filter(|jump| jump.abs() > JUMP);
        if jump.is_some() {
            self.0 = None;
        }
        (*self.0.get_or_insert(began) + now.steady, jump)
    }
}

#[cfg(test)]
mod tests {
    use certificates::SharedKeySet;
    use time::macros::datetime;

    use super::*;

    const KEPT: Kept = Kept::Shared(SharedKeySet::ServiceAccount);
    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const WAIT: Duration = Duration::from_secs(25 * 3600);

    fn stored(counted: Duration, at: OffsetDateTime) -> Stored {
        let position = Position { key: 1, stage: Stage::Retiring, stood: Some(counted), generation: 3 };
        Stored { position, at: Some(at) }
    }

    fn at(steady: Duration, wall: OffsetDateTime) -> Moment {
        Moment { steady, wall }
    }

    #[test]
    fn a_clock_that_jumps_while_somebody_looks_changes_nothing() {
        let mut standings = Standings::default();
        let begun = stored(Duration::ZERO, NOON);
        standings.look(KEPT, &begun, WAIT, at(Duration::ZERO, NOON));
        for wall in [NOON + 30 * 24 * HOUR, NOON - 30 * 24 * HOUR] {
            assert_eq!(standings.look(KEPT, &begun, WAIT, at(MINUTE, wall)), Some(MINUTE));
        }
    }

    #[test]
    fn of_the_time_that_nobody_saw_one_part_counts_and_no_more() {
        let seen = |wall| {
            let first = at(Duration::ZERO, wall);
            Standings::default().look(KEPT, &stored(3 * HOUR, NOON), WAIT, first).unwrap()
        };
        assert_eq!(seen(NOON + 10 * MINUTE), 3 * HOUR + 10 * MINUTE);
        assert_eq!(seen(NOON + 30 * 24 * HOUR), 4 * HOUR);
        assert_eq!(seen(NOON - HOUR), 3 * HOUR);
    }

    #[test]
    fn a_stage_that_another_replica_stores_begins_when_it_is_seen_whatever_its_clock_says() {
        let mut standings = Standings::default();
        let founded = Position { key: 1, stage: Stage::Settled, stood: None, generation: 1 };
        let founded = Stored { position: founded, at: None };
        assert_eq!(standings.look(KEPT, &founded, Duration::ZERO, at(HOUR, NOON)), None);
        let stood = standings.look(KEPT, &stored(Duration::ZERO, NOON - HOUR), WAIT, at(2 * HOUR, NOON));
        assert_eq!(stood, Some(Duration::ZERO));
        // What that one has counted since is not counted twice.
        let stood = standings.look(KEPT, &stored(HOUR, NOON), WAIT, at(179 * MINUTE, NOON));
        assert_eq!(stood, Some(HOUR));
        let stood = standings.look(KEPT, &stored(HOUR, NOON), WAIT, at(3 * HOUR, NOON));
        assert_eq!(stood, Some(HOUR + MINUTE));
    }

    #[test]
    fn whoever_is_started_again_and_again_does_not_wait_longer() {
        let (mut kept, mut wall, mut writes) = (stored(Duration::ZERO, NOON), NOON, 0);
        let mut stood = Duration::ZERO;
        while stood < WAIT {
            let mut standings = Standings::default();
            for minute in 0..7 {
                let now = at(minute * MINUTE, wall + minute * MINUTE);
                stood = standings.look(KEPT, &kept, WAIT, now).unwrap();
                if is_news(stood, kept.position.stood.unwrap(), WAIT) {
                    kept = stored(stood, now.wall);
                    writes += 1;
                }
            }
            wall += 7 * MINUTE;
        }
        assert!(wall - NOON <= WAIT + 7 * MINUTE, "{}", wall - NOON);
        assert_eq!(writes, 25);
    }

    #[test]
    fn a_count_is_stored_now_and_then_and_when_the_wait_is_over() {
        assert!(!is_news(59 * MINUTE, Duration::ZERO, WAIT) && is_news(HOUR, Duration::ZERO, WAIT));
        assert!(is_news(WAIT, 24 * HOUR, WAIT) && !is_news(2 * WAIT, WAIT, WAIT));
        assert!(
            !is_news(MINUTE / 15, Duration::ZERO, MINUTE) && is_news(MINUTE / 12, Duration::ZERO, MINUTE)
        );
        assert!(!is_news(MINUTE, Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn people_are_told_one_time_until_the_clock_jumps() {
        let mut clock = ToldClock::default();
        assert_eq!(clock.now(at(HOUR, NOON)), (NOON, None));
        let drifted = NOON + MINUTE + Duration::from_secs(1);
        assert_eq!(clock.now(at(HOUR + MINUTE, drifted)), (NOON + MINUTE, None));
        let jumped = NOON + 24 * HOUR;
        assert_eq!(clock.now(at(HOUR + MINUTE, jumped)).1.map(time::Duration::whole_hours), Some(23));
        assert_eq!(clock.now(at(HOUR + 2 * MINUTE, jumped + MINUTE)), (jumped + MINUTE, None));
    }
}
