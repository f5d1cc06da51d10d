//! What may happen to a control plane that has data: a second start, lost and swapped keys, a full disk, a wrong clock.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{
    ControlPlane, assert_nothing_left, client, components, create_namespace, eventually, inside_namespaces,
    shell,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use process_control::ChildEnding;
use tokio::time::Instant;

/// The smallest control plane.
const SMALL: [&str; 4] = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];
const READY_LIMIT: Duration = Duration::from_secs(120);
/// From the start of `pilothouse up` to its end, when a supervisor says that this can never work.
const REFUSED_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_up_is_refused_and_tokens_open_only_what_is_theirs() {
    let plane = ControlPlane::ready(&SMALL).await;
    let before = plane.status().await.unwrap();
    let components = components();
    let up = ["up", "--components", components.to_str().unwrap()];
    let detached = [&up[..], &["--detach"]].concat();
    for arguments in [&up[..], &detached] {
        let (code, _, error) = plane.command(arguments).await;
        let holder = format!("process id {}", plane.pid());
        assert!(code == 1 && error.contains(&holder) && error.contains("pilothouse down"), "{code}: {error}");
    }
    let after = plane.status().await.unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert!(
            after.ready && after.pid == before.pid && after.supervisor_pid == before.supervisor_pid,
            "{after:?}"
        );
    }

    let supervisor = plane.instance("kube-scheduler-0").await.supervisor_pid.unwrap();
    let authority = argument_of(supervisor, "--authority-url");
    let own =
        fs::read_to_string(plane.state_directory().join("instances/kube-scheduler-0/caller-token")).unwrap();
    let ask = async |path: &str, token: &str| {
        mutual_tls::install_provider();
        let trust = plane.state_directory().join("trust/cluster.crt");
        let client = mutual_tls::http_client(&trust, None, Duration::from_secs(10)).unwrap();
        let answer = client.get(format!("{authority}{path}")).bearer_auth(token.trim()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (code, body) = ask("/v1/certificates/scheduler-client", &own).await;
    assert_eq!(code, 200, "{body}");
    for forbidden in ["certificates/etcd-server", "certificates/administrator", "shared-keys/cluster-signing"]
    {
        let (code, body) = ask(&format!("/v1/{forbidden}"), &own).await;
        assert!(code == 403 && body.contains("kube-scheduler may not have"), "{forbidden}: {code}: {body}");
    }

    let mut other = ControlPlane::starting(&SMALL);
    let token = other.state_directory().join("instances/kube-scheduler-0/caller-token");
    let foreign = eventually("another control plane's token", Duration::from_secs(30), async || {
        fs::read_to_string(&token).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(other.stop().await, ChildEnding::Exited(0));
    let (code, body) = ask("/v1/certificates/scheduler-client", &foreign).await;
    assert!(code == 401 && body.contains("not known") && body.contains("remedy"), "{code}: {body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_lost_damaged_swapped_or_open_are_refused_and_no_data_is_harmed() {
    let mut plane = ControlPlane::ready(&SMALL).await;
    create_namespace(&client(&plane.kubeconfig()).await, "kept").await;
    assert_eq!(plane.stop().await, ChildEnding::Exited(0), "{}", plane.output());

    let state = plane.state_directory();
    let authority = state.join("authority");
    let (certificate, key) = (authority.join("cluster.crt"), authority.join("etcd.key"));
    let (other_certificate, other_key) = (authority.join("front-proxy.crt"), authority.join("cluster.key"));
    // etcd itself starts with leaves that are still good and ends again: its files may change, what is in them not.
    let files = || [fingerprint(&authority), fingerprint(&state.join("trust"))];
    let before = files();
    let backup = "from a backup";

    refused_while(&mut plane, &key, || fs::remove_file(&key).unwrap(), &["missing", backup]).await;
    refused_while(&mut plane, &certificate, || truncate(&certificate), &["damaged", backup]).await;
    refused_while(&mut plane, &key, || truncate(&key), &["damaged", backup]).await;
    refused_while(&mut plane, &key, || fs::write(&key, "").unwrap(), &["empty", backup]).await;
    let swap = || assert!(fs::copy(&other_certificate, &certificate).is_ok());
    refused_while(&mut plane, &certificate, swap, &["another certificate", backup]).await;
    let swap = || assert!(fs::copy(&other_key, &key).is_ok());
    refused_while(&mut plane, &key, swap, &["is not the key of", backup]).await;
    let open = || fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused_while(&mut plane, &key, open, &["accessible to others", "0644", "chmod 600"]).await;
    refused_while_directory_is_gone(&mut plane, &authority).await;

    assert!(files() == before, "keys and bundles are as they were");

    // As after a clock that was a day ahead, or behind: good signatures, wrong times. Nobody uses them.
    let leaves = state.join("instances/kube-scheduler-0/runtime/certificates");
    let (ahead, behind) = (leaves.join("scheduler-client"), leaves.join("scheduler-serving"));
    sign_anew(&authority, &ahead, time::Duration::days(1));
    sign_anew(&authority, &behind, time::Duration::days(-5));
    let wrong = [fs::read(ahead.join("tls.crt")).unwrap(), fs::read(behind.join("tls.crt")).unwrap()];
    plane.start();
    plane.until_ready(READY_LIMIT).await;
    for (directory, wrong) in [ahead, behind].iter().zip(wrong) {
        assert_ne!(
            fs::read(directory.join("tls.crt")).unwrap(),
            wrong,
            "{} is still there",
            directory.display()
        );
    }
    let namespaces: Api<Namespace> = Api::all(client(&plane.kubeconfig()).await);
    assert!(namespaces.get_opt("kept").await.unwrap().is_some(), "what was written before is still there");
}

/// Replaces a leaf by one for the same key and name that is good for three days from `begins` on, counted from now.
fn sign_anew(authority: &Path, leaf: &Path, begins: time::Duration) {
    let text = |path: PathBuf| fs::read_to_string(path).unwrap();
    let key = |path| rcgen::KeyPair::from_pem(&text(path)).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(
        &text(authority.join("cluster.crt")),
        key(authority.join("cluster.key")),
    )
    .unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "system:kube-scheduler");
    parameters.not_before = time::OffsetDateTime::now_utc() + begins;
    parameters.not_after = parameters.not_before + time::Duration::days(3);
    let certificate = parameters.signed_by(&key(leaf.join("tls.key")), &issuer).unwrap();
    fs::write(leaf.join("tls.crt"), certificate.pem()).unwrap();
}

/// Does something to `file`, sees `up` refuse to go on with a text that names it and has all of `parts`, puts it back.
async fn refused_while(plane: &mut ControlPlane, file: &Path, harm: impl FnOnce(), parts: &[&str]) {
    let (good, mode) = (fs::read(file).unwrap(), fs::metadata(file).unwrap().permissions());
    harm();
    refused(plane, &[&[file.to_str().unwrap()], parts].concat()).await;
    fs::write(file, good).unwrap();
    fs::set_permissions(file, mode).unwrap();
}

/// New keys in the place of lost ones would lock the whole cluster out.
async fn refused_while_directory_is_gone(plane: &mut ControlPlane, authority: &Path) {
    let kept = authority.with_file_name("kept-authority");
    fs::rename(authority, &kept).unwrap();
    // What lies in the state directory is looked at by name: the copy is out of the way.
    let elsewhere = authority.parent().unwrap().with_file_name("kept-authority");
    fs::rename(&kept, &elsewhere).unwrap();
    refused(plane, &[authority.to_str().unwrap(), "another control plane"]).await;
    fs::remove_dir_all(authority).unwrap();
    fs::rename(&elsewhere, authority).unwrap();
}

/// Starts it and sees it end by itself with code 1 and all of `parts` in what it says; nothing of it goes on.
async fn refused(plane: &mut ControlPlane, parts: &[&str]) {
    let said_before = plane.output().len();
    let began = Instant::now();
    plane.start();
    let ending = plane.ended().await;
    let output = plane.output();
    let said = output[said_before..].to_owned();
    println!(
        "{parts:?} after {:?}:\n{}",
        began.elapsed(),
        said.lines().rev().take(3).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(ending, ChildEnding::Exited(1), "{said}");
    assert!(began.elapsed() < REFUSED_LIMIT, "{:?}: {said}", began.elapsed());
    let told = &said[said.rfind("pilothouse: ").unwrap_or_default()..];
    for part in parts {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    assert_nothing_left(&plane.state_directory(), Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_flag_of_upstream_is_named_and_no_crash_loop() {
    let with = |argument: &'static str| [&SMALL[..], &[argument]].concat();
    let mut plane = ControlPlane::planned(&with("--kube-apiserver-argument=--no-such-flag=1"));
    refused(&mut plane, &["kube-apiserver", "--no-such-flag", "correct or remove"]).await;
    let log = fs::read_to_string(plane.state_directory().join("instances/kube-apiserver-0/log")).unwrap();
    assert_eq!(log.matches("component_runtime::run: started").count(), 1, "started once, never again: {log}");
    plane.set_arguments(&with("--etcd-argument=--no-such-flag"));
    refused(&mut plane, &["etcd", "no-such-flag", "correct or remove"]).await;
    plane.set_arguments(&with("--kube-apiserver-argument=--secure-port=1"));
    refused(&mut plane, &["--secure-port", "remove it"]).await;
    plane.set_arguments(&with("--lifetime=etcd-server=1s"));
    refused(&mut plane, &["etcd-server", "--lifetime"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_everything_goes_on_when_there_is_space_again() {
    let own_name = "a_full_disk_is_named_and_everything_goes_on_when_there_is_space_again";
    if !inside_namespaces(own_name, &["--mount"], Duration::from_secs(400)).await {
        return;
    }
    let mut plane = ControlPlane::planned(&SMALL);
    let state = plane.state_directory();
    let disk = Disk::mounted_at(&state, "16k").await;
    refused(&mut plane, &[state.to_str().unwrap(), "disk is full", "free space"]).await;

    // Enough for everything but etcd, which takes 64 MB for its log at once.
    disk.resize("24m").await;
    plane.start();
    names_the_disk(&plane).await;
    disk.resize("1g").await;
    plane.until_ready(READY_LIMIT).await;
    create_namespace(&client(&plane.kubeconfig()).await, "kept").await;

    // Full while everything runs. etcd holds what it needs for a while; a new one does not start into it.
    disk.fill();
    end(plane.instance("etcd-0").await.pid.unwrap());
    names_the_disk(&plane).await;
    let supervisors = plane.status().await.unwrap();
    assert!(supervisors.iter().all(|instance| instance.supervisor_pid.is_some()), "{supervisors:#?}");
    assert_eq!(plane.stop().await, ChildEnding::Exited(0), "{}", plane.output());
    assert_nothing_left(&state, Duration::from_secs(2)).await;
    refused(&mut plane, &[state.to_str().unwrap(), "disk is full", "free space"]).await;

    disk.free();
    plane.start();
    plane.until_ready(READY_LIMIT).await;
    let namespaces: Api<Namespace> = Api::all(client(&plane.kubeconfig()).await);
    assert!(namespaces.get_opt("kept").await.unwrap().is_some(), "what was written before is still there");
    assert_eq!(plane.stop().await, ChildEnding::Exited(0), "{}", plane.output());
    disk.unmount().await;
}

async fn names_the_disk(plane: &ControlPlane) {
    let data = plane.state_directory().join("instances/etcd-0/data");
    let wanted = format!("the disk of {} is full", data.display());
    eventually("the status names the disk", Duration::from_secs(60), async || {
        let (_, table, error) = plane.command(&["status"]).await;
        if table.contains(&wanted) && table.contains("free space") {
            Ok(())
        } else {
            Err(format!("{table}{error}"))
        }
    })
    .await;
}

fn end(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// A small file system of our own mount namespace; it vanishes with the last process in there.
struct Disk(PathBuf);

impl Disk {
    async fn mounted_at(directory: &Path, size: &str) -> Self {
        fs::create_dir(directory).unwrap();
        let path = directory.display();
        shell(&format!("mount -t tmpfs -o mode=0700,size={size} pilothouse-test {path}")).await;
        Self(directory.to_owned())
    }

    async fn resize(&self, size: &str) {
        shell(&format!("mount -o remount,size={size} {}", self.0.display())).await;
    }

    /// Until not one page is left.
    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("run/filler")).unwrap();
        let block = vec![0_u8; 4096];
        while filler.write_all(&block).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("run/filler")).unwrap();
    }

    async fn unmount(self) {
        shell(&format!("umount {}", self.0.display())).await;
    }
}

/// Names and contents below a directory, in order.
fn fingerprint(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let below = |path: PathBuf| {
        if path.is_dir() { fingerprint(&path) } else { vec![(path.clone(), fs::read(&path).unwrap())] }
    };
    entries.into_iter().flat_map(below).collect()
}

fn truncate(file: &Path) {
    let content = fs::read(file).unwrap();
    fs::write(file, &content[..content.len() / 2]).unwrap();
}

/// The value after a flag in the command line of a process.
fn argument_of(pid: u32, flag: &str) -> String {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let mut words = line.split('\0').skip_while(|word| *word != flag);
    words.nth(1).unwrap_or_else(|| panic!("no {flag} in {line}")).to_owned()
}
