//! Generated histories, watched without and with one injected fault each: the checker finds that fault and nothing else.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::Step;

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Acknowledged changes with rising revisions that other writers' revisions lie between; deletions without theirs.
fn history() -> impl Strategy<Value = Vec<(u64, Attempt)>> {
    prop::collection::vec((0_u64..4, any::<bool>(), 1_u64..5), 2..60).prop_map(|steps| {
        let mut state: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
        let (mut next_object, mut revision) = (100, 1);
        let mut history = Vec::new();
        for (writer, delete, distance) in steps {
            revision += distance;
            let (object, sequence) = *state.entry(writer).or_insert_with(|| {
                next_object += 1;
                (next_object, 0)
            });
            let step = if delete && sequence > 0 {
                state.remove(&writer);
                Step::Deleted
            } else {
                state.insert(writer, (object, sequence + 1));
                Step::Put(sequence + 1)
            };
            let told = (step != Step::Deleted).then_some(revision);
            history.push((
                revision,
                Attempt {
                    change: Change { object, step },
                    begun: millis(revision * 10),
                    ended: millis(revision * 10 + 5),
                    fate: Fate::Acknowledged(told),
                },
            ));
        }
        history
    })
}

fn watch(history: &[(u64, Attempt)]) -> WatchLog {
    let entries = history
        .iter()
        .map(|(revision, attempt)| WatchEntry::Seen {
            at: attempt.ended + millis(20),
            revision: *revision,
            change: attempt.change,
        })
        .collect();
    WatchLog { entries, reached: last(history) }
}

fn last(history: &[(u64, Attempt)]) -> u64 {
    history.last().map_or(0, |(revision, _)| *revision)
}

fn examine(logs: &[WatchLog], history: &[(u64, Attempt)]) -> WatchSummary {
    let attempts: Vec<_> = history.iter().map(|(_, attempt)| *attempt).collect();
    examine_watches(logs, &attempts, last(history), millis(100_000))
}

/// Missed, doubled, out of order, made up, behind.
fn faults(summary: &WatchSummary) -> [usize; 5] {
    [
        summary.missed.len(),
        summary.doubled.len(),
        summary.out_of_order.len(),
        summary.made_up.len(),
        summary.behind as usize,
    ]
}

proptest! {
    #[test]
    fn a_faultless_watch_has_no_fault(history in history(), cut in any::<prop::sample::Index>()) {
        let mut broken = watch(&history);
        // Its stream broke somewhere and went on where it was.
        let at = cut.index(history.len());
        broken.entries.insert(at, WatchEntry::Resumed { at: millis(900) });
        broken.entries.insert(at, WatchEntry::Broke { at: millis(400), kind: "ended".to_owned() });
        let summary = examine(&[watch(&history), broken], &history);
        prop_assert_eq!(faults(&summary), [0; 5]);
        prop_assert_eq!(Duration::from_secs_f64(summary.longest_break), millis(500));
        prop_assert_eq!(Duration::from_secs_f64(summary.slowest_event), millis(20));
        prop_assert_eq!(summary.events, 2 * history.len() as u64);
    }

    #[test]
    fn an_event_that_is_left_out_is_missed(history in history(), victim in any::<prop::sample::Index>()) {
        let mut log = watch(&history);
        log.entries.remove(victim.index(history.len()));
        prop_assert_eq!(faults(&examine(&[log.clone()], &history)), [1, 0, 0, 0, 0]);
        prop_assert_eq!(faults(&examine(&[watch(&history), log], &history)), [1, 0, 0, 0, 0]);
    }

    #[test]
    fn an_event_that_comes_again_is_doubled(
        history in history(),
        victim in any::<prop::sample::Index>(),
        later in any::<prop::sample::Index>(),
    ) {
        let mut log = watch(&history);
        let at = victim.index(history.len());
        let again = log.entries[at].clone();
        log.entries.insert(at + 1 + later.index(history.len() - at), again);
        prop_assert_eq!(faults(&examine(&[log], &history)), [0, 1, 0, 0, 0]);
    }

    #[test]
    fn two_events_that_change_places_are_out_of_order(history in history(), victim in any::<prop::sample::Index>()) {
        let mut log = watch(&history);
        let at = victim.index(history.len() - 1);
        log.entries.swap(at, at + 1);
        prop_assert_eq!(faults(&examine(&[log], &history)), [0, 0, 1, 0, 0]);
    }

    #[test]
    fn an_event_that_nobody_caused_is_made_up(history in history()) {
        let mut log = watch(&history);
        let change = Change { object: 9, step: Step::Put(1) };
        let entry = WatchEntry::Seen { at: millis(1), revision: last(&history) + 1, change };
        log.entries.push(entry);
        prop_assert_eq!(faults(&examine(&[log], &history)), [0, 0, 0, 1, 0]);
    }

    #[test]
    fn what_a_list_took_the_place_of_is_not_missed(
        history in history(),
        from in any::<prop::sample::Index>(),
        length in any::<prop::sample::Index>(),
    ) {
        let first = from.index(history.len());
        let end = first + 1 + length.index(history.len() - first);
        let mut log = watch(&history);
        let before = if first == 0 { 0 } else { history[first - 1].0 };
        let relisted = WatchEntry::Relisted { from: before, to: history[end - 1].0 };
        log.entries.splice(first..end, [relisted]);
        let other = watch(&history);
        prop_assert_eq!(faults(&examine(&[other, log], &history)), [0; 5]);
    }

    #[test]
    fn a_watch_that_stands_still_is_behind_and_misses_nothing(
        history in history(),
        from in any::<prop::sample::Index>(),
    ) {
        let mut log = watch(&history);
        let first = 1 + from.index(history.len() - 1);
        log.entries.truncate(first);
        log.reached = history[first - 1].0;
        let other = watch(&history);
        prop_assert_eq!(faults(&examine(&[other, log], &history)), [0, 0, 0, 0, 1]);
    }
}

#[test]
fn a_write_without_an_answer_that_one_watch_shows_must_be_shown_by_all() {
    let change = Change { object: 1, step: Step::Put(1) };
    let attempt = Attempt { change, begun: millis(0), ended: millis(10), fate: Fate::Ambiguous };
    let seen =
        WatchLog { entries: vec![WatchEntry::Seen { at: millis(5), revision: 7, change }], reached: 8 };
    let unseen = WatchLog { entries: Vec::new(), reached: 8 };
    let summary = examine_watches(&[seen, unseen.clone()], &[attempt], 8, millis(20));
    assert_eq!(summary.missed, ["watch 1: object 1 sequence 1"]);
    assert_eq!(faults(&examine_watches(&[unseen], &[attempt], 8, millis(20))), [0; 5]);
}

#[test]
fn a_refused_write_that_a_watch_shows_is_made_up() {
    let change = Change { object: 1, step: Step::Put(1) };
    let attempt = Attempt { change, begun: millis(0), ended: millis(10), fate: Fate::Refused };
    let log = WatchLog { entries: vec![WatchEntry::Seen { at: millis(5), revision: 7, change }], reached: 7 };
    assert_eq!(faults(&examine_watches(&[log], &[attempt], 7, millis(20))), [0, 0, 0, 1, 0]);
}

#[test]
fn breaks_are_counted_in_the_second_that_holds_most_of_them_wherever_it_begins() {
    let log = |at: &[u64]| WatchLog {
        entries: at
            .iter()
            .map(|at| WatchEntry::Broke { at: millis(*at), kind: "ended".to_owned() })
            .collect(),
        reached: 1,
    };
    let most = |logs: &[WatchLog]| examine_watches(logs, &[], 1, millis(9_000)).most_breaks_in_one_second;
    assert_eq!(most(&[log(&[]), log(&[])]), 0);
    // Two in the second from 0, two in that from 1, three in the one between them.
    assert_eq!(most(&[log(&[100, 1_500]), log(&[700, 1_690]), log(&[5_000])]), 3);
    assert_eq!(most(&[log(&[0, 1_000, 2_000])]), 1);
}
