//! Generated histories: those that are linearizable have no fault, one injected violation is found, and where nobody knows
//! beforehand, a search through all orders says the same as the rules.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const DONE: Fate = Fate::Acknowledged(None);

fn millis(number: u64) -> Moment {
    Duration::from_millis(number)
}

/// A write of one object, with the moment at which it takes effect, if it does.
#[derive(Debug, Clone, Copy)]
struct Written {
    step: Step,
    begun: u64,
    ended: u64,
    fate: Fate,
    effect: Option<u64>,
}

/// A read, with the moment at which it looks.
#[derive(Debug, Clone, Copy)]
struct Looked {
    object: u64,
    begun: u64,
    looks: u64,
    ended: u64,
    found: Option<u32>,
}

/// What is told at one moment.
type Event<'told> = Box<dyn Fn(&mut History) + 'told>;

/// What clients did to objects 1, 2, … A read back of all is the end.
#[derive(Debug, Clone)]
struct Told {
    objects: Vec<Vec<Written>>,
    reads: Vec<Looked>,
}

const END: u64 = 10_000;

impl Told {
    /// Lets every read find what is there at its moment.
    fn look(&mut self) {
        for read in &mut self.reads {
            read.found = state(&self.objects[read.object as usize - 1], read.looks);
        }
    }

    fn left(&self) -> BTreeMap<u64, u32> {
        let state = |(index, writes): (usize, &Vec<Written>)| Some((index as u64 + 1, state(writes, END)?));
        self.objects.iter().enumerate().filter_map(state).collect()
    }

    fn judge(&self) -> History {
        self.judge_with(&self.left())
    }

    fn judge_with(&self, left: &BTreeMap<u64, u32>) -> History {
        let mut history = self.history();
        history.read_begun(millis(END));
        history.read_back(left, millis(END), millis(END + 1));
        history
    }

    /// Told in the order of time, beginnings first.
    fn history(&self) -> History {
        let mut history = History::default();
        let mut events: Vec<((u64, bool), Event<'_>)> = Vec::new();
        for (index, writes) in self.objects.iter().enumerate() {
            for write in writes {
                let change = Change { object: index as u64 + 1, step: write.step };
                let (begun, ended) = (millis(write.begun), millis(write.ended));
                events.push(((write.begun, false), Box::new(move |it| it.write_begun(change, begun))));
                events.push((
                    (write.ended, true),
                    Box::new(move |it| it.write_ended(change, write.fate, ended)),
                ));
            }
        }
        for read in &self.reads {
            let (begun, ended) = (millis(read.begun), millis(read.ended));
            events.push(((read.begun, false), Box::new(move |it| it.read_begun(begun))));
            events.push((
                (read.ended, true),
                Box::new(move |it| it.read_ended(read.object, read.found, begun, ended)),
            ));
        }
        events.sort_by_key(|(order, _)| *order);
        for (_, event) in &events {
            event(&mut history);
        }
        history
    }

    /// Whether any order of all reads and writes of object 1 is right: each begins before what comes later has ended, and each
    /// read shows the write before it. Tries all of them.
    fn has_an_order(&self) -> bool {
        let writes = self.objects[0].iter().filter(|write| write.fate != Fate::Refused).map(|write| {
            let ended = (write.fate != Fate::Ambiguous).then_some(write.ended);
            Ordered { begun: write.begun, ended, write: Some(write.step), found: None }
        });
        let reads = self.reads.iter().map(|read| Ordered {
            begun: read.begun,
            ended: Some(read.ended),
            write: None,
            found: read.found,
        });
        order_exists(&writes.chain(reads).collect::<Vec<_>>(), None)
    }
}

/// A read or a write in the search; without an end it may be left out.
#[derive(Clone, Copy)]
struct Ordered {
    begun: u64,
    ended: Option<u64>,
    write: Option<Step>,
    found: Option<u32>,
}

fn order_exists(left: &[Ordered], state: Option<u32>) -> bool {
    if left.iter().all(|it| it.ended.is_none()) {
        return true;
    }
    left.iter().enumerate().any(|(index, next)| {
        let after = match next.write {
            Some(step) => step.state(),
            None if next.found == state => state,
            None => return false,
        };
        if left.iter().any(|other| other.ended.is_some_and(|ended| ended < next.begun)) {
            return false;
        }
        let rest: Vec<Ordered> =
            left.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, it)| *it).collect();
        order_exists(&rest, after)
    })
}

fn state(writes: &[Written], at: u64) -> Option<u32> {
    let last = writes.iter().rfind(|write| write.effect.is_some_and(|effect| effect <= at));
    last.and_then(|write| write.step.state())
}

/// Lost, refused but done, stale, gone back, never written.
fn faults(history: History) -> [usize; 5] {
    let (writes, reads) = history.into_summaries();
    [
        writes.lost.len(),
        writes.refused_but_done.len(),
        reads.stale.len(),
        reads.went_back.len(),
        reads.never_written.len(),
    ]
}

/// One object's writer: pauses and durations, where in its time a write takes effect (in percent), what it is told, and how
/// it all ends. Only the last one may be without an answer: its writer leaves the object then.
fn writer() -> impl Strategy<Value = Vec<Written>> {
    let steps = prop::collection::vec((0_u64..40, 1_u64..60, 0_u64..=100, 0_u8..6), 1..8);
    (steps, any::<bool>(), 0_u8..4, 0_u64..300).prop_map(|(steps, deletes, end, late)| {
        let mut writes = Vec::new();
        let mut now = 1;
        let last = steps.len() - 1;
        for (index, (pause, takes, percent, luck)) in steps.into_iter().enumerate() {
            let (begun, ended) = (now + pause, now + pause + takes);
            let step = if deletes && index == last && index > 0 {
                Step::Deleted
            } else {
                Step::Put(index as u32 + 1)
            };
            let fate = match (end, luck) {
                (0 | 1, _) if index == last => Fate::Ambiguous,
                (_, 0) if index > 0 => Fate::Refused,
                _ => DONE,
            };
            let effect = match fate {
                Fate::Acknowledged(_) => Some(begun + takes * percent / 100),
                // Never, or at any time, also long after nobody waits for it any more.
                Fate::Ambiguous => (end == 0).then_some(begun + late),
                Fate::Refused => None,
            };
            writes.push(Written { step, begun, ended, fate, effect });
            now = ended + 1;
        }
        writes
    })
}

fn told() -> impl Strategy<Value = Told> {
    let reads = prop::collection::vec((any::<Index>(), 0_u64..700, 0_u64..80, 0_u64..=100), 1..60);
    (prop::collection::vec(writer(), 1..4), reads).prop_map(|(mut objects, reads)| {
        // Numbers rise.
        objects.sort_by_key(|writes| writes[0].begun);
        let read = |(object, begun, takes, percent): (Index, u64, u64, u64)| Looked {
            object: object.index(objects.len()) as u64 + 1,
            begun,
            looks: begun + takes * percent / 100,
            ended: begun + takes,
            found: None,
        };
        let reads = reads.into_iter().map(read).collect();
        let mut told = Told { objects, reads };
        told.look();
        told
    })
}

/// What a read found if it showed the state before that of `index`.
fn before(writes: &[Written], index: usize) -> Option<u32> {
    let earlier = writes[..index].iter().rfind(|write| write.effect.is_some());
    earlier.and_then(|write| write.step.state())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_linearizable_history_has_no_fault(told in told()) {
        let done = told.objects.iter().flatten().filter(|it| it.fate == Fate::Ambiguous && it.effect.is_some());
        let done = done.count() as u64;
        let history = told.judge();
        prop_assert_eq!(history.writes.ambiguous_but_done, done);
        prop_assert_eq!(faults(history), [0; 5]);
    }

    #[test]
    fn a_read_that_shows_less_than_was_acknowledged_is_found(mut told in told(), victim in any::<Index>()) {
        let less = |read: &Looked| {
            let writes = &told.objects[read.object as usize - 1];
            let least = writes.iter().rposition(|write| write.fate == DONE && write.ended < read.begun)?;
            let less = before(writes, least);
            // A deletion that is on its way leaves nothing, too.
            let gone = |write: &Written| write.step == Step::Deleted && write.begun <= read.ended;
            (less.is_some() || !writes[least + 1..].iter().any(gone)).then_some(less)
        };
        let can = told.reads.iter().enumerate().filter_map(|(number, read)| Some((number, less(read)?)));
        let can: Vec<(usize, Option<u32>)> = can.collect();
        prop_assume!(!can.is_empty());
        let (read, less) = can[victim.index(can.len())];
        told.reads[read].found = less;
        prop_assert_eq!(faults(told.judge()), [0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_read_that_shows_less_than_an_earlier_read_is_found(mut told in told(), victim in any::<Index>()) {
        // Of a write that nobody has acknowledged yet, and that was read.
        let unanswered = |read: &Looked| {
            let writes = &told.objects[read.object as usize - 1];
            let shown = writes.iter().rposition(|write| write.effect.is_some_and(|effect| effect <= read.looks))?;
            let answered = writes[shown].fate == DONE && writes[shown].ended <= read.ended + 1;
            // Nothing may be what was before the creation.
            let is_clear = read.found.is_some() || writes[0].ended < read.begun;
            (!answered && is_clear).then(|| (*read, before(writes, shown)))
        };
        let can: Vec<(Looked, Option<u32>)> = told.reads.iter().filter_map(unanswered).collect();
        prop_assume!(!can.is_empty());
        let (first, found) = can[victim.index(can.len())];
        let at = first.ended + 1;
        told.reads.push(Looked { begun: at, looks: at, ended: at, found, ..first });
        prop_assert_eq!(faults(told.judge()), [0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_read_of_what_nobody_has_written_yet_is_found(
        mut told in told(),
        victim in any::<Index>(),
        ahead in 0_u32..3,
    ) {
        let read = victim.index(told.reads.len());
        let Looked { object, ended, .. } = told.reads[read];
        let begun = told.objects[object as usize - 1].iter().filter(|it| it.begun <= ended).count() as u32;
        told.reads[read].found = Some(begun + 1 + ahead);
        prop_assert_eq!(faults(told.judge()), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn an_acknowledged_write_that_is_not_there_in_the_end_is_lost(told in told(), victim in any::<Index>()) {
        let mut left = told.left();
        let object = victim.index(told.objects.len());
        let writes = &told.objects[object];
        let Some(index) = writes.iter().rposition(|write| write.fate == DONE) else { return Ok(()) };
        let less = before(writes, index);
        // A deletion without an answer leaves nothing, too.
        prop_assume!(less.is_some() || writes[index + 1..].iter().all(|write| write.step != Step::Deleted));
        match less {
            Some(sequence) => left.insert(object as u64 + 1, sequence),
            None => left.remove(&(object as u64 + 1)),
        };
        prop_assert_eq!(faults(told.judge_with(&left)), [1, 0, 0, 0, 0]);
    }

    #[test]
    fn an_acknowledged_write_that_never_happened_is_found(mut told in told(), victim in any::<Index>()) {
        let object = victim.index(told.objects.len());
        // What comes after it could hide it.
        let writes = &mut told.objects[object];
        let Some(index) = writes.iter().rposition(|write| write.fate == DONE) else { return Ok(()) };
        writes.truncate(index + 1);
        writes[index].effect = None;
        told.look();
        let [lost, refused, _, _, never_written] = faults(told.judge());
        prop_assert_eq!([lost, refused, never_written], [1, 0, 0]);
    }

    #[test]
    fn an_object_that_is_back_after_its_deletion_is_found(
        mut told in told(),
        later in 1_u64..900,
        reads_again in any::<bool>(),
    ) {
        let deleted = |writes: &Vec<Written>| writes.last().is_some_and(|it| it.step == Step::Deleted && it.fate == DONE);
        let Some(object) = told.objects.iter().position(deleted) else { return Ok(()) };
        let writes = &told.objects[object];
        let (found, gone) = (before(writes, writes.len() - 1), writes.last().unwrap().ended);
        let object = object as u64 + 1;
        let mut left = told.left();
        if reads_again {
            let begun = gone + later;
            told.reads.push(Looked { object, begun, looks: begun, ended: begun + 5, found });
            prop_assert_eq!(faults(told.judge_with(&left)), [0, 0, 1, 0, 0]);
        } else {
            left.extend(found.map(|sequence| (object, sequence)));
            prop_assert_eq!(faults(told.judge_with(&left)), [1, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn a_refused_write_that_took_effect_is_found(mut told in told(), victim in any::<Index>(), percent in 0_u64..=100) {
        let object = victim.index(told.objects.len());
        let writes = &mut told.objects[object];
        let Some(index) = writes.iter().rposition(|write| write.fate == Fate::Refused) else { return Ok(()) };
        writes.truncate(index + 1);
        let Written { begun, ended, .. } = writes[index];
        writes[index].effect = Some(begun + (ended - begun) * percent / 100);
        told.look();
        let [lost, refused, _, _, never_written] = faults(told.judge());
        prop_assert_eq!([lost, refused, never_written], [0, 1, 0]);
    }

    /// Some reads find anything, so that some histories are linearizable and some are not.
    #[test]
    fn the_rules_say_what_a_search_through_all_orders_says(
        writes in writer(),
        reads in prop::collection::vec((0_u64..300, 0_u64..80, 0_u64..=100, prop::option::weighted(0.3, 0_u32..5)), 1..5),
    ) {
        let read = |(begun, takes, percent, _): &(u64, u64, u64, _)| Looked {
            object: 1,
            begun: *begun,
            looks: begun + takes * percent / 100,
            ended: begun + takes,
            found: None,
        };
        // One by one all orders of more would take too long.
        let writes = writes[..writes.len().min(5)].to_vec();
        let mut told = Told { objects: vec![writes], reads: reads.iter().map(read).collect() };
        told.look();
        for (read, (.., other)) in told.reads.iter_mut().zip(&reads) {
            if let Some(other) = other {
                read.found = Some(*other).filter(|sequence| *sequence > 0);
            }
        }
        let faults = faults(told.history());
        prop_assert_eq!(faults == [0; 5], told.has_an_order(), "{:?}", faults);
    }
}

#[test]
fn a_read_that_began_before_a_deletion_was_acknowledged_may_still_show_the_object() {
    let mut history = History::default();
    let put = Change { object: 1, step: Step::Put(1) };
    let deleted = Change { object: 1, step: Step::Deleted };
    history.write_begun(put, millis(1));
    history.write_ended(put, DONE, millis(2));
    history.read_begun(millis(3));
    history.write_begun(deleted, millis(4));
    history.write_ended(deleted, DONE, millis(5));
    history.write_begun(Change { object: 2, step: Step::Put(1) }, millis(6));
    history.read_ended(1, Some(1), millis(3), millis(7));
    // The next one began too late for that.
    history.read_begun(millis(8));
    history.write_begun(Change { object: 3, step: Step::Put(1) }, millis(9));
    history.list_ended(&BTreeMap::from([(1, 1)]), millis(8), millis(10));
    let (_, reads) = history.into_summaries();
    assert_eq!(reads.stale, ["object 1 deleted: acknowledged, then sequence 1 read"]);
    assert_eq!(reads.compared, 4);
}

#[test]
fn faults_are_told_in_words_and_once_of_each_object() {
    let mut history = History::default();
    let [first, second] = [1, 2].map(|sequence| Change { object: 7, step: Step::Put(sequence) });
    for (change, fate, at) in [(first, DONE, 1), (second, Fate::Ambiguous, 3)] {
        history.write_begun(change, millis(at));
        history.write_ended(change, fate, millis(at + 1));
    }
    for (found, begun) in [(Some(2), 10), (Some(1), 20), (Some(1), 30), (None, 40), (Some(3), 50)] {
        history.read_begun(millis(begun));
        history.read_ended(7, found, millis(begun), millis(begun + 1));
    }
    history.read_begun(millis(60));
    history.read_of_something_else("not an object of ours".to_owned(), millis(60));
    history.read_begun(millis(70));
    history.read_back(&BTreeMap::new(), millis(70), millis(71));
    let (writes, reads) = history.into_summaries();
    assert_eq!(reads.went_back, ["object 7 sequence 2: read, then sequence 1"]);
    assert_eq!(reads.stale, ["object 7 sequence 1: acknowledged, then nothing read"]);
    assert_eq!(reads.never_written, ["object 7: sequence 3", "not an object of ours"]);
    assert_eq!(writes.lost, ["object 7 sequence 1: nothing is there"]);
    assert_eq!((writes.acknowledged, writes.ambiguous, writes.ambiguous_but_done), (1, 1, 1));
}

/// As one client of a run that goes on for hours: 8 objects at a time, the oldest deleted.
#[test]
fn what_is_kept_does_not_grow_with_the_requests() {
    let mut history = History::default();
    let mut now = 0;
    let mut tick = || {
        now += 1;
        millis(now)
    };
    let mut most = 0;
    for object in 8..20_000_u64 {
        for (object, step) in [
            (object, Step::Put(1)),
            (object, Step::Put(2)),
            (object - 7, Step::Put(3)),
            (object - 7, Step::Deleted),
        ] {
            if object < 8 {
                continue;
            }
            let change = Change { object, step };
            let begun = tick();
            history.read_begun(begun);
            history.write_begun(change, begun);
            history.write_ended(change, DONE, tick());
            history.read_ended(object, step.state(), begun, tick());
        }
        most = most.max(history.registers.values().map(Register::len).sum());
    }
    assert!(most <= 16 && history.reading.is_empty(), "{most} writes are kept");
    assert_eq!(faults(history), [0; 5]);
}
