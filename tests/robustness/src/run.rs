//! One run: a control plane of its own, load, the plan's events, then the questions what came of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certificates::Rotated;
use disruption::{Disruption, Report, Settings};
use end_to_end::{ControlPlane, Rotation, eventually};
use tokio::time::{Instant, sleep};

use crate::changes::Changes;
use crate::clock::Clock;
use crate::contents::same_in_etcd;
use crate::faults::{Means, Passing, befall, small_volume};
use crate::members::{client_urls, peer_ports};
use crate::plan::{INSTANCES, Plan};
use crate::replicas;

/// How long a start may take on two busy cores.
const START_LIMIT: Duration = Duration::from_secs(120);
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
    /// Objects that the API shows, and each member of etcd has.
    pub objects: usize,
    /// What else was found that must not be: members that differ, snapshots that are none.
    pub found: Vec<String>,
}

impl Outcome {
    /// What must never happen, and did; with what somebody needs to repeat it.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let mut broken = self.report.broken_promises();
        broken.extend_from_slice(&self.found);
        broken
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let report = &self.report;
        format!(
            "{}: {} events; {} requests succeeded, {} failed; longest gap of writes {:.1} s, of reads {:.1} s; \
             controllers paused {:.1} s; whole {:.1?} after the last event; \
             {} keys and CAs replaced; {} objects in each member; {} writes lost, {} events missed",
            self.plan.about,
            self.plan.steps.len(),
            report.succeeded(),
            report.failed_reads() + report.failed_writes(),
            report.longest_gap_of_writes.seconds,
            report.longest_gap_of_reads.seconds,
            report.longest_controller_pause(),
            self.whole_after,
            self.replaced,
            self.objects,
            report.writes.lost.len(),
            report.watches.missed.len()
        )
    }
}

/// Makes a control plane, does to it what the plan says, and looks what came of it.
///
/// # Panics
/// When the control plane does not become ready before, or whole again afterwards: its logs are printed then.
pub async fn run(plan: &Plan) -> Outcome {
    // Before anything can fail.
    println!("{}", plan.text());
    let (mut plane, clock) = started(plan).await;
    let instances = plane.status().await.expect("the status can be read");
    let names: BTreeSet<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(INSTANCES), "plans name what is there");
    let (peer_ports, client_urls) = (peer_ports(&instances), client_urls(&instances));
    let small = small_volume(&plane).await;
    let means = Means { peer_ports, client_urls, small, clock };

    let length: Duration = plan.steps.iter().map(|step| step.after).sum();
    let settings = Settings {
        duration: length * 3 + WHOLE_LIMIT * 2 + ROTATED_LIMIT,
        patience: WHOLE_LIMIT,
        ..Settings::light(plane.kubeconfig())
    };
    let load = Disruption::start(settings).await.expect("the load begins");
    at_work(&load).await;
    let (mut passing, mut asked) = (Passing::default(), BTreeSet::new());
    let mut changes = Changes::of(plane.state_directory());
    let began = Instant::now();
    for step in &plan.steps {
        // The moment is the plan's, whatever goes on.
        changes.until(Instant::now() + step.after, &mut plane).await;
        println!("{:.1?}: {}", began.elapsed(), step.event);
        load.mark(&step.event.to_string());
        asked.extend(befall(&mut plane, &step.event, &means, &mut passing, &mut changes).await);
    }
    passing.over().await;
    changes.up_again(&mut plane).await;
    let last = Instant::now();
    let mut found = changes.over().await;
    // Nothing can be waited for: what a health endpoint says may be so old.
    sleep(HEALTH_AGE).await;
    plane.until_ready(WHOLE_LIMIT).await;
    let whole_after = last.elapsed();
    let replaced = rotated(&plane, &asked).await;
    plane.until_ready(WHOLE_LIMIT).await;
    at_work(&load).await;
    let objects = same(&plane, load.namespace(), &means.client_urls).await.unwrap_or_else(|difference| {
        found.push(format!("the API and etcd differ: {difference}"));
        0
    });
    let report = load.stop().await.expect("what happened is checked");
    let difference = agree(&plane, &means.client_urls).await;
    found.extend(difference.map(|difference| format!("members differ: {difference}")));
    Outcome { plan: plan.clone(), report, whole_after, replaced, objects, found }
}

/// With the clock that the plan sets, if it does: a library between our processes and the system is no part of any other run.
async fn started(plan: &Plan) -> (ControlPlane, Option<Clock>) {
    let lifetimes = SHORT_LIVED.map(|profile| format!("--lifetime={profile}={}s", LIFETIME.as_secs()));
    let flags: Vec<&str> = lifetimes.iter().map(String::as_str).chain(OVERLAPS).collect();
    let mut plane = ControlPlane::planned(&flags);
    let clock = plan.sets_the_clock().then(|| Clock::beside(&plane.state_directory()));
    if let Some(clock) = &clock {
        let environment = clock.environment();
        plane.set_environment(&environment.each_ref().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    plane.start();
    plane.until_ready(START_LIMIT).await;
    (plane, clock)
}

/// Waits until all that was asked for is replaced, and nothing is being replaced any more; gives how much was. A clock that jumps
/// is no excuse: waits count the time that was seen to pass.
async fn rotated(plane: &ControlPlane, asked: &BTreeSet<Rotated>) -> u64 {
    let told = eventually("everything is replaced", ROTATED_LIMIT, async || {
        let told = plane.rotations().await;
        let ended = |what: Rotated| {
            let ended = |it: &Rotation| !it.under_way && (it.key > 1 || !asked.contains(&what));
            told.get(what.name()).is_some_and(ended)
        };
        if Rotated::ALL.into_iter().all(ended) { Ok(told) } else { Err(format!("{told:#?}")) }
    })
    .await;
    told.values().map(|rotation| rotation.key - 1).sum()
}

/// A member that lags, or is being compacted at the moment, may be asked again.
async fn agree(plane: &ControlPlane, client_urls: &BTreeMap<String, String>) -> Option<String> {
    let endpoints: Vec<String> = client_urls.values().cloned().collect();
    again(async || replicas::agree(&plane.state_directory(), &endpoints).await).await.err()
}

/// An API server that just restarts may be asked again; what is lost stays lost.
async fn same(
    plane: &ControlPlane,
    namespace: &str,
    client_urls: &BTreeMap<String, String>,
) -> Result<usize, String> {
    let (kubeconfig, state) = (plane.kubeconfig(), plane.state_directory());
    again(async || same_in_etcd(&kubeconfig, namespace, &state, client_urls).await).await
}

async fn again<T>(mut look: impl AsyncFnMut() -> Result<T, String>) -> Result<T, String> {
    let until = Instant::now() + AGREE_LIMIT;
    loop {
        match look().await {
            Err(_difference) if Instant::now() < until => sleep(Duration::from_secs(1)).await,
            told => return told,
        }
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
