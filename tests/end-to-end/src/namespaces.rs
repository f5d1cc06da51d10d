//! Tests that need a network or mounts of their own run a second time, in namespaces that vanish with them.
//! Refuses to change anything outside of these.

use std::time::Duration;

use process_control::{ChildEnding, Spawn, capture};

const INSIDE: &str = "PILOTHOUSE_TEST_IN_NAMESPACES";

/// Whether this test already runs in namespaces of its own. If not, runs it in them, by its name and with `kinds` (flags
/// of unshare(1)); panics if it fails there. A user without privileges is root in a user namespace.
pub async fn inside_namespaces(test: &str, kinds: &[&str], limit: Duration) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let own = std::env::current_exe().expect("the path of this test");
    let spawn = Spawn::new("/usr/bin/unshare")
        .arguments(user)
        .arguments(kinds)
        .arguments([std::path::Path::new("--"), &own])
        .arguments([test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
        .environment(INSIDE, "yes")
        .from_thread_that_outlives_it();
    let captured = capture(&spawn, limit).await.expect("the test ends in namespaces of its own");
    let told = [captured.stdout, captured.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert_eq!(captured.ending, ChildEnding::Exited(0), "in namespaces of its own: {told}");
    assert!(told.contains("1 passed"), "the test was not found by its name {test}: {told}");
    println!("{told}");
    false
}

/// Runs a line of shell and gives its output; panics if it fails. For ip(8) and mount(8) in namespaces.
pub async fn shell(line: &str) -> String {
    let spawn = Spawn::new("/bin/sh").arguments(["-ec", line]).from_thread_that_outlives_it();
    let captured = capture(&spawn, Duration::from_secs(20)).await.expect("the shell runs");
    assert_eq!(captured.ending, ChildEnding::Exited(0), "{line}: {captured:?}");
    String::from_utf8_lossy(&captured.stdout).into_owned()
}
