//! A stop at any moment of a start ends everything within its budget and leaves no process behind.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, assert_nothing_left, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use process_control::ChildEnding;
use tokio::time::Instant;

/// Of everything, from SIGTERM to the last process: kube-apiserver's drain takes most of it.
const BUDGET: Duration = Duration::from_secs(60);
const MOMENTS: u32 = 30;
/// So many stops must come before everything is ready.
const BEFORE_READY: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_any_moment_of_a_start_leaves_nothing_behind() {
    let seed =
        std::env::var("PILOTHOUSE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
        });
    println!("PILOTHOUSE_SEED={seed}");
    // The first one also brings all binaries into memory.
    let mut start = Duration::MAX;
    for _attempt in 0..2 {
        start = start.min(a_start_takes().await);
    }
    let mut random = seed;
    let mut longest = Duration::ZERO;
    let mut before_ready = 0;
    for moment in 0..MOMENTS {
        // One step of SplitMix64: moments differ, and a seed repeats them.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Every thirtieth of the start gets one stop, somewhere within it.
        let slot = start / MOMENTS;
        let within = slot.mul_f64(((mixed >> 11) as f64) / ((1_u64 << 53) as f64));
        let after = slot * moment + within;

        let mut plane = ControlPlane::starting(&[]);
        tokio::time::sleep(after).await;
        let asked = Instant::now();
        let ending = plane.stop().await;
        assert!(
            matches!(ending, ChildEnding::Exited(0 | 130 | 143)),
            "after {after:?}: {ending:?}: {}",
            plane.output()
        );
        assert_nothing_left(&plane.state_directory(), Duration::from_secs(2)).await;
        let took = asked.elapsed();
        assert!(took < BUDGET, "the stop after {after:?} took {took:?}: {}", plane.output());
        let killed = kills(&plane);
        assert!(killed.is_empty(), "the stop after {after:?} took {took:?} and SIGKILL: {killed:#?}");
        if plane.output().contains(READY) {
            // Starts differ, and this one was over by then: the moments that are left come within such a one.
            start = start.min(after);
        } else {
            before_ready += 1;
        }
        longest = longest.max(took);
    }
    println!(
        "stop: {MOMENTS} moments within {start:?}, {before_ready} before all was ready, the longest took {longest:?}"
    );
    assert!(before_ready >= BEFORE_READY, "only {before_ready} stops hit a start");
}

/// What `pilothouse up` prints when everything is ready.
const READY: &str = "is ready at https://";

async fn a_start_takes() -> Duration {
    let began = Instant::now();
    let mut plane = ControlPlane::starting(&[]);
    let announced = async || if plane.output().contains(READY) { Ok(()) } else { Err(plane.output()) };
    eventually("a start", Duration::from_secs(120), announced).await;
    let took = began.elapsed();
    plane.stop().await;
    took
}

/// Lines of all logs that tell of a process that did not end by itself: `pilothouse up` says so of a supervisor, and a
/// supervisor of its child.
fn kills(plane: &ControlPlane) -> Vec<String> {
    let logs = std::fs::read_dir(plane.state_directory().join("instances")).into_iter().flatten().flatten();
    let lines = logs.flat_map(|instance| {
        let log = std::fs::read_to_string(instance.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let told = ["did not end in time and is killed", "SIGKILL sent"];
    lines.filter(|line| told.iter().any(|told| line.contains(told))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_command_leaves_nothing_behind_and_its_data_serves_again() {
    let mut plane = ControlPlane::ready(&[]).await;
    let client = end_to_end::client(&plane.kubeconfig()).await;
    end_to_end::create_namespace(&client, "kept").await;
    kill(Pid::from_raw(plane.pid().cast_signed()), Signal::SIGKILL).unwrap();
    assert_nothing_left(&plane.state_directory(), BUDGET).await;

    plane.start();
    plane.until_ready(Duration::from_secs(120)).await;
    let client = end_to_end::client(&plane.kubeconfig()).await;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client);
    assert!(
        namespaces.get_opt("kept").await.unwrap().is_some(),
        "what was written before the kill is still there"
    );
}
