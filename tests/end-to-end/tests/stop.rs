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

use end_to_end::{ControlPlane, assert_nothing_left};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use process_control::ChildEnding;
use tokio::time::Instant;

/// Of everything, from SIGTERM to the last process: kube-apiserver's drain takes most of it.
const BUDGET: Duration = Duration::from_secs(60);
const MOMENTS: u64 = 30;
/// A whole start takes about so long here; stops later than that hit a control plane that is ready.
const START: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_any_moment_of_a_start_leaves_nothing_behind() {
    let seed =
        std::env::var("PILOTHOUSE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
        });
    println!("PILOTHOUSE_SEED={seed}");
    let mut random = seed;
    let mut longest = Duration::ZERO;
    for moment in 0..MOMENTS {
        // One step of SplitMix64: moments differ, and a seed repeats them.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Every thirtieth of the start gets one stop, somewhere within it.
        let slot = START / u32::try_from(MOMENTS).unwrap();
        let within = slot.mul_f64(((mixed >> 11) as f64) / ((1_u64 << 53) as f64));
        let after = slot * u32::try_from(moment).unwrap() + within;

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
        longest = longest.max(took);
    }
    println!("stop: {MOMENTS} moments within {START:?}, the longest took {longest:?}");
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
