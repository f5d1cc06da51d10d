//! One watch request at a time, resumed from the last revision: what came, and how each stream ended.
//! Refuses to hide anything: breaks, failed attempts and too-old revisions are told like events.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::numbered_object::{Read, ReadList};
use super::server::Server;
use super::trouble::{Meaning, Trouble, broken};

/// Between a failed attempt to begin a stream and the next.
const PAUSE: Duration = Duration::from_millis(250);
/// An API server ends a watch by itself after this; longer than runs last, so that an end means something.
const STREAM_SECONDS: u32 = 3600;
/// One line is one object.
const LINE_LIMIT: usize = 4 << 20;

/// What a watch tells.
pub(super) enum Told<'told> {
    /// A stream has begun.
    Begun,
    /// No stream could be begun.
    NotBegun(&'told Trouble),
    /// ADDED or MODIFIED.
    Put(&'told Read),
    /// DELETED.
    Deleted(&'told Read),
    /// Everything up to this revision was told.
    Reached(u64),
    /// The stream ended.
    Broke(String),
    /// The revision was too old; the list is what is there now.
    Relisted { from: u64, list: &'told ReadList },
}

/// A collection to be watched, its query without the watch's own parameters.
pub(super) struct Target {
    pub(super) path: String,
    pub(super) selector: Option<String>,
    /// What a single request may take.
    pub(super) limit: Duration,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Read,
}

/// Why a stream is over.
enum Over {
    TooOld,
    Broken(String),
}

/// Watches until stopped. Without a revision it lists first, which is told as [`Told::Relisted`] from 0.
pub(super) async fn follow(
    server: &Server,
    number: usize,
    target: &Target,
    revision: Option<u64>,
    stop: &CancellationToken,
    mut tell: impl FnMut(Told<'_>),
) {
    let work = async {
        let mut revision = revision;
        let mut turn = number;
        loop {
            let from = match revision {
                Some(revision) => revision,
                None => match list(server, turn, target).await {
                    Ok(list) => {
                        tell(Told::Relisted { from: 0, list: &list });
                        list.metadata.revision()
                    }
                    Err(trouble) => {
                        tell(Told::NotBegun(&trouble));
                        turn += 1;
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            revision = Some(from);
            let selector =
                target.selector.as_deref().map(|it| format!("&fieldSelector={it}")).unwrap_or_default();
            let path = format!(
                "{}?watch=true&allowWatchBookmarks=true&resourceVersion={from}&timeoutSeconds={STREAM_SECONDS}{selector}",
                target.path
            );
            let begun_at = Instant::now();
            let begun = async {
                let mut connection = server.connect(turn).await?;
                let body = connection.open(&path, target.limit).await?;
                Ok::<_, Trouble>((connection, body))
            };
            let over = match begun.await {
                Ok((_connection, body)) => {
                    tell(Told::Begun);
                    let mut reached = from;
                    let over = read(body, &mut reached, &mut tell).await;
                    revision = Some(reached);
                    over
                }
                Err(trouble) if trouble.status == Some(410) => Over::TooOld,
                Err(trouble) => {
                    tell(Told::NotBegun(&trouble));
                    tokio::time::sleep(PAUSE).await;
                    turn += 1;
                    continue;
                }
            };
            turn += 1;
            match over {
                Over::Broken(kind) => {
                    tell(Told::Broke(kind));
                    // At once after a stream that lived; a server that ends each one immediately is not hammered.
                    tokio::time::sleep_until(begun_at + PAUSE).await;
                }
                Over::TooOld => {
                    tell(Told::Broke("revision too old".to_owned()));
                    revision = relist(server, turn, target, revision.unwrap_or(from), &mut tell).await;
                }
            }
        }
    };
    // Whoever stops us has seen what was to be seen.
    let _stopped = stop.run_until_cancelled(work).await;
}

async fn relist(
    server: &Server,
    turn: usize,
    target: &Target,
    from: u64,
    tell: &mut impl FnMut(Told<'_>),
) -> Option<u64> {
    match list(server, turn, target).await {
        Ok(list) => {
            tell(Told::Relisted { from, list: &list });
            Some(list.metadata.revision())
        }
        Err(trouble) => {
            tell(Told::NotBegun(&trouble));
            tokio::time::sleep(PAUSE).await;
            // The old revision leads here again.
            Some(from)
        }
    }
}

async fn list(server: &Server, turn: usize, target: &Target) -> Result<ReadList, Trouble> {
    let selector = target.selector.as_deref().map(|it| format!("?fieldSelector={it}")).unwrap_or_default();
    let path = format!("{}{selector}", target.path);
    let body = server.connect(turn).await?.ask(Method::GET, &path, None, target.limit).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Trouble::new("an answer that is no list", error.to_string(), Meaning::Unclear))
}

async fn read(mut body: Incoming, reached: &mut u64, tell: &mut impl FnMut(Told<'_>)) -> Over {
    let mut pending = Vec::new();
    loop {
        let data = match body.frame().await {
            None => return Over::Broken("ended by the server".to_owned()),
            Some(Err(error)) => return Over::Broken(broken(&error)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        pending.extend_from_slice(&data);
        let mut begin = 0;
        while let Some(length) = pending[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &pending[begin..begin + length];
            begin += length + 1;
            let line: Line = match serde_json::from_slice(line) {
                Ok(line) => line,
                Err(error) => return Over::Broken(format!("not understood: {error}")),
            };
            let revision = line.object.metadata.revision();
            match line.kind.as_str() {
                "ADDED" | "MODIFIED" => tell(Told::Put(&line.object)),
                "DELETED" => tell(Told::Deleted(&line.object)),
                "BOOKMARK" => {}
                _ if line.object.code == 410 => return Over::TooOld,
                _ => return Over::Broken(format!("error {}: {}", line.object.code, line.object.message)),
            }
            *reached = revision.max(*reached);
            tell(Told::Reached(*reached));
        }
        pending.drain(..begin);
        if pending.len() > LINE_LIMIT {
            return Over::Broken("a line without an end".to_owned());
        }
    }
}
