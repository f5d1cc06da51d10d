//! A hostname of one's own, with and without privileges.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes only #[test] functions of an integration test for tests"
)]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use process_control::{Captured, ChildEnding, Spawn, SpawnError, capture};

const DEADLINE: Duration = Duration::from_secs(30);

async fn run(spawn: Spawn) -> Captured {
    capture(&spawn.from_thread_that_outlives_it(), DEADLINE).await.unwrap()
}

/// Hostname, user and group as the child sees them.
async fn look(hostname: &str) -> String {
    let script = "cat /proc/sys/kernel/hostname; id -u; id -g";
    let captured = run(Spawn::new("/bin/sh").arguments(["-c", script]).hostname(hostname)).await;
    assert_eq!(captured.ending, ChildEnding::Exited(0), "{captured:?}");
    String::from_utf8(captured.stdout).unwrap().split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_child_has_its_own_hostname_and_we_keep_ours() {
    let ours = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    assert_eq!(look("kube-apiserver-1").await, format!("kube-apiserver-1 {user} {group}"));
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), ours);
}

#[tokio::test]
async fn a_hostname_that_the_kernel_refuses_is_told_as_such() {
    let error =
        Spawn::new("/bin/true").hostname("x".repeat(65)).from_thread_that_outlives_it().start().unwrap_err();
    assert!(matches!(error, SpawnError::Hostname { .. }), "{error:?}");
}

/// The thread that spawned ends: the child must follow, whichever way it got its hostname.
#[test]
fn a_child_with_a_hostname_dies_with_the_thread_that_spawned_it() {
    let spawned = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let spawn = Spawn::new("/bin/sleep")
                .arguments(["1000"])
                .hostname("etcd-0")
                .from_thread_that_outlives_it();
            let child = spawn.start().unwrap();
            let identity = child.identity().unwrap();
            // Not dropped, which would kill it.
            std::mem::forget(child);
            identity
        })
    });
    let identity = spawned.join().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if let Some(handle) = identity.open().unwrap() {
            tokio::time::timeout(DEADLINE, handle.ended()).await.unwrap().unwrap();
        }
    });
}

#[tokio::test]
async fn without_privileges_a_user_namespace_gives_the_hostname() {
    if !nix::unistd::geteuid().is_root() {
        // Then the tests above have shown it.
        return;
    }
    // This very test program as nobody, from where nobody may read it.
    let directory =
        tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let program = directory.path().join("hostname-tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let captured = run(Spawn::new("/usr/bin/setpriv")
        .arguments(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arguments([program.as_os_str()])
        .arguments(["--nocapture", "a_child"]))
    .await;
    let output = String::from_utf8_lossy(&captured.stdout).into_owned();
    assert_eq!(
        captured.ending,
        ChildEnding::Exited(0),
        "{output}\n{}",
        String::from_utf8_lossy(&captured.stderr)
    );
    assert!(output.contains("2 passed"), "{output}");
}
