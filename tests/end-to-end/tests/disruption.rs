//! The load generator itself: a control plane that nobody touches has no failure, and one that dies has them counted.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use disruption::{Disruption, Report, Settings};
use end_to_end::{ControlPlane, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BACK_LIMIT: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(10);

fn nothing_broken(report: &Report) {
    println!("{}", report.text());
    assert_eq!(report.broken_promises(), [""; 0]);
    assert!(report.writes.acknowledged > 0 && report.watches.events > 0, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_run_has_no_failures_and_a_killed_api_server_has_them_counted() {
    let plane = ControlPlane::ready(&[]).await;

    let settings = Settings { duration: QUIET, ..Settings::light(plane.kubeconfig()) };
    let watches = settings.watches as u64;
    let quiet = Disruption::start(settings).await.expect("the load begins");
    quiet.finished().await;
    let report = quiet.stop().await.expect("the checks succeed");
    nothing_broken(&report);
    assert_eq!((report.failed_reads(), report.failed_writes(), report.watch_breaks()), (0, 0, 0));
    assert_eq!(report.watches.events, report.writes.acknowledged * watches, "every watch shows every change");
    assert!(report.leases.iter().all(|lease| lease.renewals > 0), "{:#?}", report.leases);

    let run = Disruption::start(Settings::light(plane.kubeconfig())).await.expect("the load begins");
    eventually("some requests succeed", BACK_LIMIT, async || match run.so_far() {
        (succeeded, 0) if succeeded > 100 => Ok(()),
        so_far => Err(so_far),
    })
    .await;
    run.mark("both API servers killed");
    for name in ["kube-apiserver-0", "kube-apiserver-1"] {
        let pid = plane.instance(name).await.pid.expect("it runs");
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("it can be killed");
    }
    let (before, _) = eventually("requests fail", BACK_LIMIT, async || match run.so_far() {
        (succeeded, failed) if failed > 0 => Ok((succeeded, failed)),
        so_far => Err(so_far),
    })
    .await;
    eventually("requests succeed again", BACK_LIMIT, async || match run.so_far() {
        (succeeded, _) if succeeded > before + 100 => Ok(()),
        so_far => Err(so_far),
    })
    .await;
    let report = run.stop().await.expect("the checks succeed");
    nothing_broken(&report);
    assert!(report.failed_reads() + report.failed_writes() > 0, "{report:#?}");
    assert!(report.watch_breaks() >= watches, "every watch was cut: {report:#?}");
    assert!(report.longest_gap_of_reads.seconds > 0.2, "{:?}", report.longest_gap_of_reads);
    assert!(report.timeline.iter().any(|second| !second.failed.is_empty()));
    assert_eq!(report.marks.len(), 1);
}
