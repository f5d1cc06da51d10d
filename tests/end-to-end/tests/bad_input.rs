//! What a person may get wrong at the command line: an error that names the thing and the remedy, and nothing is lost.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and files are damaged in place as people and disks do it"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use end_to_end::{
    ControlPlane, assert_nothing_left, components, eventually, inside_namespaces, pilothouse, shell,
};
use process_control::ChildEnding;
use tempfile::TempDir;

/// The smallest control plane.
const SMALL: [&str; 4] = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];

/// Runs `pilothouse ARGUMENTS`, which must be refused with `code` and a text with all of `parts`.
async fn refused(arguments: &[&str], state: &Path, code: i32, parts: &[&str]) {
    let (ended, output, error) = pilothouse(arguments, state).await;
    println!("{arguments:?}: {error}");
    assert_eq!(ended, code, "{arguments:?}: {output}{error}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?}: no {part:?} in {error:?}");
    }
    assert!(!error.contains("panicked"), "{error}");
}

/// `up` with these further arguments must be refused so.
async fn up_refused(arguments: &[&str], state: &Path, code: i32, parts: &[&str]) {
    let components = components();
    let up = [&["up", "--components", components.to_str().unwrap()], arguments].concat();
    refused(&up, state, code, parts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_flags_are_told_with_what_to_give_instead_and_leave_no_trace() {
    let directory = TempDir::new().unwrap();
    let state = directory.path().join("state");
    up_refused(&["--etcd", "2"], &state, 2, &["--etcd 2", "1, 3 or 5"]).await;
    up_refused(&["--api-servers", "0"], &state, 2, &["--api-servers 0", "1 to 8"]).await;
    up_refused(
        &["--advertise-address", "127.0.0.1"],
        &state,
        2,
        &["--advertise-address 127.0.0.1", "clients elsewhere"],
    )
    .await;
    up_refused(
        &["--service-subnet", "10.0.0.0/16", "--pod-subnet", "10.0.0.0/8"],
        &state,
        2,
        &["10.0.0.0/16", "10.0.0.0/8", "no address in common"],
    )
    .await;
    up_refused(&["--certificate-name", "no name"], &state, 2, &["no name", "DNS name"]).await;
    refused(&["up", "--no-such-flag"], &state, 2, &["--no-such-flag", "--help"]).await;
    assert!(!state.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binaries_that_are_missing_old_or_something_else_are_named() {
    let directory = TempDir::new().unwrap();
    let (state, fake) = (directory.path().join("state"), directory.path().join("components"));
    fs::create_dir(&fake).unwrap();
    let given = fake.to_str().unwrap();
    let program = |name: &str| fake.join(name);
    let real = |name: &str| {
        let _absent = fs::remove_file(program(name));
        symlink(components().join(name), program(name)).unwrap();
    };
    let script = |name: &str, content: &str| {
        let _absent = fs::remove_file(program(name));
        fs::write(program(name), content).unwrap();
        fs::set_permissions(program(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let up = ["up", "--components", given];
    for name in ["etcd", "kube-apiserver", "kube-controller-manager"] {
        real(name);
    }
    let scheduler = program("kube-scheduler");
    refused(&up, &state, 1, &[scheduler.to_str().unwrap(), "cargo xtask components"]).await;
    fs::write(&scheduler, "not a program").unwrap();
    refused(&up, &state, 1, &[scheduler.to_str().unwrap(), "not executable", "chmod +x"]).await;
    script("kube-scheduler", "not a program");
    refused(&up, &state, 1, &[scheduler.to_str().unwrap(), "no version", "xtask components"]).await;
    let others = ["kube-apiserver", "kube-controller-manager"];
    for name in others {
        script(name, "#!/bin/sh\necho Kubernetes v1.37.2\n");
    }
    script("kube-scheduler", "#!/bin/sh\necho Kubernetes v1.36.3\n");
    let parts = [scheduler.to_str().unwrap(), "1.36.3", "kube-apiserver is 1.37.2", "one minor version"];
    refused(&up, &state, 1, &parts).await;
    for name in others {
        real(name);
    }
    real("kube-scheduler");
    script("kube-apiserver", "#!/bin/sh\necho Kubernetes v1.29.0\n");
    let server = program("kube-apiserver");
    refused(
        &up,
        &state,
        1,
        &[server.to_str().unwrap(), "1.29.0", "supported are 1.35, 1.36 and 1.37", "xtask components"],
    )
    .await;
    real("kube-apiserver");
    script("etcd", "#!/bin/sh\necho etcd Version: 3.5.9\n");
    refused(&up, &state, 1, &[program("etcd").to_str().unwrap(), "3.5.9", "supported are 3.6"]).await;
    real("etcd");
    let up = [&up[..], &["--cloud-controller-manager", "/nowhere/cloud-controller-manager"]].concat();
    refused(&up, &state, 1, &["/nowhere/cloud-controller-manager", "--cloud-controller-manager"]).await;
    let up = ["up", "--components", given, "--supervisors", given];
    refused(&up, &state, 1, &["certificate-authority", "--supervisors"]).await;
    assert!(!state.join("pilothouse.json").exists(), "nothing is remembered of what never worked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named_with_its_holder() {
    let directory = TempDir::new().unwrap();
    let state = directory.path().join("state");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let holder = format!("process id {}", std::process::id());
    up_refused(&["--port", &port], &state, 1, &[&address.to_string(), &holder, "another --port"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_not_ours_or_not_there_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let absent = directory.path().join("absent");
    for command in [&["kubeconfig"][..], &["status"], &["logs", "etcd"]] {
        refused(command, &absent, 1, &["no control plane test", absent.to_str().unwrap(), "pilothouse up"])
            .await;
    }
    let (code, said, _) = pilothouse(&["down"], &absent).await;
    assert!(code == 0 && said.contains("no control plane test"), "{code}: {said}");
    assert!(!absent.exists());

    let foreign = directory.path().join("foreign");
    fs::create_dir_all(foreign.join("photos")).unwrap();
    fs::write(foreign.join("photos/cat.jpg"), "cat").unwrap();
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o755)).unwrap();
    let wanted = [foreign.to_str().unwrap(), "not a state directory", "another --state-dir"];
    up_refused(&[], &foreign, 1, &wanted).await;
    for command in [&["down", "--purge"][..], &["down"], &["status"], &["kubeconfig"]] {
        refused(command, &foreign, 1, &wanted).await;
    }
    assert_eq!(fs::read(foreign.join("photos/cat.jpg")).unwrap(), b"cat");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "nothing was added");
    assert_eq!(fs::metadata(&foreign).unwrap().permissions().mode() & 0o777, 0o755);
    let file = directory.path().join("file");
    fs::write(&file, "content").unwrap();
    up_refused(&[], &file, 1, &[file.to_str().unwrap(), "another --state-dir"]).await;
    refused(&["down", "--purge"], &file, 1, &[file.to_str().unwrap()]).await;
    assert_eq!(fs::read(&file).unwrap(), b"content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_written_is_named() {
    let own_name = "a_directory_that_cannot_be_written_is_named";
    if !inside_namespaces(own_name, &["--mount"], Duration::from_secs(60)).await {
        return;
    }
    // Root writes wherever modes allow nobody: only a read-only file system refuses it.
    let directory = TempDir::new().unwrap();
    let mount = directory.path().display();
    shell(&format!("mount -t tmpfs -o ro,size=64k pilothouse-test {mount}")).await;
    let state = directory.path().join("state");
    up_refused(&[], &state, 1, &[state.to_str().unwrap(), "make it accessible", "another --state-dir"]).await;
    shell(&format!("umount {mount}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_while_starting_and_then_everything_that_can_be_wrong_with_what_it_left() {
    let mut plane = ControlPlane::starting(&SMALL);
    let state = plane.state_directory();
    let log = state.join("instances/certificate-authority-0/log");
    eventually("the first supervisor writes", Duration::from_secs(30), async || {
        fs::metadata(&log).map_err(|error| error.to_string()).map(|_| ())
    })
    .await;
    let (code, table, error) = plane.command(&["status"]).await;
    assert!(code == 3 && table.contains("kube-apiserver-0"), "not ready is 3: {code}: {table}{error}");
    let (code, json, _) = plane.command(&["status", "-o", "json"]).await;
    assert!(
        code == 3 && serde_json::from_str::<serde_json::Value>(&json).unwrap().is_array(),
        "{code}: {json}"
    );
    let (code, logs, error) = plane.command(&["logs", "certificate-authority"]).await;
    assert!(code == 0 && logs.contains("CA keys"), "{code}: {logs}{error}");
    refused(&["logs", "kubelet"], &state, 1, &["no kubelet", "kube-apiserver", "etcd"]).await;

    let (code, said, error) = plane.command(&["down"]).await;
    assert!(code == 0 && said.contains("its data is kept"), "{code}: {said}{error}");
    assert_eq!(plane.ended().await, ChildEnding::Exited(0), "{}", plane.output());
    assert_nothing_left(&state, Duration::from_secs(2)).await;
    let (code, said, _) = plane.command(&["down"]).await;
    assert!(code == 0 && said.contains("was not running"), "down twice is fine: {code}: {said}");
    let (code, table, error) = plane.command(&["status"]).await;
    assert!(code == 3 && table.contains("pilothouse up"), "{code}: {table}{error}");

    up_refused(&["--etcd", "3"], &state, 2, &["--etcd 3", "made with 1", "cannot be changed"]).await;
    let components = components();
    let as_other = ["up", "--components", components.to_str().unwrap(), "--name", "other"];
    assert_other_name(&as_other, &state).await;
    assert_other_name(&["down", "--purge", "--name", "other"], &state).await;

    // The ports of its instances are its own since it was made.
    let manifest = state.join("pilothouse.json");
    let good = fs::read_to_string(&manifest).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&good).unwrap();
    let block = u16::try_from(parsed["portBlock"].as_u64().unwrap()).unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", block)).unwrap();
    let port = plane.port().to_string();
    let holder = format!("process id {}", std::process::id());
    up_refused(
        &["--port", &port],
        &state,
        1,
        &[&format!("127.0.0.1:{block}"), &holder, "-0", "end that process"],
    )
    .await;
    drop(taken);

    let named = manifest.to_str().unwrap();
    for damaged in [&good[..good.len() / 2], "", "{\"formatVersion\": 1, \"name\": \"test\"}"] {
        fs::write(&manifest, damaged).unwrap();
        up_refused(&[], &state, 1, &[named, "damaged", "restore it from a copy"]).await;
        for command in [&["status"][..], &["down"], &["down", "--purge"]] {
            refused(command, &state, 1, &[named, "damaged"]).await;
        }
    }
    fs::write(&manifest, good.replace("\"formatVersion\": 1", "\"formatVersion\": 7")).unwrap();
    let wanted = [state.to_str().unwrap(), "format version 7", "use the pilothouse that made it"];
    up_refused(&[], &state, 1, &wanted).await;
    refused(&["down", "--purge"], &state, 1, &wanted).await;
    assert!(state.join("authority/cluster.key").exists(), "the keys are still there");
    fs::write(&manifest, &good).unwrap();

    let (code, said, error) = plane.command(&["down", "--purge"]).await;
    assert!(code == 0 && said.contains("removed"), "{code}: {said}{error}");
    assert!(!state.exists());
}

async fn assert_other_name(arguments: &[&str], state: &Path) {
    // Of a flag given twice clap takes none: the helper must not add its own name.
    let spawn = process_control::Spawn::new(end_to_end::binary("pilothouse"))
        .arguments(arguments)
        .arguments([Path::new("--state-dir"), state])
        .from_thread_that_outlives_it();
    let captured = process_control::capture(&spawn, Duration::from_secs(60)).await.unwrap();
    let error = String::from_utf8_lossy(&captured.stderr).into_owned();
    assert_eq!(captured.ending, ChildEnding::Exited(1), "{error}");
    for part in [state.to_str().unwrap(), "belongs to the control plane test", "--name test"] {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }
}
