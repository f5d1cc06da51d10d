//! One run: a control plane of its own, load, the plan's events, then the questions what came of them.

use std::collections::BTreeSet;
use std::time::Duration;

use certificates::Rotated;
use disruption::{Disruption, Report, Settings};
use end_to_end::{ControlPlane, eventually};
use tokio::time::{Instant, sleep};

use crate::faults::{Means, Passing, befall, small_volume};
use crate::plan::{Plan, small};
use crate::replicas;

/// From the last fault until all is whole again: a member may have to join anew while API servers start.
const WHOLE_LIMIT: Duration = Duration::from_secs(120);
/// Until whatever is being replaced is replaced: two rounds of restarts, and leaves that are certainly read anew.
const ROTATED_LIMIT: Duration = Duration::from_secs(300);
/// What clients outside are given to learn of new CAs, here where all of them follow their kubeconfig; and tokens.
const OVERLAPS: [&str; 2] = ["--certificate-authority-overlap=5s", "--service-account-key-overlap=5s"];
const HEALTH_AGE: Duration = Duration::from_secs(3);
const AGREE_LIMIT: Duration = Duration::from_secs(30);
const AT_WORK_LIMIT: Duration = Duration::from_secs(60);
/// Successes by which clients show that they are at work.
const AT_WORK: u64 = 100;

/// Everything is renewed all the time, the earlier the more often: what fails only while a leaf changes has its chance.
const SHORT_LIVED: [&str; 6] = [
    "etcd-server",
    "etcd-peer",
    "etcd-member-client",
    "apiserver-serving",
    "apiserver-etcd-client",
    "apiserver-front-proxy-client",
];
const LIFETIME: Duration = Duration::from_secs(40);

/// What came of a plan.
pub struct Outcome {
    /// What was done.
    pub plan: Plan,
    /// What clients noticed.
    pub report: Report,
    /// From the last event until all was whole.
    pub whole_after: Duration,
    /// Keys that were replaced, and CAs, all four as one.
    pub replaced: u64,
    /// Why members of etcd differ, if they do.
    pub difference: Option<String>,
}

impl Outcome {
    /// What must never happen, and did; with what somebody needs to repeat it.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let mut broken = self.report.broken_promises();
        broken.extend(self.difference.iter().map(|difference| format!("members differ: {difference}")));
        broken
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let report = &self.report;
        format!(
            "seed {}: {} events; {} requests succeeded, {} failed; longest gap of writes {:.1} s, of reads {:.1} s; \
             controllers paused {:.1} s; whole {:.1?} after the last event; \
             {} keys and CAs replaced; {} writes lost, {} events missed",
            self.plan.seed,
            self.plan.steps.len(),
            report.succeeded(),
            report.failed_reads() + report.failed_writes(),
            report.longest_gap_of_writes.seconds,
            report.longest_gap_of_reads.seconds,
            report.longest_controller_pause(),
            self.whole_after,
            self.replaced,
            report.writes.lost.len(),
            report.watches.missed.len()
        )
    }
}

/// Makes a control plane, does to it for `length` what `seed` says, and looks what came of it.
///
/// # Panics
/// When the control plane does not become ready before, or whole again afterwards: its logs are printed then.
pub async fn run(seed: u64, length: Duration) -> Outcome {
    let lifetimes = SHORT_LIVED.map(|profile| format!("--lifetime={profile}={}s", LIFETIME.as_secs()));
    let flags: Vec<&str> = lifetimes.iter().map(String::as_str).chain(OVERLAPS).collect();
    let plane = ControlPlane::ready(&flags).await;
    let instances = plane.status().await.expect("the status can be read");
    let names: Vec<String> = instances.iter().map(|instance| instance.name.clone()).collect();
    let plan = Plan::new(seed, &names, length);
    let peer_ports = replicas::flags(&instances, "--listen-peer-urls=")
        .into_iter()
        .map(|(name, url)| (name, url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")))
        .collect();
    let small = small(&names).expect("etcd has members").clone();
    let volume = small_volume(&plane, &small).await;
    let means = Means { peer_ports, small: (small, volume) };

    let settings = Settings {
        duration: length * 3 + WHOLE_LIMIT * 2 + ROTATED_LIMIT,
        patience: WHOLE_LIMIT,
        ..Settings::light(plane.kubeconfig())
    };
    let load = Disruption::start(settings).await.expect("the load begins");
    at_work(&load).await;
    let (mut passing, mut asked) = (Passing::default(), BTreeSet::new());
    let began = Instant::now();
    for step in &plan.steps {
        // Nothing is waited for: the moment is the plan's.
        sleep(step.after).await;
        println!("seed {seed}, {:.1?}: {}", began.elapsed(), step.event);
        load.mark(&step.event.to_string());
        asked.extend(befall(&plane, &step.event, &means, &mut passing).await);
    }
    passing.over().await;
    let last = Instant::now();
    // Nothing can be waited for: what a health endpoint says may be so old.
    sleep(HEALTH_AGE).await;
    plane.until_ready(WHOLE_LIMIT).await;
    let whole_after = last.elapsed();
    let replaced = rotated(&plane, &asked).await;
    plane.until_ready(WHOLE_LIMIT).await;
    at_work(&load).await;
    let report = load.stop().await.expect("what happened is checked");
    let difference = agree(&plane).await;
    Outcome { plan, report, whole_after, replaced, difference }
}

/// Waits until all that was asked for is replaced, and nothing is being replaced any more; gives how much was.
async fn rotated(plane: &ControlPlane, asked: &BTreeSet<Rotated>) -> u64 {
    let told = eventually("everything is replaced", ROTATED_LIMIT, async || {
        let told = plane.rotations().await;
        let ended = |what: Rotated| {
            told.get(what.name()).is_some_and(|it| !it.under_way && (it.key > 1 || !asked.contains(&what)))
        };
        if Rotated::ALL.into_iter().all(ended) { Ok(told) } else { Err(format!("{told:#?}")) }
    })
    .await;
    told.values().map(|rotation| rotation.key - 1).sum()
}

/// A member that lags, or is being compacted at the moment, may be asked again.
async fn agree(plane: &ControlPlane) -> Option<String> {
    let instances = plane.status().await.expect("the status can be read");
    let endpoints = replicas::client_urls(&instances);
    let until = Instant::now() + AGREE_LIMIT;
    loop {
        let Err(difference) = replicas::agree(&plane.state_directory(), &endpoints).await else {
            return None;
        };
        if Instant::now() >= until {
            return Some(difference);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn at_work(load: &Disruption) {
    let (before, _) = load.so_far();
    eventually("requests succeed", AT_WORK_LIMIT, async || match load.so_far() {
        (succeeded, _) if succeeded >= before + AT_WORK => Ok(()),
        so_far => Err(so_far),
    })
    .await;
}
