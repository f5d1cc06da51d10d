//! Following one named object: read it, then watch it, for ever; trouble is told once and waited out.
//! Refuses to forget: while the API is away, what was last seen stays.

use std::time::Duration;

use conditions::Backoff;
use futures_util::StreamExt as _;
use kube::api::{WatchEvent, WatchParams};

use crate::object::{Object, find};
use crate::{ManagementApi, ManagementError};

/// A watch is begun anew at least so often (the API server may end it earlier), so that none hangs for long.
const WATCH_SECONDS: u32 = 240;
/// Longer than any watch.
const LONGEST_SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// An API server answers a watch with its headers at once, however little there is to tell.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// From the newest state on, whatever its version: the answer begins with the object if it was made meanwhile.
const FROM_NOW: &str = "";

/// What following one object brings.
#[derive(Debug)]
pub enum Followed<K> {
    /// It looks like this now.
    Seen(Box<K>),
    /// It does not exist.
    Absent,
    /// The API cannot be asked at the moment; what was seen last may still be true.
    Trouble(ManagementError),
}

/// Calls `tell` with the object now and at every change. Never returns; dropping the future ends it.
pub async fn follow<K: Object>(api: &ManagementApi, name: &str, mut tell: impl FnMut(Followed<K>)) -> ! {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match find::<K>(api, name).await {
            Ok(found) => {
                let version = found.as_ref().and_then(|object| object.meta().resource_version.clone());
                tell(found.map_or(Followed::Absent, |object| Followed::Seen(Box::new(object))));
                // An object that is not there has no version to watch from, and is seen the moment that it is made.
                if watch(api, name, version.as_deref().unwrap_or(FROM_NOW), &mut tell).await {
                    backoff.reset();
                }
            }
            Err(error) => tell(Followed::Trouble(error)),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Whether anything was heard.
async fn watch<K: Object>(
    api: &ManagementApi,
    name: &str,
    version: &str,
    tell: &mut impl FnMut(Followed<K>),
) -> bool {
    let parameters = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
    let objects = api.objects::<K>();
    let asked = tokio::time::timeout(ANSWER_LIMIT, objects.watch(&parameters, version)).await;
    let Ok(Ok(events)) = asked else { return false };
    let mut events = std::pin::pin!(events);
    let mut heard = false;
    // A server whose machine died says nothing any more, not even that the watch is over.
    while let Ok(Some(Ok(event))) = tokio::time::timeout(LONGEST_SILENCE, events.next()).await {
        heard = true;
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                tell(Followed::Seen(Box::new(object)));
            }
            WatchEvent::Deleted(_) => tell(Followed::Absent),
            WatchEvent::Bookmark(_) => {}
            // The version is too old, or the server is going: read anew.
            WatchEvent::Error(_) => break,
        }
    }
    heard
}
