//! Every child and every supervisor is killed, one at a time and all at once; no acknowledged write is lost.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, Writer, client, create_namespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BACK_LIMIT: Duration = Duration::from_secs(60);

fn end(pid: Option<u32>) {
    let pid = pid.expect("it runs");
    // A process that is gone already is as dead as it should be.
    let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_comes_back_and_no_acknowledged_write_is_lost() {
    let plane = ControlPlane::ready(&[]).await;
    let client = client(&plane.kubeconfig()).await;
    create_namespace(&client, "writes").await;
    let writer = Writer::start(client, "writes", Duration::from_millis(50));

    for before in plane.status().await.unwrap() {
        if before.pid.is_some() {
            end(before.pid);
            plane
                .until(&format!("the child of {} is back", before.name), BACK_LIMIT, |instances| {
                    instances.iter().any(|now| {
                        now.name == before.name && now.ready && now.pid.is_some() && now.pid != before.pid
                    })
                })
                .await;
        }
        let before = plane.instance(&before.name).await;
        end(before.supervisor_pid);
        plane
            .until(&format!("the supervisor of {} is back", before.name), BACK_LIMIT, |instances| {
                instances.iter().any(|now| {
                    now.name == before.name
                        && now.ready
                        && now.supervisor_pid.is_some()
                        && now.supervisor_pid != before.supervisor_pid
                })
            })
            .await;
    }

    for supervisors_too in [false, true] {
        let before = plane.status().await.unwrap();
        for instance in &before {
            if instance.pid.is_some() {
                end(instance.pid);
            }
            if supervisors_too {
                end(instance.supervisor_pid);
            }
        }
        plane
            .until("the whole set is back", BACK_LIMIT, |instances| {
                instances
                    .iter()
                    .zip(&before)
                    .all(|(now, before)| now.ready && (before.pid.is_none() || now.pid != before.pid))
            })
            .await;
    }

    let report = writer.stop_and_check().await;
    println!(
        "healing: {} writes acknowledged, longest gap {:?}, failed: {:?}",
        report.acknowledged.len(),
        report.longest_gap,
        report.failed
    );
}
