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

use std::time::Duration;

use end_to_end::{ControlPlane, assert_nothing_left, client, components};

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
    let (code, logs, error) = plane.command(&["logs", "pilothouse", "--tail", "100"]).await;
    assert!(code == 0 && logs.contains("supervisor started"), "{code}: {logs}{error}");

    let (code, said, error) = plane.command(&["down", "--purge"]).await;
    assert!(code == 0 && said.contains("is stopped and all its data is removed"), "{code}: {said}{error}");
    assert!(!plane.state_directory().exists());
    assert_nothing_left(&plane.state_directory(), Duration::from_secs(2)).await;
}
