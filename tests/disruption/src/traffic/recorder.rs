//! Where everybody writes down what happened, with one clock. Refuses conclusions.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::trouble::{Meaning, Trouble};
use crate::model::{Attempt, Change, Fate, History, LeaseView, Moment, Operation, Outcome, Request};
use crate::report::Mark;

/// What was written down so far.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) requests: Vec<Request>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) history: History,
    pub(crate) leases: BTreeMap<String, Vec<LeaseView>>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) examples: BTreeMap<String, String>,
    pub(crate) not_sent: u64,
    pub(crate) reconnects: u64,
}

#[derive(Default)]
pub(crate) struct Recorder {
    began: OnceLock<(Instant, Duration)>,
    records: Mutex<Records>,
}

impl Recorder {
    /// The load begins now; until then all moments are zero.
    pub(crate) fn begin(&self) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.began.get_or_init(|| (Instant::now(), since_1970));
    }

    pub(crate) fn now(&self) -> Moment {
        self.began.get().map_or(Moment::ZERO, |(began, _)| began.elapsed())
    }

    /// When the load began, since 1970.
    pub(crate) fn began(&self) -> Duration {
        self.began.get().map_or(Duration::ZERO, |(_, since_1970)| *since_1970)
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down a request that began then and has just ended.
    pub(crate) fn request(&self, operation: Operation, begun: Moment, outcome: Result<(), &Trouble>) {
        let ended = self.now();
        let mut records = self.records();
        let outcome = match outcome {
            Ok(()) => Outcome::Succeeded,
            Err(trouble) => {
                let example = || trouble.message.chars().take(300).collect();
                records.examples.entry(trouble.kind.clone()).or_insert_with(example);
                match trouble.meaning {
                    Meaning::TryAgain(_) => Outcome::ToldToRetry(trouble.kind.clone()),
                    Meaning::NotDone | Meaning::Unclear => Outcome::Failed(trouble.kind.clone()),
                }
            }
        };
        records.requests.push(Request { operation, begun, ended, outcome });
    }

    /// A read or a list is about to be sent; gives the moment by which to tell how it ended.
    pub(crate) fn read_begins(&self) -> Moment {
        let (mut records, at) = self.records_now();
        records.history.read_begun(at);
        at
    }

    /// The end of a read or a list: `tell` says which, with the moment of now.
    pub(crate) fn read_ends(&self, tell: impl FnOnce(&mut History, Moment)) {
        let (mut records, at) = self.records_now();
        tell(&mut records.history, at);
    }

    /// A change is about to be sent.
    pub(crate) fn change_begins(&self, change: Change) -> Moment {
        let (mut records, at) = self.records_now();
        records.history.write_begun(change, at);
        at
    }

    /// What came of the change that began then.
    pub(crate) fn change_ends(&self, change: Change, begun: Moment, fate: Fate) {
        let (mut records, ended) = self.records_now();
        records.history.write_ended(change, fate, ended);
        records.attempts.push(Attempt { change, begun, ended, fate });
    }

    /// The moment is taken when nobody else can write anything down: all is told in the order of its moments.
    fn records_now(&self) -> (MutexGuard<'_, Records>, Moment) {
        let records = self.records();
        (records, self.now())
    }

    pub(crate) fn mark(&self, text: &str) {
        let at = crate::model::rounded(self.now());
        self.records().marks.push(Mark { at, text: text.to_owned() });
    }
}
