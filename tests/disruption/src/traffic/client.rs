//! One client: a steady rhythm of reads, lists, writes and deletes, one after the other, over one kept connection or a new
//! one for each. Retries only what the protocol asks to retry, and writes that down apart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::ledger::Ledger;
use super::numbered_object::{Collection, Read, ReadList, body};
use super::recorder::Recorder;
use super::server::Server;
use super::trouble::{Meaning, Trouble};
use crate::model::{Change, Fate, Operation, Step};
use crate::settings::Mix;

/// How many objects a client keeps; above it, it deletes.
const MOST_OBJECTS: usize = 8;
/// How late a request may be sent that was due while its client waited for another one's answer.
const LATEST: Duration = Duration::from_secs(1);
/// How often a request is tried again because the protocol asks for it.
const MOST_RETRIES: usize = 5;

/// What all clients have together.
pub(crate) struct ClientContext {
    pub(crate) server: Server,
    pub(crate) collection: Collection,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) ledger: Ledger,
    pub(crate) limit: Duration,
    pub(crate) mix: Mix,
}

pub(crate) struct Client {
    context: Arc<ClientContext>,
    turn: usize,
    /// Whether each request gets a connection of its own.
    fresh: bool,
    kept: Option<Connection>,
    /// Ours alone to change: number, sequence number, revision.
    objects: Vec<(u64, u32, u64)>,
}

impl Client {
    pub(crate) fn new(context: Arc<ClientContext>, number: usize, fresh: bool) -> Self {
        Self { context, turn: number, fresh, kept: None, objects: Vec::new() }
    }

    /// Works until stopped; a request that is on its way is waited for. `delay` spreads the clients over one `period`.
    pub(crate) async fn run(mut self, period: Duration, delay: Duration, stop: CancellationToken) {
        let mut due = Instant::now() + delay;
        while stop.run_until_cancelled(sleep_until(due)).await.is_some() {
            let skipped = too_late(due.elapsed(), period);
            self.context.recorder.records().not_sent += u64::from(skipped);
            due += period * skipped;
            self.work().await;
            due += period;
        }
    }

    async fn work(&mut self) {
        let mix = self.context.mix;
        let draw = rand::random_range(0..mix.total());
        match draw {
            draw if draw < mix.reads => self.read().await,
            draw if draw < mix.reads + mix.lists => self.list().await,
            draw if draw < mix.reads + mix.lists + mix.deletes && !self.objects.is_empty() => {
                self.delete().await;
            }
            _ => self.write().await,
        }
    }

    async fn read(&mut self) {
        let Some(object) = self.context.ledger.any() else { return self.write().await };
        let path = self.context.collection.path_of(object);
        let begun = self.context.recorder.read_begins();
        // Whether its absence is right is the history's to say; it is an answer either way.
        let is_answer = |trouble: &Trouble| trouble.status == Some(404);
        let answer = self.ask(Operation::Read, Method::GET, &path, None, is_answer).await;
        self.context.recorder.read_ends(|history, now| match answer {
            Ok(body) => match serde_json::from_slice::<Read>(&body).ok().and_then(|read| read.numbered()) {
                Some((found, sequence)) if found == object => {
                    history.read_ended(object, Some(sequence), begun, now);
                }
                _ => history.read_of_something_else(format!("{path}: not an object of ours"), begun),
            },
            Err(trouble) if is_answer(&trouble) => history.read_ended(object, None, begun, now),
            Err(_) => history.read_failed(begun),
        });
    }

    async fn list(&mut self) {
        let path = self.context.collection.path();
        let begun = self.context.recorder.read_begins();
        let answer = self.ask(Operation::List, Method::GET, &path, None, |_| false).await;
        // Outside of what others wait for: a list is long.
        let list = answer.map(|body| serde_json::from_slice::<ReadList>(&body).map(|list| list.numbered()));
        self.context.recorder.read_ends(|history, now| match list {
            Ok(Ok(found)) => history.list_ended(&found, begun, now),
            Ok(Err(error)) => history.read_of_something_else(format!("{path}: no list: {error}"), begun),
            Err(_) => history.read_failed(begun),
        });
    }

    /// A new object or the next sequence number of one, which is never used again. An object whose fate is unclear is left
    /// alone from then on.
    async fn write(&mut self) {
        let create = self.objects.len() < MOST_OBJECTS && (self.objects.is_empty() || rand::random_bool(0.4));
        let index = if create { self.objects.len() } else { rand::random_range(0..self.objects.len()) };
        let (object, before) = match self.objects.get(index) {
            Some((object, sequence, revision)) => (*object, Some((*sequence, *revision))),
            None => (self.context.ledger.new_object(), None),
        };
        let sequence = before.map_or(1, |(sequence, _)| sequence + 1);
        let body = body(object, sequence, before.map(|(_, revision)| revision));
        let collection = &self.context.collection;
        let (method, path) = match before {
            Some(_) => (Method::PUT, collection.path_of(object)),
            None => (Method::POST, collection.path()),
        };
        let change = Change { object, step: Step::Put(sequence) };
        let begun = self.context.recorder.change_begins(change);
        let answer = self.ask(Operation::Write, method, &path, Some(body), |_| false).await;
        let revision = |body: &Bytes| {
            serde_json::from_slice::<Read>(body).map(|read| read.metadata.revision()).unwrap_or_default()
        };
        let fate = fate(answer.as_ref().map(|body| Some(revision(body))));
        self.context.recorder.change_ends(change, begun, fate);
        match (fate, before) {
            (Fate::Acknowledged(revision), _) => {
                let state = (object, sequence, revision.unwrap_or_default());
                if create { self.objects.push(state) } else { self.objects[index] = state }
            }
            (Fate::Refused, Some((_, revision))) if !conflicts(&answer) => {
                self.objects[index] = (object, sequence, revision);
            }
            // A conflict with ourselves means that an earlier write came through after all.
            (Fate::Refused | Fate::Ambiguous, _) => {
                self.context.ledger.left(object);
                if !create {
                    self.objects.swap_remove(index);
                }
            }
        }
    }

    async fn delete(&mut self) {
        let (object, _, _) = self.objects.remove(0);
        let path = self.context.collection.path_of(object);
        let change = Change { object, step: Step::Deleted };
        let begun = self.context.recorder.change_begins(change);
        let answer = self.ask(Operation::Delete, Method::DELETE, &path, None, |_| false).await;
        self.context.recorder.change_ends(change, begun, fate(answer.as_ref().map(|_| None)));
        self.context.ledger.left(object);
    }

    /// One request, and again when the protocol asks for it. `is_answer` says which trouble counts as a success.
    async fn ask(
        &mut self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        is_answer: impl Fn(&Trouble) -> bool,
    ) -> Result<Bytes, Trouble> {
        let mut retries = 0;
        loop {
            let begun = self.context.recorder.now();
            let answer = self.ask_once(method.clone(), path, body.clone()).await;
            let outcome = match &answer {
                Err(trouble) if !is_answer(trouble) => Err(trouble),
                _ => Ok(()),
            };
            self.context.recorder.request(operation, begun, outcome);
            match &answer {
                Err(Trouble { meaning: Meaning::TryAgain(after), .. }) if retries < MOST_RETRIES => {
                    retries += 1;
                    tokio::time::sleep(*after).await;
                }
                _ => return answer,
            }
        }
    }

    async fn ask_once(&mut self, method: Method, path: &str, body: Option<Bytes>) -> Result<Bytes, Trouble> {
        let limit = self.context.limit;
        if self.fresh {
            let mut connection = self.connect().await?;
            return connection.ask(method, path, body, limit).await;
        }
        // Who is given new credentials shows the old ones no longer, as client-go does.
        let server = &self.context.server;
        if self.kept.as_ref().is_none_or(|kept| kept.is_closed() || server.is_of_before(kept)) {
            if self.kept.take().is_some() {
                self.context.recorder.records().reconnects += 1;
            }
            self.kept = Some(self.connect().await?);
        }
        match &mut self.kept {
            Some(connection) => connection.ask(method, path, body, limit).await,
            None => Err(Trouble::new("no connection", "", Meaning::NotDone)),
        }
    }

    async fn connect(&mut self) -> Result<Connection, Trouble> {
        self.turn += 1;
        self.context.server.connect(self.turn).await
    }
}

/// How many requests are left out, one in each `period`, so that the next is not later than may be.
fn too_late(late: Duration, period: Duration) -> u32 {
    let periods = late.saturating_sub(LATEST).as_secs_f64() / period.as_secs_f64().max(1e-6);
    periods.ceil() as u32
}

fn fate(answer: Result<Option<u64>, &Trouble>) -> Fate {
    match answer {
        Ok(revision) => Fate::Acknowledged(revision),
        Err(trouble) if trouble.meaning == Meaning::Unclear => Fate::Ambiguous,
        Err(_) => Fate::Refused,
    }
}

fn conflicts(answer: &Result<Bytes, Trouble>) -> bool {
    answer.as_ref().is_err_and(|trouble| matches!(trouble.status, Some(404 | 409)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_makes_up_for_a_second_and_no_more() {
        let late = |millis| too_late(Duration::from_millis(millis), Duration::from_millis(100));
        assert_eq!([0, 90, 1_000].map(late), [0; 3]);
        assert_eq!([1_001, 1_100, 1_101, 10_000].map(late), [1, 1, 2, 90]);
    }
}
