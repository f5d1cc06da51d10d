//! What writers were told against what is there in the end: an acknowledged write that is not there is lost.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Change, Moment};

/// What a writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It happened; the revision where the answer named one (deletions do not).
    Acknowledged(Option<u64>),
    /// Nobody knows: no answer, a broken connection, a server error.
    Ambiguous,
    /// It was refused, or never sent.
    Refused,
}

/// One attempt of one change. The attempts at one object are in the order in which they were made, by one writer.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// What was wanted.
    pub change: Change,
    /// When it was begun.
    pub begun: Moment,
    /// When its fate was known.
    pub ended: Moment,
    /// What the writer was told.
    pub fate: Fate,
}

/// What became of all writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteSummary {
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Changes without a clear answer.
    pub ambiguous: u64,
    /// Of those, how many turned out to have happened.
    pub ambiguous_but_done: u64,
    /// Acknowledged changes that are not there.
    pub lost: Vec<String>,
    /// Refused changes that are there all the same.
    pub refused_but_done: Vec<String>,
}

/// Compares all attempts with what a read-back found: each object that is there, with its sequence number.
#[must_use]
pub fn examine_writes(attempts: &[Attempt], found: &BTreeMap<u64, u32>) -> WriteSummary {
    let mut summary = WriteSummary::default();
    let mut objects: BTreeMap<u64, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        match attempt.fate {
            Fate::Acknowledged(_) => summary.acknowledged += 1,
            Fate::Ambiguous => summary.ambiguous += 1,
            Fate::Refused => {}
        }
        objects.entry(attempt.change.object).or_default().push(attempt);
    }
    for (object, attempts) in &objects {
        examine_object(attempts, found.get(object).copied(), &mut summary);
    }
    summary
}

fn examine_object(attempts: &[&Attempt], found: Option<u32>, summary: &mut WriteSummary) {
    let acknowledged = attempts.iter().rposition(|attempt| matches!(attempt.fate, Fate::Acknowledged(_)));
    let (known, later) = match acknowledged {
        Some(last) => (attempts[last].change.state(), &attempts[last + 1..]),
        None => (None, attempts),
    };
    if found == known {
        return;
    }
    let led_here =
        |fate| later.iter().find(|attempt| attempt.fate == fate && attempt.change.state() == found);
    if led_here(Fate::Ambiguous).is_some() {
        summary.ambiguous_but_done += 1;
    } else if let Some(refused) = led_here(Fate::Refused) {
        summary.refused_but_done.push(refused.change.to_string());
    } else if let Some(last) = acknowledged {
        let there = found.map_or("nothing".to_owned(), |sequence| format!("sequence {sequence}"));
        summary.lost.push(format!("{}: {there} is there", attempts[last].change));
    } else {
        summary.refused_but_done.push(format!("object {} by nobody", attempts[0].change.object));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Step;

    fn attempt(object: u64, step: Step, fate: Fate) -> Attempt {
        Attempt { change: Change { object, step }, begun: Duration::ZERO, ended: Duration::ZERO, fate }
    }

    const DONE: Fate = Fate::Acknowledged(None);

    #[test]
    fn an_answer_that_never_came_may_mean_either() {
        let attempts = [attempt(1, Step::Put(1), DONE), attempt(1, Step::Put(2), Fate::Ambiguous)];
        let before = examine_writes(&attempts, &[(1, 1)].into());
        assert!(before.lost.is_empty() && before.ambiguous_but_done == 0);
        let after = examine_writes(&attempts, &[(1, 2)].into());
        assert!(after.lost.is_empty() && after.ambiguous_but_done == 1);
        assert_eq!(examine_writes(&attempts, &[].into()).lost.len(), 1, "neither leads to its absence");
    }

    #[test]
    fn a_deleted_object_that_is_back_is_a_lost_deletion() {
        let attempts = [attempt(7, Step::Put(1), DONE), attempt(7, Step::Deleted, DONE)];
        assert_eq!(
            examine_writes(&attempts, &[(7, 1)].into()).lost,
            ["object 7 deleted: sequence 1 is there"]
        );
    }

    #[test]
    fn a_refused_write_that_happened_is_told() {
        let attempts = [attempt(7, Step::Put(1), Fate::Refused)];
        assert_eq!(examine_writes(&attempts, &[(7, 1)].into()).refused_but_done, ["object 7 sequence 1"]);
    }

    fn history() -> impl Strategy<Value = Vec<Vec<Attempt>>> {
        // Each object: some acknowledged puts, perhaps a deletion, perhaps an ambiguous end.
        let object = (1_u32..6, any::<bool>(), any::<bool>());
        prop::collection::vec(object, 1..12).prop_map(|objects| {
            let attempts = |(object, (puts, deleted, unclear)): (usize, (u32, bool, bool))| {
                let object = object as u64;
                let mut attempts: Vec<_> =
                    (1..=puts).map(|step| attempt(object, Step::Put(step), DONE)).collect();
                if deleted {
                    attempts.push(attempt(object, Step::Deleted, DONE));
                } else if unclear {
                    attempts.push(attempt(object, Step::Put(puts + 1), Fate::Ambiguous));
                }
                attempts
            };
            objects.into_iter().enumerate().map(attempts).collect()
        })
    }

    proptest! {
        #[test]
        fn a_lost_write_is_found_and_nothing_else(objects in history(), victim in any::<prop::sample::Index>()) {
            let attempts: Vec<_> = objects.iter().flatten().copied().collect();
            let mut found: BTreeMap<u64, u32> = BTreeMap::new();
            for attempt in attempts.iter().filter(|attempt| attempt.fate == DONE) {
                match attempt.change.state() {
                    Some(sequence) => found.insert(attempt.change.object, sequence),
                    None => found.remove(&attempt.change.object),
                };
            }
            prop_assert!(examine_writes(&attempts, &found).lost.is_empty());
            // Undo the last acknowledged change of one object.
            let object = victim.index(objects.len());
            let puts = objects[object].iter().filter(|it| it.fate == DONE).count();
            let before = puts.checked_sub(2).map(|index| objects[object][index].change.state());
            match before.flatten() {
                Some(sequence) => found.insert(object as u64, sequence),
                None => found.remove(&(object as u64)),
            };
            prop_assert_eq!(examine_writes(&attempts, &found).lost.len(), 1);
        }
    }
}
