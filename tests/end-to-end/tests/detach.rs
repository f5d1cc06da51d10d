//! `up --detach`: ready when it returns, found again by every other command, ended by `down`.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and files are damaged in place as people and disks do it"
)]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use end_to_end::{ControlPlane, assert_nothing_left, binary, client, components, eventually};
use process_control::{ChildEnding, Output, Signal, Spawn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_control_plane_is_ready_at_once_and_down_removes_all_of_it() {
    // Not started by the harness, but ended by it should this test fail.
    let plane = ControlPlane::planned(&[]);
    let (components, port) = (components(), plane.port().to_string());
    let up = ["up", "--detach", "--components", components.to_str().unwrap(), "--port", &port];
    let small = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];
    let (code, said, error) = plane.command(&[&up[..], &small].concat()).await;
    assert!(
        code == 0 && said.contains("KUBECONFIG") && said.contains("pilothouse down"),
        "{code}: {said}{error}"
    );

    let (code, table, error) = plane.command(&["status"]).await;
    assert!(code == 0, "{code}: {table}{error}");
    client(&plane.kubeconfig()).await.apiserver_version().await.unwrap();
    let (code, printed, error) = plane.command(&["kubeconfig"]).await;
    let file = std::fs::read_to_string(plane.kubeconfig()).unwrap();
    // Not printed: it holds a key.
    assert!(code == 0 && printed == file, "{code}: another kubeconfig than the file's {error}");
    let (code, logs, error) = plane.command(&["logs", "pilothouse", "--tail", "100"]).await;
    assert!(code == 0 && logs.contains("supervisor started"), "{code}: {logs}{error}");
    goes_on_until_interrupted(&plane, &["logs", "pilothouse", "--follow"], async |printed| {
        let shows = async |what| {
            eventually(what, Duration::from_secs(10), async || {
                let printed = printed();
                if printed.contains(what) { Ok(()) } else { Err(printed) }
            })
            .await;
        };
        shows("supervisor started").await;
        let log = plane.state_directory().join("instances/pilothouse/log");
        let line = "a line that comes while somebody follows";
        writeln!(OpenOptions::new().append(true).open(log).unwrap(), "{line}").unwrap();
        shows(line).await;
    })
    .await;
    goes_on_until_interrupted(&plane, &["status", "--watch"], async |printed| {
        eventually("the table is printed twice", Duration::from_secs(10), async || {
            let printed = printed();
            if printed.matches("certificate-authority-0").count() >= 2 { Ok(()) } else { Err(printed) }
        })
        .await;
    })
    .await;

    let (code, said, error) = plane.command(&["down", "--purge"]).await;
    assert!(code == 0 && said.contains("is stopped and all its data is removed"), "{code}: {said}{error}");
    assert!(!plane.state_directory().exists());
    assert_nothing_left(&plane.state_directory(), Duration::from_secs(2)).await;
}

/// Runs a command that does not end by itself until `seen` has seen enough of what it printed; Ctrl-C ends it with code 0.
async fn goes_on_until_interrupted(
    plane: &ControlPlane,
    arguments: &[&str],
    seen: impl AsyncFnOnce(&dyn Fn() -> String),
) {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    let spawn = Spawn::new(binary("pilothouse"))
        .arguments(arguments)
        .arguments(["--name", "test"])
        .arguments([Path::new("--state-dir"), &plane.state_directory()])
        .output(Output::Append(output.clone()))
        .from_thread_that_outlives_it();
    let mut command = spawn.start().unwrap();
    seen(&|| std::fs::read_to_string(&output).unwrap()).await;
    assert!(command.signal(Signal::SIGINT).unwrap(), "{arguments:?} has ended");
    let ending = tokio::time::timeout(Duration::from_secs(5), command.wait()).await.unwrap().unwrap();
    assert_eq!(
        ending,
        ChildEnding::Exited(0),
        "{arguments:?}: {}",
        std::fs::read_to_string(&output).unwrap()
    );
}
