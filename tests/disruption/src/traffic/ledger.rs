//! Which objects there are to read, shared by all clients. Refuses to know what a read must show: that is `model::History`'s.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many of the objects that their writers left last are still read: deleted ones must not come back, and those whose
/// last write had no answer must not change to and fro. Few beside the 160 of 20 clients: most reads shall find something.
const LEFT: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: AtomicU64,
    objects: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    written: Vec<u64>,
    left: VecDeque<u64>,
}

impl Ledger {
    /// A number that no object of this run had before, and whose object is about to be created.
    pub(crate) fn new_object(&self) -> u64 {
        let object = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.objects().written.push(object);
        object
    }

    /// Nobody writes it any more: it is deleted, or the fate of a write is unclear.
    pub(crate) fn left(&self, object: u64) {
        let mut objects = self.objects();
        objects.written.retain(|written| *written != object);
        objects.left.push_back(object);
        if objects.left.len() > LEFT {
            objects.left.pop_front();
        }
    }

    /// Any of them.
    pub(crate) fn any(&self) -> Option<u64> {
        let objects = self.objects();
        let all = objects.written.iter().chain(&objects.left);
        let count = objects.written.len() + objects.left.len();
        all.copied().nth(rand::random_range(0..count.max(1)))
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_written_and_the_last_that_were_left_are_read() {
        let ledger = Ledger::default();
        assert_eq!(ledger.any(), None);
        let written = ledger.new_object();
        let left: Vec<u64> = (0..20).map(|_| ledger.new_object()).collect();
        for object in &left {
            ledger.left(*object);
        }
        let objects = ledger.objects();
        assert_eq!(objects.written, [written]);
        assert_eq!(objects.left, &left[20 - LEFT..]);
        drop(objects);
        assert!(ledger.any().is_some_and(|object| object == written || left.contains(&object)));
    }
}
