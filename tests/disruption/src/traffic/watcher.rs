//! One watch of the numbered objects, written down for the checker.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::numbered_object::Read;
use super::recorder::Recorder;
use super::server::Server;
use super::watch_stream::{Target, Told, follow};
use crate::model::{Change, Operation, Step, WatchEntry, WatchLog};

pub(crate) struct Watcher {
    pub(crate) server: Server,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) number: usize,
    pub(crate) path: String,
    /// Everything after it is to be seen.
    pub(crate) revision: u64,
    pub(crate) limit: std::time::Duration,
}

impl Watcher {
    /// Watches until stopped and gives what it saw.
    pub(crate) async fn run(self, progress: watch::Sender<Option<u64>>, stop: CancellationToken) -> WatchLog {
        let mut log = WatchLog { entries: Vec::new(), reached: self.revision };
        let target = Target { path: self.path.clone(), selector: None, limit: self.limit };
        let recorder = &self.recorder;
        let mut looked_for_since = recorder.now();
        follow(&self.server, self.number, &target, Some(self.revision), &stop, |told| {
            let at = recorder.now();
            match told {
                Told::Begun => {
                    recorder.request(Operation::Watch, looked_for_since, Ok(()));
                    log.entries.push(WatchEntry::Resumed { at });
                    progress.send_replace(Some(log.reached));
                }
                Told::NotBegun(trouble) => {
                    recorder.request(Operation::Watch, looked_for_since, Err(trouble));
                    looked_for_since = at;
                }
                Told::Put(read) => log.entries.extend(seen(at, read, Step::Put)),
                Told::Deleted(read) => log.entries.extend(seen(at, read, |_| Step::Deleted)),
                Told::Reached(revision) => {
                    log.reached = revision;
                    progress.send_replace(Some(revision));
                }
                Told::Broke(kind) => {
                    log.entries.push(WatchEntry::Broke { at, kind });
                    looked_for_since = at;
                }
                Told::Relisted { from, list } => {
                    let to = list.metadata.revision();
                    log.entries.push(WatchEntry::Relisted { from, to });
                    log.reached = to;
                    progress.send_replace(Some(to));
                }
            }
        })
        .await;
        log
    }
}

fn seen(at: crate::model::Moment, read: &Read, step: impl Fn(u32) -> Step) -> Option<WatchEntry> {
    let (object, sequence) = read.numbered()?;
    let change = Change { object, step: step(sequence) };
    Some(WatchEntry::Seen { at, revision: read.metadata.revision(), change })
}
