//! Where everybody writes down what happened, with one clock. Refuses conclusions.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::trouble::{Meaning, Trouble};
use crate::model::{Attempt, LeaseView, Moment, Operation, Outcome, Request};
use crate::report::Mark;

/// What was written down so far.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) requests: Vec<Request>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) leases: BTreeMap<String, Vec<LeaseView>>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) stale_reads: Vec<String>,
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

    pub(crate) fn mark(&self, text: &str) {
        let at = crate::model::rounded(self.now());
        self.records().marks.push(Mark { at, text: text.to_owned() });
    }
}
