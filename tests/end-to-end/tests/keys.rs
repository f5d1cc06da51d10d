//! Keys that are lost, damaged, swapped or open, and leaves with wrong times, between a stop and the next start.
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
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{ControlPlane, client, create_namespace};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use process_control::ChildEnding;

/// The smallest control plane.
const SMALL: [&str; 4] = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];
const READY_LIMIT: Duration = Duration::from_secs(120);

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

    // As after a clock that was a day ahead, or days behind: good signatures, wrong times. Nobody uses them. What is
    // good now is used, also if it was made by us here.
    let leaf = |instance: &str, profile: &str| {
        state.join("instances").join(instance).join("runtime/certificates").join(profile)
    };
    let ahead = leaf("kube-scheduler-0", "scheduler-client");
    let behind = leaf("cluster-bootstrap-0", "cluster-bootstrap-client");
    let good = leaf("kube-controller-manager-0", "controller-manager-client");
    let leaves = [
        (&ahead, sign_anew(&authority, &ahead, "system:kube-scheduler", time::Duration::days(1))),
        (&behind, sign_anew(&authority, &behind, "pilothouse:cluster-bootstrap", time::Duration::days(-5))),
        (&good, sign_anew(&authority, &good, "system:kube-controller-manager", time::Duration::hours(-1))),
    ];
    plane.start();
    plane.until_ready(READY_LIMIT).await;
    for (directory, made_here) in leaves {
        let kept = fs::read_to_string(directory.join("tls.crt")).unwrap() == made_here;
        assert_eq!(kept, *directory == good, "{}", directory.display());
    }
    let namespaces: Api<Namespace> = Api::all(client(&plane.kubeconfig()).await);
    assert!(namespaces.get_opt("kept").await.unwrap().is_some(), "what was written before is still there");
}

/// Replaces a client's leaf by one for the same key that is good for three days from `begins` on, counted from now.
fn sign_anew(authority: &Path, leaf: &Path, subject: &str, begins: time::Duration) -> String {
    let text = |path: PathBuf| fs::read_to_string(path).unwrap();
    let key = |path| rcgen::KeyPair::from_pem(&text(path)).unwrap();
    let (certificate, own_key) = (text(authority.join("cluster.crt")), key(authority.join("cluster.key")));
    let issuer = rcgen::Issuer::from_ca_cert_pem(&certificate, own_key).unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, subject);
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    parameters.not_before = time::OffsetDateTime::now_utc() + begins;
    parameters.not_after = parameters.not_before + time::Duration::days(3);
    let certificate = parameters.signed_by(&key(leaf.join("tls.key")), &issuer).unwrap().pem();
    fs::write(leaf.join("tls.crt"), &certificate).unwrap();
    certificate
}

/// Does something to `file`, sees `up` refuse to go on with a text that names it and has all of `parts`, puts it back.
async fn refused_while(plane: &mut ControlPlane, file: &Path, harm: impl FnOnce(), parts: &[&str]) {
    let (good, mode) = (fs::read(file).unwrap(), fs::metadata(file).unwrap().permissions());
    harm();
    plane.refused(&[&[file.to_str().unwrap()], parts].concat()).await;
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
    plane.refused(&[authority.to_str().unwrap(), "another control plane"]).await;
    fs::remove_dir_all(authority).unwrap();
    fs::rename(&elsewhere, authority).unwrap();
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
