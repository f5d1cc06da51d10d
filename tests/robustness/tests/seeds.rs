//! Seeds that are run every time: a few for breadth, and each that ever broke a promise.
#![allow(clippy::print_stdout, reason = "measurements are printed")]

use std::time::Duration;

/// Seeds and the seconds of their plans. A bug that was found goes here with what it was.
const SEEDS: [(u64, u64); 2] = [(1, 45), (2, 45)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the real binaries; cargo xtask test --step robustness"]
async fn whatever_happens_no_promise_is_broken() {
    for (seed, seconds) in SEEDS {
        let outcome = robustness::run(seed, Duration::from_secs(seconds)).await;
        println!("{}", outcome.text());
        assert_eq!(outcome.broken(), [""; 0], "seed {seed}: {}", outcome.report.text());
    }
}
