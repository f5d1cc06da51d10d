//! A control plane of somebody who may do nothing in particular: ready, and its leases still tell who leads.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use end_to_end::{ControlPlane, Nobody, client, eventually, lease_holder};
use process_control::{ChildEnding, Spawn, capture};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_without_root_tells_its_leaders_apart() {
    let mut plane =
        ControlPlane::planned(&["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"]);
    let unshare = Path::new("/usr/bin/unshare");
    let unshare = if nix::unistd::geteuid().is_root() {
        plane.give_to_nobody();
        Nobody::runs(unshare)
    } else {
        Spawn::new(unshare)
    };
    let hostnames = hostnames_are_allowed(unshare).await;
    plane.start();
    plane.until_ready(Duration::from_secs(120)).await;

    let server = plane.instance("kube-apiserver-0").await;
    let owner = std::fs::metadata(format!("/proc/{}", server.pid.unwrap())).unwrap().uid();
    assert_ne!(owner, 0, "{server:?}");

    let client = client(&plane.kubeconfig()).await;
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let holder =
            eventually(&format!("{component} leads"), Duration::from_secs(20), async || match lease_holder(
                &client, component,
            )
            .await
            {
                Ok(Some(holder)) => Ok(holder),
                other => Err(other),
            })
            .await;
        let instance = plane.instance(&format!("{component}-0")).await;
        let clearing = instance.details.get("leaseClearing");
        if hostnames {
            assert!(holder.starts_with(&format!("{component}-0_")), "{holder}");
            assert_eq!(clearing, None);
        } else {
            println!("this machine gives users without privileges no hostname of their own: {clearing:?}");
            assert!(clearing.is_some_and(|clearing| clearing.starts_with("off: ")), "{clearing:?}");
        }
    }
}

/// Whether this machine lets that user have a hostname in a user namespace, asked without any code of ours.
async fn hostnames_are_allowed(unshare: Spawn) -> bool {
    let probe = unshare
        .arguments(["--user", "--map-root-user", "--uts", "/bin/hostname", "probe"])
        .from_thread_that_outlives_it();
    capture(&probe, Duration::from_secs(20)).await.unwrap().ending == ChildEnding::Exited(0)
}
