//! How often etcd's leadership moved: raft begins a term for each election, and members keep it over restarts. Asked as an API
//! server asks etcd, before and after the load, so that nobody is disturbed.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use end_to_end::{component, eventually};
use hosted_control_plane::NodeNetwork;
use naming_contract::{Component, ports};
use process_control::{ChildEnding, Spawn, capture};
use serde_json::Value;

use super::WHOLE_LIMIT;
use super::side::Side;

const LIMIT: Duration = Duration::from_secs(20);

/// The highest term that any member tells, of plain Pods as of ours.
pub(crate) async fn term(side: &Side<'_>) -> u64 {
    eventually("members of etcd tell raft's term", WHOLE_LIMIT, async || {
        asked(side).await.map_err(|error| format!("{error:#}"))
    })
    .await
}

async fn asked(side: &Side<'_>) -> Result<u64> {
    let members = side.scene.pods_of(Component::Etcd).await;
    let endpoints: Vec<String> = members
        .iter()
        .filter_map(|member| Some(format!("https://{}:{}", member.address.as_deref()?, ports::ETCD_CLIENT)))
        .collect();
    let servers = side.scene.pods_of(Component::KubeApiserver).await;
    let server = servers.iter().find_map(|pod| side.scene.upstream(pod)).context("no API server runs")?;
    let line = fs::read_to_string(format!("/proc/{server}/cmdline"))?;
    let spawn = Spawn::new(component("etcdctl"))
        .arguments(["endpoint", "status", "--write-out=json", "--command-timeout=10s"])
        // Members are asked by the addresses of their Pods, which are not in every certificate.
        .arguments(["--insecure-skip-tls-verify".to_owned(), format!("--endpoints={}", endpoints.join(","))])
        .arguments([
            format!("--cert={}", file_of(server, &line, "--etcd-certfile=")?),
            format!("--key={}", file_of(server, &line, "--etcd-keyfile=")?),
        ])
        .from_thread_that_outlives_it();
    let network = NodeNetwork::enter(side.scene.cluster, 1);
    let captured = network.run(async move { capture(&spawn, LIMIT).await }).await?;
    ensure!(captured.ending == ChildEnding::Exited(0), "{}", String::from_utf8_lossy(&captured.stderr));
    highest_term(&captured.stdout)
}

/// A file that a flag of a process names, as it is seen from here.
fn file_of(process: u32, line: &str, flag: &str) -> Result<String> {
    let path = line.split('\0').find_map(|given| given.strip_prefix(flag));
    let path = path.with_context(|| format!("process {process} runs without {flag}"))?;
    Ok(format!("/proc/{process}/root{path}"))
}

fn highest_term(answer: &[u8]) -> Result<u64> {
    let members: Vec<Value> = serde_json::from_slice(answer).context("etcdctl answers in JSON")?;
    let terms = members.iter().map(|member| member["Status"]["raftTerm"].as_u64());
    terms.max().flatten().context("no member tells a term")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_term_counts_since_a_member_that_was_away_may_not_know_it_yet() {
        // As etcdctl 3.7.3 writes it, shortened.
        let answer = br#"[
            {"Endpoint":"https://10.0.0.1:2379","Status":{"header":{"raft_term":4},"version":"3.7.3","raftTerm":4}},
            {"Endpoint":"https://10.0.0.2:2379","Status":{"header":{"raft_term":4},"version":"3.7.3","raftTerm":5}}
        ]"#;
        assert_eq!(highest_term(answer).unwrap(), 5);
        assert!(highest_term(b"[]").is_err() && highest_term(b"").is_err());
    }

    #[test]
    fn files_are_found_where_the_process_sees_them() {
        let line = "kube-apiserver\0--etcd-certfile=/run/some/tls.crt\0--etcd-keyfile=/run/some/tls.key\0";
        assert_eq!(file_of(7, line, "--etcd-keyfile=").unwrap(), "/proc/7/root/run/some/tls.key");
        assert!(file_of(7, line, "--etcd-cafile=").is_err());
    }
}
