//! What people do to a control plane that runs, and settings that upstream refuses.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and files are damaged in place as people and disks do it"
)]

use std::fs;
use std::time::Duration;

use end_to_end::{ControlPlane, components, eventually};
use process_control::ChildEnding;

/// The smallest control plane.
const SMALL: [&str; 4] = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_up_is_refused_and_tokens_open_only_what_is_theirs() {
    let plane = ControlPlane::ready(&SMALL).await;
    let before = plane.status().await.unwrap();
    let components = components();
    let up = ["up", "--components", components.to_str().unwrap()];
    let detached = [&up[..], &["--detach"]].concat();
    for arguments in [&up[..], &detached] {
        let (code, _, error) = plane.command(arguments).await;
        let holder = format!("process id {}", plane.pid());
        assert!(code == 1 && error.contains(&holder) && error.contains("pilothouse down"), "{code}: {error}");
    }
    let after = plane.status().await.unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert!(
            after.ready && after.pid == before.pid && after.supervisor_pid == before.supervisor_pid,
            "{after:?}"
        );
    }

    let supervisor = plane.instance("kube-scheduler-0").await.supervisor_pid.unwrap();
    let authority = argument_of(supervisor, "--authority-url");
    let own =
        fs::read_to_string(plane.state_directory().join("instances/kube-scheduler-0/caller-token")).unwrap();
    let ask = async |path: &str, token: &str| {
        mutual_tls::install_provider();
        let trust = plane.state_directory().join("trust/cluster.crt");
        let client = mutual_tls::http_client(&trust, None, Duration::from_secs(10)).unwrap();
        let answer = client.get(format!("{authority}{path}")).bearer_auth(token.trim()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (code, body) = ask("/v1/certificates/scheduler-client", &own).await;
    assert_eq!(code, 200, "{body}");
    for forbidden in ["certificates/etcd-server", "certificates/administrator", "shared-keys/cluster-signing"]
    {
        let (code, body) = ask(&format!("/v1/{forbidden}"), &own).await;
        assert!(code == 403 && body.contains("kube-scheduler may not have"), "{forbidden}: {code}: {body}");
    }

    let mut other = ControlPlane::starting(&SMALL);
    let token = other.state_directory().join("instances/kube-scheduler-0/caller-token");
    let foreign = eventually("another control plane's token", Duration::from_secs(30), async || {
        fs::read_to_string(&token).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(other.stop().await, ChildEnding::Exited(0));
    let (code, body) = ask("/v1/certificates/scheduler-client", &foreign).await;
    assert!(code == 401 && body.contains("not known") && body.contains("remedy"), "{code}: {body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_flag_of_upstream_is_named_and_no_crash_loop() {
    let with = |argument: &'static str| [&SMALL[..], &[argument]].concat();
    let mut plane = ControlPlane::planned(&with("--kube-apiserver-argument=--no-such-flag=1"));
    plane.refused(&["kube-apiserver", "--no-such-flag", "correct or remove"]).await;
    let log = fs::read_to_string(plane.state_directory().join("instances/kube-apiserver-0/log")).unwrap();
    assert_eq!(log.matches("component_runtime::run: started").count(), 1, "started once, never again: {log}");
    plane.set_arguments(&with("--etcd-argument=--no-such-flag"));
    plane.refused(&["etcd", "no-such-flag", "correct or remove"]).await;
    plane.set_arguments(&with("--kube-apiserver-argument=--secure-port=1"));
    plane.refused(&["--secure-port", "remove it"]).await;
    plane.set_arguments(&with("--lifetime=etcd-server=1s"));
    plane.refused(&["etcd-server", "--lifetime"]).await;
}

/// The value after a flag in the command line of a process.
fn argument_of(pid: u32, flag: &str) -> String {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let mut words = line.split('\0').skip_while(|word| *word != flag);
    words.nth(1).unwrap_or_else(|| panic!("no {flag} in {line}")).to_owned()
}
