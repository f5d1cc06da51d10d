//! Whether all members of etcd are of one cluster and hold the same, by etcd's own hash of all keys at one revision.

use std::path::Path;
use std::time::Duration;

use process_control::{ChildEnding, capture};
use serde::Deserialize;

use crate::members::etcdctl;

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "HashKV")]
    said: Said,
}

#[derive(Debug, Deserialize)]
struct Said {
    header: Header,
    hash: u64,
    #[serde(default)]
    compact_revision: i64,
}

#[derive(Debug, Deserialize)]
struct Header {
    cluster_id: u64,
    revision: i64,
}

/// All members' client URLs must answer; the error says what differs.
pub(crate) async fn agree(state: &Path, endpoints: &[String]) -> Result<(), String> {
    let now = hashes(state, endpoints, None).await?;
    let revision = now.iter().map(|answer| answer.said.header.revision).min().ok_or("nobody answered")?;
    let then = hashes(state, endpoints, Some(revision)).await?;
    if then.len() != endpoints.len() {
        return Err(format!("{} of {} members answered", then.len(), endpoints.len()));
    }
    let same = |of: fn(&Answer) -> u64| then.iter().all(|answer| of(answer) == of(&then[0]));
    let comparable = then.iter().all(|answer| answer.said.compact_revision == then[0].said.compact_revision);
    if same(|answer| answer.said.header.cluster_id) && comparable && same(|answer| answer.said.hash) {
        return Ok(());
    }
    let told: Vec<String> = then
        .iter()
        .map(|Answer { endpoint, said }| {
            let Said { header, hash, compact_revision } = said;
            format!("{endpoint}: cluster {:x}, {hash:x} since {compact_revision}", header.cluster_id)
        })
        .collect();
    Err(format!("at revision {revision}: {}", told.join("; ")))
}

async fn hashes(state: &Path, endpoints: &[String], revision: Option<i64>) -> Result<Vec<Answer>, String> {
    let mut spawn = etcdctl(state, "etcd-0", &endpoints.join(",")).arguments([
        "endpoint",
        "hashkv",
        "--write-out=json",
        "--command-timeout=10s",
    ]);
    if let Some(revision) = revision {
        spawn = spawn.arguments([format!("--rev={revision}")]);
    }
    let captured = capture(&spawn, LIMIT).await.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if captured.ending != ChildEnding::Exited(0) {
        return Err(text(&captured.stderr));
    }
    serde_json::from_slice(&captured.stdout).map_err(|error| format!("{error}: {}", text(&captured.stdout)))
}
