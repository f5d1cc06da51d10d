//! What is run every time: a few seeds for breadth, and each plan that is kept because it found something.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::HashSet;
use std::mem::discriminant;
use std::path::Path;
use std::time::Duration;

use certificates::Rotated;
use robustness::{Event, Plan, in_own_namespaces};

/// Seeds and the seconds of their plans, which are others with each new kind of event: what found something is kept as a plan.
const SEEDS: [(u64, u64); 2] = [(0, 40), (26, 40)];

fn seeded() -> impl Iterator<Item = Plan> {
    SEEDS.into_iter().map(|(seed, seconds)| Plan::new(seed, Duration::from_secs(seconds)))
}

/// By name, so that each run has the same order.
fn kept() -> Vec<Plan> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = directory
        .read_dir()
        .expect("the plans that are kept")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    let read = |file: &Path| Plan::read(&std::fs::read_to_string(file).expect("it can be read"));
    let plan =
        |file: &std::path::PathBuf| read(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    files.iter().map(plan).collect()
}

fn holds(plan: &Plan) {
    let outcome = in_own_namespaces(async || robustness::run(plan).await);
    println!("{}", outcome.text());
    assert_eq!(outcome.broken(), [""; 0], "{}{}", plan.text(), outcome.report.text());
}

#[test]
fn what_is_run_every_time_has_every_kind_of_event() {
    let ours: Vec<Event> =
        seeded().chain(kept()).flat_map(|plan| plan.steps).map(|step| step.event).collect();
    let kinds: HashSet<_> = ours.iter().map(discriminant).collect();
    // A kind that comes once in a thousand events is missing here with a chance of e^-100.
    for step in Plan::new(0, Duration::from_secs(260_000)).steps {
        assert!(kinds.contains(&discriminant(&step.event)), "nothing has: {}", step.event);
    }
    // Each of them also by a clock that is right.
    let by_a_right_clock = seeded().filter(|plan| !plan.sets_the_clock()).flat_map(|plan| plan.steps);
    let by_a_right_clock: Vec<Event> = by_a_right_clock.map(|step| step.event).collect();
    for what in Rotated::ALL {
        assert!(by_a_right_clock.contains(&Event::Rotate(what)), "{what:?}");
    }
}

#[test]
#[ignore = "needs the real binaries; cargo xtask test --step robustness"]
fn whatever_happens_no_promise_is_broken() {
    seeded().for_each(|plan| holds(&plan));
}

#[test]
#[ignore = "needs the real binaries; cargo xtask test --step robustness"]
fn what_was_found_once_does_not_come_back() {
    kept().iter().for_each(holds);
}
