//! A new trust bundle reaches what cannot reload it by restarts: one replica at a time, while clients are served.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::io::Write as _;
use std::time::Duration;

use end_to_end::{ControlPlane, Writer, client, create_namespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_bundle_restarts_one_replica_at_a_time() {
    let plane = ControlPlane::ready(&[]).await;
    let client = client(&plane.kubeconfig()).await;
    create_namespace(&client, "writes").await;
    let before = plane.status().await.unwrap();
    let writer = Writer::start(client, "writes", Duration::from_millis(50));

    // The certificate-authority would publish its own bundle again at once; its rotation comes with a later slice.
    let authority = before.iter().find(|it| it.component == "certificate-authority").unwrap();
    kill(Pid::from_raw(authority.supervisor_pid.unwrap().cast_signed()), Signal::SIGSTOP).unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let another = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let bundle = plane.state_directory().join("trust/etcd.crt");
    let mut file = std::fs::OpenOptions::new().append(true).open(bundle).unwrap();
    file.write_all(another.pem().as_bytes()).unwrap();

    let readers = ["etcd", "kube-apiserver"];
    plane
        .until("all that read the bundle took it up", Duration::from_secs(90), |now| {
            for component in readers {
                // By state: while etcd's leadership moves, a running member answers no linearizable read for a moment.
                let away = now.iter().filter(|it| it.component == component && it.state != "Running").count();
                assert!(away <= 1, "more than one {component} is away: {now:#?}");
            }
            now.iter()
                .filter(|it| readers.contains(&it.component.as_str()))
                .all(|it| it.ready && it.restarts == 1)
        })
        .await;

    for before in before.iter().filter(|it| !readers.contains(&it.component.as_str())) {
        let now = plane.instance(&before.name).await;
        assert_eq!((now.pid, now.restarts), (before.pid, 0), "{} has nothing to take up", before.name);
    }
    let report = writer.stop_and_check().await;
    println!(
        "new bundle: {} writes acknowledged, longest gap {:?}, failed: {:?}",
        report.acknowledged.len(),
        report.longest_gap,
        report.failed
    );
}
