//! etcd is changed by its Helm values alone while clients work and check: other settings, an image that does not exist, more
//! members, fewer. Nothing acknowledged is lost, no event is missed, no read fails; what writes pay is printed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

#[path = "hosted_etcd/absences.rs"]
mod absences;
#[path = "hosted_etcd/hindrances.rs"]
mod hindrances;

use std::time::Duration;

use disruption::Report;
use end_to_end::eventually;
use hosted_control_plane::{
    Hosted, Load, PodView, Release, Scene, Status, StatusRow, Tenant, chart, on_three_nodes,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use naming_contract::Component;
use tokio::time::Instant;

use absences::Absences;

/// Besides etcd: 2 API servers, 2 and 2 controllers, 2 certificate-authorities, 1 cluster-bootstrap.
const OTHERS: usize = 9;
/// Of etcd, before any change.
const MEMBERS: usize = 3;
const LIMIT: Duration = Duration::from_secs(240);
/// Longer than a member that could go would stay.
const NOTHING_HAPPENS: Duration = Duration::from_secs(25);
/// Failed writes for each time that leadership moves (issue 5).
const FAILED_WRITES: u64 = 2;
const NOTED: &str = "--set=etcd.pod.annotations.noted=changed";

/// A release under test and all that it stands on.
struct Trial<'a> {
    scene: &'a Scene<'a>,
    tenant: &'a Tenant,
    release: &'a Release<'a>,
    hosted: &'a Hosted<'a>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes five minutes; cargo xtask test --step hosted-faults"]
async fn other_settings_reach_one_member_after_the_other_and_broken_ones_only_the_first() {
    tried("rolling", async |trial| {
        Box::pin(trial.is_rolled()).await;
        Box::pin(trial.gets_an_image_that_does_not_exist()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes four minutes; cargo xtask test --step hosted-faults"]
async fn an_update_of_etcd_waits_for_budgets_and_the_management_api_and_says_so() {
    tried("hindered", async |trial| {
        Box::pin(trial.waits_for_budgets_and_the_management_api()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes five minutes; cargo xtask test --step hosted-faults"]
async fn one_value_makes_five_members_of_three_and_one_of_five_and_three_again() {
    tried("scaling", async |trial| {
        Box::pin(trial.is_scaled(3, 5)).await;
        Box::pin(trial.is_scaled(5, 1)).await;
        Box::pin(trial.is_scaled(1, 3)).await;
        Box::pin(trial.loses_a_member_while_it_is_scaled_down()).await;
        Box::pin(trial.is_rolled_alone()).await;
    })
    .await;
}

async fn tried(name: &str, change: impl AsyncFnOnce(Trial<'_>)) {
    let values = Release::values_file("values-ha.yaml");
    on_three_nodes(name, &[&values], MEMBERS + OTHERS, async |scene, tenant| {
        change(Trial { scene, tenant, release: scene.release, hosted: scene.hosted }).await;
    })
    .await;
}

impl Trial<'_> {
    fn scene(&self, members: usize) -> Scene<'_> {
        let pods = members + OTHERS;
        Scene { cluster: self.scene.cluster, release: self.release, hosted: self.hosted, pods }
    }

    async fn load(&self) -> Load {
        Load::start(self.scene.cluster, 1, self.hosted).await
    }

    fn absences(&self, members: usize) -> Absences {
        Absences::follow(self.tenant.objects::<Pod>(), self.release.name(), members)
    }

    async fn members(&self) -> Vec<PodView> {
        self.scene(0).pods_of(Component::Etcd).await
    }

    /// The row of the leading member, from `pilothouse status`.
    async fn leader(&self) -> Result<StatusRow, Vec<StatusRow>> {
        let rows = Status::of(self.release, self.tenant.kubeconfig()).await.rows;
        let members = rows.into_iter().filter(|row| row.component == Component::Etcd.name());
        let (mut leaders, others): (Vec<_>, Vec<_>) = members.partition(|row| row.leader == Some(true));
        if leaders.len() == 1 {
            Ok(leaders.remove(0))
        } else {
            Err(others.into_iter().chain(leaders).collect())
        }
    }

    /// Waits until every Pod is ready and the leader lists exactly these as voters.
    async fn until_listed(&self, members: usize) {
        let wanted: Vec<String> = (0..members).map(|ordinal| format!("demo-etcd-{ordinal}")).collect();
        let wanted = wanted.join(", ");
        eventually(&format!("the members are {wanted}"), LIMIT, async || {
            let leader = self.leader().await.map_err(|rows| format!("{rows:?}"))?;
            if leader.details.get("members") == Some(&wanted) {
                Ok(())
            } else {
                Err(format!("{:?}", leader.details))
            }
        })
        .await;
        self.scene(members).until_whole(LIMIT).await;
    }

    async fn is_rolled(&self) {
        let leader = self.leader().await.unwrap().name;
        let before = self.members().await;
        let absences = self.absences(3);
        let load = self.load().await;
        let began = Instant::now();
        load.mark("other settings");
        self.release.upgrade(&chart(), &[NOTED]).await;
        eventually("every member is another", LIMIT, async || {
            let seen = absences.so_far();
            if seen.replaced.len() >= 3 { Ok(()) } else { Err((seen, self.leader().await)) }
        })
        .await;
        self.until_listed(3).await;
        let took = began.elapsed();
        let report = load.end(&format!("etcd rolled in {took:.0?}, its leadership moved once")).await;
        self.judge(&report, 1);
        let seen = absences.so_far();
        println!("replaced: {}; at most {} away; {leader} led", seen.replaced.join(", "), seen.most_away);
        assert_eq!((seen.replaced.last(), seen.most_away), (Some(&leader), 1));
        let mut replaced = seen.replaced;
        replaced.sort();
        let names: Vec<String> = before.iter().map(|pod| pod.name.clone()).collect();
        assert_eq!(replaced, names, "each exactly once");
        for pod in self.members().await {
            assert_eq!(pod.restarts, 0, "{pod:?}");
        }
    }

    async fn gets_an_image_that_does_not_exist(&self) {
        let before = self.members().await;
        let absences = self.absences(3);
        let load = self.load().await;
        load.mark("an image that does not exist");
        self.release.upgrade(&chart(), &[NOTED, "--set=etcd.image.tag=does-not-exist"]).await;
        let stuck = eventually("one member waits for its image", LIMIT, async || {
            let members = self.members().await;
            let waits = |pod: &&PodView| pod.waiting.iter().any(|why| why.contains("Image"));
            members.iter().find(waits).map(|pod| pod.name.clone()).ok_or(members)
        })
        .await;
        let told = eventually("the leader says so", LIMIT, async || {
            let leader = self.leader().await.map_err(|rows| format!("{rows:?}"))?;
            let told = leader.details.get("update").cloned().unwrap_or_default();
            if told.contains(&format!("waits for {stuck} to serve")) { Ok(told) } else { Err(told) }
        })
        .await;
        println!("stuck: {told}");
        // Nothing can be waited for: this is how long nothing may happen.
        tokio::time::sleep(NOTHING_HAPPENS).await;
        assert_eq!(absences.so_far().replaced, [stuck.as_str()]);
        let began = Instant::now();
        load.mark("corrected");
        self.release.upgrade(&chart(), &[NOTED]).await;
        self.until_listed(3).await;
        let what = format!(
            "an image of etcd that does not exist, healed {:.0?} after its correction",
            began.elapsed()
        );
        let report = load.end(&what).await;
        // The leader is the last, so that leadership never moved.
        self.judge(&report, 0);
        let seen = absences.so_far();
        assert_eq!((seen.replaced, seen.most_away), (vec![stuck.clone(), stuck.clone()], 1));
        let untouched = |pods: &[PodView]| -> Vec<String> {
            pods.iter().filter(|pod| pod.name != stuck).map(|pod| pod.uid.clone()).collect()
        };
        assert_eq!(untouched(&self.members().await), untouched(&before));
    }

    async fn is_scaled(&self, from: usize, to: usize) {
        let leader = self.leader().await.unwrap().name;
        let load = self.load().await;
        let began = Instant::now();
        let value = format!("--set=etcd.replicas={to}");
        load.mark(&value);
        self.release.upgrade(&chart(), &[&value]).await;
        self.until_listed(to).await;
        let took = began.elapsed();
        let now = self.leader().await.unwrap().name;
        let what =
            format!("etcd scaled from {from} to {to} in {took:.0?}, led by {leader} and then by {now}");
        let report = load.end(&what).await;
        // Down to one, clients of the last but one are cut off with it, whether it led or not.
        self.judge(&report, u64::from(leader != now) + u64::from(to == 1) * 2);
    }

    /// One of two that are to go is killed without having left, so that the leader has to remove it.
    async fn loses_a_member_while_it_is_scaled_down(&self) {
        let load = self.load().await;
        let began = Instant::now();
        load.mark("scaled down and one killed");
        let victim =
            if self.leader().await.unwrap().name == "demo-etcd-1" { "demo-etcd-2" } else { "demo-etcd-1" };
        let chart = chart();
        let upgrade = self.release.upgrade(&chart, &["--set=etcd.replicas=1"]);
        let kill = async {
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            self.tenant.objects::<Pod>().delete(victim, &at_once).await.unwrap();
        };
        tokio::join!(upgrade, kill);
        self.until_listed(1).await;
        let what = format!("etcd scaled from 3 to 1 in {:.0?}, {victim} killed meanwhile", began.elapsed());
        load.end(&what).await;
    }

    fn judge(&self, report: &Report, moves: u64) {
        assert_eq!(report.failed_reads(), 0, "{}: {}", self.release.name(), report.text());
        assert!(report.failed_writes() <= FAILED_WRITES * moves, "{moves} moves: {}", report.text());
    }
}
