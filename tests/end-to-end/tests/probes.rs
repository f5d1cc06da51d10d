//! Whatever the child does, its supervisor answers probes at once and truthfully, and replaces what is wedged for good.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, Frozen, Instance, eventually};
use tokio::time::Instant;

/// What the health endpoints promise, at the 99th percentile.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Of each of /readyz and /statusz, while a child is frozen.
const REQUESTS: usize = 220;
/// So that the requests meet a supervisor at every phase of its looks, which time out after 1.4 s.
const PAUSE: Duration = Duration::from_millis(12);
/// Readiness is never older than 2 s, and a look may take 1.4 s.
const UNREADY_LIMIT: Duration = Duration::from_secs(5);
/// 30 s of failing liveness, and then some for the kill, a start beside other tests, and a leader that was lost meanwhile.
const REPLACED_LIMIT: Duration = Duration::from_secs(90);

struct Probes {
    client: reqwest::Client,
    endpoint: String,
}

impl Probes {
    fn of(instance: &Instance) -> Self {
        mutual_tls::install_provider();
        // No connection is kept: a kubelet's probe makes a new one each time.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(10));
        Self { client: client.build().unwrap(), endpoint: instance.endpoint.clone() }
    }

    /// Status code, body, and the time it took.
    async fn ask(&self, path: &str) -> (u16, String, Duration) {
        let asked = Instant::now();
        let answer = self.client.get(format!("{}{path}", self.endpoint)).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{}{path}: {error:?}", self.endpoint));
        let code = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        (code, body, asked.elapsed())
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_child_never_delays_an_answer_and_is_replaced_in_the_end() {
    let plane =
        ControlPlane::ready(&["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"])
            .await;
    for instance in plane.status().await.unwrap().iter().filter(|instance| instance.pid.is_some()) {
        answers_while_frozen(instance).await;
        // Short of 10 s, after which controllers give up their leases and end.
        plane.until_ready(Duration::from_secs(60)).await;
        let now = plane.instance(&instance.name).await;
        assert_eq!((now.pid, now.restarts), (instance.pid, 0), "{} was not wedged for good", instance.name);
    }
    is_replaced_when_wedged(&plane, "kube-apiserver-0").await;
}

async fn answers_while_frozen(instance: &Instance) {
    let probes = Probes::of(instance);
    let frozen = Frozen::of(instance);
    let began = Instant::now();
    let mut unready_after = None;
    let mut taken: [Vec<Duration>; 2] = Default::default();
    for _round in 0..REQUESTS {
        let (code, body, took) = probes.ask("/readyz").await;
        taken[0].push(took);
        if code == 503 {
            assert!(body.contains("[-]child failed: ") && body.contains(": "), "no reason: {body}");
            let _first = unready_after.get_or_insert_with(|| (began.elapsed(), body));
        } else {
            assert_eq!(code, 200);
            assert!(unready_after.is_none(), "{} cannot be ready again", instance.name);
        }
        let (code, body, took) = probes.ask("/statusz").await;
        taken[1].push(took);
        assert!(code == 200 && body.contains(&instance.name), "{code}: {body}");
        let (code, body, _) = probes.ask("/livez").await;
        assert_eq!(code, 200, "a frozen child is no reason to end its supervisor: {body}");
        tokio::time::sleep(PAUSE).await;
    }
    let frozen_for = began.elapsed();
    let (after, reason) = unready_after.unwrap_or_else(|| panic!("{} stayed ready", instance.name));
    for (path, taken) in ["/readyz", "/statusz"].into_iter().zip(&mut taken) {
        taken.sort();
        let [p50, p99, p100] = [50, 99, 100].map(|percent| percentile(taken, percent));
        println!(
            "{} frozen for {frozen_for:.1?}: {path} {} times: p50 {p50:?}, p99 {p99:?}, p100 {p100:?}",
            instance.name,
            taken.len()
        );
        assert!(p99 < ANSWER_LIMIT, "{path} of {}: {p99:?}", instance.name);
    }
    println!("{} unready after {after:?}: {}", instance.name, reason.lines().next().unwrap_or_default());
    assert!(after < UNREADY_LIMIT, "{} was ready for {after:?}", instance.name);
    drop(frozen);
    eventually(&format!("{} is ready again", instance.name), Duration::from_secs(30), async || match probes
        .ask("/readyz")
        .await
    {
        (200, _, _) => Ok(()),
        other => Err(other),
    })
    .await;
}

async fn is_replaced_when_wedged(plane: &ControlPlane, name: &str) {
    let before = plane.instance(name).await;
    let probes = Probes::of(&before);
    let frozen = Frozen::of(&before);
    let began = Instant::now();
    eventually(&format!("{name} is replaced"), REPLACED_LIMIT, async || {
        let (code, body, _) = probes.ask("/livez").await;
        assert_eq!(code, 200, "a supervisor that can heal its child must live: {body}");
        let status: serde_json::Value = serde_json::from_str(&probes.ask("/statusz").await.1).unwrap();
        let replaced = status["restarts"] == 1 && status["ready"] == true;
        if replaced { Ok(()) } else { Err(status) }
    })
    .await;
    println!("{name} frozen for good: replaced and ready after {:?}", began.elapsed());
    assert!(began.elapsed() > Duration::from_secs(30), "a pause shorter than 30 s is no reason to kill it");
    drop(frozen);
    plane.until_ready(Duration::from_secs(60)).await;
    let now = plane.instance(name).await;
    assert_ne!(now.pid, before.pid);
    assert_eq!((now.supervisor_pid, now.restarts), (before.supervisor_pid, 1), "{now:?}");
}
