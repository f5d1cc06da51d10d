//! Which objects are there for certain, shared by all clients, so that each read has an answer that it must have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of an object that certainly was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    sequence: u32,
    /// Somebody may have deleted it: its absence means nothing.
    deleting: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: AtomicU64,
    known: Mutex<BTreeMap<u64, Known>>,
}

/// What a read that begins now must find at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectation {
    pub(crate) object: u64,
    at_least: u32,
}

impl Ledger {
    /// A number that no object of this run had before.
    pub(crate) fn new_object(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn acknowledged(&self, object: u64, sequence: u32) {
        self.known().insert(object, Known { sequence, deleting: false });
    }

    /// Before it is deleted.
    pub(crate) fn deleting(&self, object: u64) {
        if let Some(known) = self.known().get_mut(&object) {
            known.deleting = true;
        }
    }

    /// When its fate is unclear, or it is gone.
    pub(crate) fn forget(&self, object: u64) {
        self.known().remove(&object);
    }

    /// Any object that is certainly there.
    pub(crate) fn any(&self) -> Option<Expectation> {
        let known = self.known();
        let live: Vec<_> = known.iter().filter(|(_, known)| !known.deleting).collect();
        let (object, known) = live.get(rand::random_range(0..live.len().max(1)))?;
        Some(Expectation { object: **object, at_least: known.sequence })
    }

    /// All objects that are certainly there.
    pub(crate) fn all(&self) -> Vec<Expectation> {
        let live = |(object, known): (&u64, &Known)| {
            (!known.deleting).then_some(Expectation { object: *object, at_least: known.sequence })
        };
        self.known().iter().filter_map(live).collect()
    }

    /// What is wrong with what a read found, if something is.
    pub(crate) fn judge(&self, expectation: Expectation, found: Option<u32>) -> Option<String> {
        let Expectation { object, at_least } = expectation;
        match found {
            Some(sequence) if sequence >= at_least => None,
            Some(sequence) => {
                Some(format!("object {object}: {sequence} read after {at_least} was acknowledged"))
            }
            // Gone from the ledger or about to be: somebody has begun to delete it since.
            None if self.known().get(&object).is_none_or(|known| known.deleting) => None,
            None => Some(format!("object {object}: not found after {at_least} was acknowledged")),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_must_find_what_was_acknowledged_before_it_began() {
        let ledger = Ledger::default();
        assert!(ledger.any().is_none());
        ledger.acknowledged(1, 4);
        let expectation = ledger.any().unwrap();
        assert_eq!(ledger.judge(expectation, Some(4)), None);
        assert_eq!(ledger.judge(expectation, Some(5)), None);
        assert!(ledger.judge(expectation, Some(3)).unwrap().contains("3 read after 4"));
        assert!(ledger.judge(expectation, None).unwrap().contains("not found"));
    }

    #[test]
    fn an_object_that_is_being_deleted_may_be_there_or_not() {
        let ledger = Ledger::default();
        ledger.acknowledged(1, 4);
        let expectation = ledger.any().unwrap();
        ledger.deleting(1);
        assert!(ledger.any().is_none() && ledger.all().is_empty());
        assert_eq!(ledger.judge(expectation, None), None);
        ledger.forget(1);
        assert_eq!(ledger.judge(expectation, None), None);
    }
}
