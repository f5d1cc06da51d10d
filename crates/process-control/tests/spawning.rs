//! Spawning real processes: what they inherit, how failures are told, that nothing outlives its owner.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes only #[test] functions of an integration test for tests"
)]

use std::time::Duration;

use process_control::{
    CaptureError, Captured, ChildEnding, Output, ProcessIdentity, Signal, Spawn, SpawnError, capture,
    end_orphans,
};

const DEADLINE: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Spawn {
    Spawn::new("/bin/sh").arguments(["-c", script]).from_thread_that_outlives_it()
}

async fn run(spawn: &Spawn) -> Captured {
    capture(spawn, DEADLINE).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim()
}

#[tokio::test]
async fn every_ending_is_told_real_time_signals_included() {
    for (script, ending) in [
        ("exit 0", ChildEnding::Exited(0)),
        ("exit 255", ChildEnding::Exited(255)),
        ("kill -TERM $$", ChildEnding::Signalled(15)),
        ("kill -KILL $$", ChildEnding::Signalled(9)),
        ("kill -40 $$", ChildEnding::Signalled(40)),
    ] {
        let mut child = shell(script).start().unwrap();
        assert_eq!(child.wait().await.unwrap(), ending, "{script}");
        assert_eq!(child.wait().await.unwrap(), ending, "{script}, asked again");
        assert!(!child.signal(Signal::SIGKILL).unwrap(), "nothing is left to signal");
    }
}

#[tokio::test]
async fn a_wait_that_is_cancelled_loses_nothing() {
    let mut child = shell("read line").output(Output::Nothing).start().unwrap();
    for _ in 0..10 {
        drop(tokio::time::timeout(Duration::from_millis(1), child.wait()).await);
    }
    assert_eq!(child.wait().await.unwrap(), ChildEnding::Exited(1), "its standard input is empty");
}

#[tokio::test]
async fn a_missing_program_is_an_error_that_names_it_and_no_exit_code() {
    let error = Spawn::new("/nowhere/etcd").from_thread_that_outlives_it().start().unwrap_err();
    assert_eq!(error.to_string(), "cannot execute /nowhere/etcd");
    assert!(error.is_missing() && error.is_permanent());

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("no-program");
    std::fs::File::create(&path).unwrap();
    let error = Spawn::new(&path).from_thread_that_outlives_it().start().unwrap_err();
    assert!(
        matches!(error, SpawnError::Execute { .. }) && !error.is_missing() && error.is_permanent(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_thread_that_may_end_first_is_refused() {
    let error = Spawn::new("/bin/true").start().unwrap_err();
    assert!(matches!(error, SpawnError::Thread { .. }), "{error:?}");
    // Without a death signal no thread matters.
    let mut child = Spawn::new("/bin/true").death_signal(None).start().unwrap();
    assert_eq!(child.wait().await.unwrap(), ChildEnding::Exited(0));
}

#[tokio::test]
async fn a_child_begins_with_default_signals_its_own_group_and_a_filtered_environment() {
    let status = run(&shell("cat /proc/self/status")).await;
    let field = |name: &str| {
        let line = text(&status.stdout).lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        u64::from_str_radix(line.split_ascii_whitespace().last().unwrap(), 16).unwrap()
    };
    // Rust ignores SIGPIPE at start; an inherited ignore would change every child.
    assert_eq!((field("SigIgn"), field("SigBlk")), (0, 0), "{}", text(&status.stdout));

    let group = run(&shell("cut -d' ' -f5 /proc/$$/stat; echo $$")).await;
    let [group, pid] = text(&group.stdout).lines().collect::<Vec<_>>()[..] else { panic!("{group:?}") };
    assert_eq!(group, pid);

    let spawn = shell("env").withhold_environment("CARGO_").environment("GIVEN", "yes");
    let environment = run(&spawn).await;
    let names: Vec<&str> = text(&environment.stdout).lines().collect();
    assert!(
        names.contains(&"GIVEN=yes") && !names.iter().any(|line| line.starts_with("CARGO_")),
        "{names:?}"
    );
}

#[tokio::test]
async fn output_is_appended_to_a_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    for _ in 0..2 {
        let spawn = shell("echo out; echo err >&2").output(Output::Append(path.clone()));
        assert_eq!(spawn.start().unwrap().wait().await.unwrap(), ChildEnding::Exited(0));
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "out\nerr\nout\nerr\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let spawn = shell(&format!("echo $$ > {}; exec sleep 1000", pid_file.display()));
    let error = capture(&spawn, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, CaptureError::Limit { .. }), "{error:?}");
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    if let Some(handle) = ProcessIdentity::of(pid).unwrap().and_then(|identity| identity.open().unwrap()) {
        tokio::time::timeout(DEADLINE, handle.ended()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_talkative_command_is_cut_off_and_still_ends() {
    let captured = run(&shell("head -c 3000000 /dev/zero; echo done >&2; exit 4")).await;
    assert_eq!((captured.ending, captured.stdout.len()), (ChildEnding::Exited(4), 1024 * 1024));
    assert_eq!(text(&captured.stderr), "done");
}

#[tokio::test]
async fn a_leftover_is_found_by_its_identity_and_signalled() {
    let mut child = shell("exec sleep 1000").start().unwrap();
    let identity = child.identity().unwrap();
    let handle = identity.open().unwrap().unwrap();
    assert!(!handle.has_ended().unwrap());
    assert!(handle.signal(Signal::SIGTERM).unwrap());
    tokio::time::timeout(DEADLINE, handle.ended()).await.unwrap().unwrap();
    // A zombie until it is waited for: dead for everybody else.
    assert!(handle.has_ended().unwrap());
    assert!(!identity.is_alive().unwrap());
    assert!(identity.open().unwrap().is_none());
    assert_eq!(child.wait().await.unwrap(), ChildEnding::Signalled(15));
}

#[tokio::test]
async fn a_dropped_child_is_killed() {
    let child = shell("exec sleep 1000").start().unwrap();
    let handle = child.identity().unwrap().open().unwrap().unwrap();
    drop(child);
    tokio::time::timeout(DEADLINE, handle.ended()).await.unwrap().unwrap();
}

#[tokio::test]
async fn orphans_are_nobodys_business_in_a_process_that_does_not_take_them_in() {
    let stranger = Stranger(std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap());
    assert_eq!(end_orphans().unwrap(), 0);
    assert!(ProcessIdentity::of(stranger.0.id()).unwrap().is_some());
}

struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
