//! Every change of a hosted control plane, disturbed at random moments from a seed, while clients work and check: requests may
//! fail, but nothing acknowledged is lost, no event is missed, nobody leads twice, and each change comes to its end.
//! `PILOTHOUSE_SEED=NUMBER cargo xtask test --step hosted-faults` repeats one.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

#[path = "hosted_faults/doing.rs"]
mod doing;
#[path = "hosted_faults/plan.rs"]
mod plan;

use std::time::Duration;

use hosted_control_plane::{Load, Release, Scene, Tenant, on_three_nodes};
use tokio::time::{Instant, sleep};

use doing::{Doing, befall};
use plan::trials;

const HIGHLY_AVAILABLE: usize = 12;
const LIMIT: Duration = Duration::from_secs(300);
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes twelve minutes; cargo xtask test --step hosted-faults"]
async fn every_change_comes_to_its_end_whatever_happens_meanwhile() {
    let seed = std::env::var("PILOTHOUSE_SEED").map_or(SEED, |text| text.parse().expect("a number"));
    let settings = [
        &*Release::values_file("values-ha.yaml"),
        // As few seconds as the rotations' stages bear, and as API servers need to be left by their Service.
        "--set=apiServer.drain.delaySeconds=8",
        "--set=apiServer.drain.watchGraceSeconds=8",
        "--set=certificateAuthority.rotation.serviceAccountKeyOverlap=30s",
        "--set=certificateAuthority.rotation.certificateAuthorityOverlap=30s",
    ];
    on_three_nodes("faults", &settings, HIGHLY_AVAILABLE, async |scene, tenant| {
        Box::pin(all_changes(scene, tenant, seed)).await;
    })
    .await;
}

async fn all_changes(scene: &Scene<'_>, tenant: &Tenant, seed: u64) {
    let mut doing = Doing { scene, tenant, values: Vec::new() };
    for trial in trials(seed) {
        let what = format!("seed {seed}: {:?}", trial.change);
        println!("{what}, disturbed by {:?}", trial.steps);
        let load = Load::start(scene.cluster, 1, scene.hosted).await;
        load.mark(&what);
        let began = Instant::now();
        let faults = async {
            for step in &trial.steps {
                sleep(step.after).await;
                load.mark(&format!("{:?}", step.fault));
                befall(scene, tenant, step.fault).await;
            }
        };
        tokio::join!(Box::pin(doing.make(trial.change)), Box::pin(faults));
        scene.until_whole(LIMIT).await;
        // What was promised is looked at there.
        load.end(&format!("{what} (whole after {:.0?})", began.elapsed())).await;
    }
}
