//! A clock that is far off, as our processes see it: the error names the clock, and nothing is harmed.
#![allow(clippy::unwrap_used, reason = "test code: a broken expectation is a failed test")]

use std::time::Duration;

use end_to_end::{ControlPlane, client, create_namespace, fake_clock};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use process_control::ChildEnding;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_before_the_authority_began_is_named_and_harms_nothing() {
    let small = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];
    let mut plane = ControlPlane::ready(&small).await;
    create_namespace(&client(&plane.kubeconfig()).await, "kept").await;
    assert_eq!(plane.stop().await, ChildEnding::Exited(0), "{}", plane.output());

    let library = fake_clock();
    plane.set_environment(&[
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", "-30d"),
        // Only the date is wrong; time goes on as ever.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]);
    plane.start();
    assert_eq!(plane.ended().await, ChildEnding::Exited(1), "{}", plane.output());
    let said = plane.output();
    for word in ["certificate-authority-0 cannot run like this", "clock says", "set the clock right"] {
        assert!(said.contains(word), "{word} is not in: {said}");
    }

    plane.set_environment(&[]);
    plane.start();
    plane.until_ready(Duration::from_secs(120)).await;
    let namespaces: Api<Namespace> = Api::all(client(&plane.kubeconfig()).await);
    assert!(namespaces.get_opt("kept").await.unwrap().is_some(), "what was written before is still there");
}
