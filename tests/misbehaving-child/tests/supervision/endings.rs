//! What the supervisor's exit code says about the child's end.

use process_control::ChildEnding;

use crate::harness::Run;

async fn crash_until_given_up(change: impl Fn(&mut Run)) -> (ChildEnding, crate::harness::Supervised) {
    let mut run = Run::new();
    run.child.end_after = Some(1);
    change(&mut run);
    let mut supervised = run.start();
    (supervised.ending().await, supervised)
}

#[tokio::test]
async fn a_crash_loop_ends_with_the_childs_code_after_five_crashes() {
    let (ending, supervised) = crash_until_given_up(|run| run.child.exit_code = 42).await;
    assert_eq!(ending, ChildEnding::Exited(42), "{}", supervised.account());
    assert_eq!(supervised.count("ended", "Exited(42) stopping=false"), 5, "{}", supervised.account());
    let message = supervised.read("termination");
    assert!(message.starts_with("exit code 42 after 4 restarts: 5 crashes within 60s"), "{message}");
}

#[tokio::test]
async fn an_unasked_exit_with_code_zero_gives_one() {
    let (ending, supervised) = crash_until_given_up(|run| run.child.exit_code = 0).await;
    assert_eq!(ending, ChildEnding::Exited(1), "{}", supervised.account());
}

#[tokio::test]
async fn codes_up_to_255_are_passed_on() {
    for code in [2, 127, 255] {
        let (ending, supervised) = crash_until_given_up(|run| run.child.exit_code = code).await;
        assert_eq!(ending, ChildEnding::Exited(code), "{}", supervised.account());
    }
}

#[tokio::test]
async fn death_by_a_signal_gives_128_and_the_signal() {
    // Not 11: Rust itself handles a SIGSEGV that was only sent.
    for signal in [6, 9, 15] {
        let (ending, supervised) = crash_until_given_up(|run| run.child.die_by = Some(signal)).await;
        assert_eq!(ending, ChildEnding::Exited(128 + signal), "{}", supervised.account());
        assert_eq!(supervised.count("ended", &format!("Signalled({signal}) stopping=false")), 5);
    }
}

#[tokio::test]
async fn a_missing_binary_ends_the_supervisor_at_once_and_is_named() {
    let mut run = Run::new();
    run.program = run.path("no-such-binary");
    let mut supervised = run.start();
    assert_eq!(supervised.ending().await, ChildEnding::Exited(127), "{}", supervised.account());
    let message = supervised.read("termination");
    let expected = format!(
        "exit code 127 after 0 restarts: cannot execute {}: No such file or directory (os error 2)\n",
        supervised.path("no-such-binary").display()
    );
    assert_eq!(message, expected);
}
