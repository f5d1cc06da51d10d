//! A hosted control plane goes from one minor version to the next by one value, while clients work and check: API servers
//! first, controllers after them. What cannot work or would skip or go back is refused with a sentence, and the old ones serve.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use disruption::Report;
use end_to_end::eventually;
use hosted_control_plane::{
    Helm, Hosted, Load, PodView, Release, Scene, Stage, Status, StatusRow, Tenant, chart, helm_binary,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{ListParams, Patch, PatchParams};
use management_cluster::ComponentVersions;
use naming_contract::objects::VERSION_RECORD_KEY;
use naming_contract::{Component, ports};
use serde_json::json;
use tokio::time::Instant;

const HIGHLY_AVAILABLE: usize = 12;
const LIMIT: Duration = Duration::from_secs(240);
/// No such image was ever made.
const NOWHERE: &str = "1.37.99";
const CONTROLLERS: [Component; 2] = [Component::KubeControllerManager, Component::KubeScheduler];

/// What all of this is about.
struct Upgrade<'a> {
    scene: Scene<'a>,
    tenant: &'a Tenant,
    older: &'a ComponentVersions,
    newer: &'a ComponentVersions,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes five minutes; cargo xtask test --step hosted-faults"]
async fn api_servers_go_first_and_what_fails_or_goes_back_disturbs_nobody() {
    let (stage, [older, newer]) = Stage::to_upgrade("upgrade").await;
    let begin = ComponentVersions { etcd: newer.etcd.clone(), ..older.clone() };
    begun(&stage, &begin, async |scene, tenant| {
        let upgrade = Upgrade { scene, tenant, older: &older, newer: &newer };
        upgrade.recorded(&older).await;
        timed("what cannot work", Box::pin(upgrade.fails_and_heals())).await;
        timed("half of it", Box::pin(upgrade.is_half_done_and_undone())).await;
        timed("upgrade", Box::pin(upgrade.is_done())).await;
        timed("downgrade", Box::pin(upgrade.is_not_undone())).await;
    })
    .await;
    stage.cluster.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes five minutes; cargo xtask test --step hosted-faults"]
async fn etcd_goes_over_to_the_next_minor_version_and_not_back() {
    let (stage, [older, newer]) = Stage::to_upgrade("upgrade-etcd").await;
    let begin = ComponentVersions { kubernetes: newer.kubernetes.clone(), ..older.clone() };
    begun(&stage, &begin, async |scene, tenant| {
        let upgrade = Upgrade { scene, tenant, older: &older, newer: &newer };
        upgrade.etcd_agrees_on(&older).await;
        timed("etcd", Box::pin(upgrade.etcd_is_done())).await;
        timed("etcd back", Box::pin(upgrade.etcd_is_not_undone())).await;
    })
    .await;
    stage.cluster.down().await.unwrap();
}

/// A highly available release of these versions, whole.
async fn begun(stage: &Stage, versions: &ComponentVersions, then: impl AsyncFnOnce(Scene<'_>, &Tenant)) {
    let tenant = Tenant::new(&stage.cluster.kubeconfig(), "tenant").await;
    let helm = Helm::new(helm_binary(), tenant.kubeconfig());
    let values = [
        &Release::values_file("values-ha.yaml"),
        "--set=etcd.storage.size=1Gi",
        "--set=etcd.quota=512Mi",
        // All images are there: one that is missing is known to be missing at once.
        "--set=images.pullPolicy=Never",
        &version(versions),
        &etcd_version(versions),
    ];
    let release = Release::new(&tenant, &helm, "demo", &values);
    release.install().await;
    let hosted = Hosted::new(&stage.cluster, &tenant, &release, LIMIT).await;
    let scene = Scene { cluster: &stage.cluster, release: &release, hosted: &hosted, pods: HIGHLY_AVAILABLE };
    scene.until_whole(LIMIT).await;
    then(scene, &tenant).await;
}

async fn timed(what: &str, step: impl Future<Output = ()>) {
    let began = Instant::now();
    step.await;
    println!("[{what} took {:.0?}]", began.elapsed());
}

fn version(versions: &ComponentVersions) -> String {
    format!("--set=kubernetesVersion={}", versions.kubernetes)
}

fn etcd_version(versions: &ComponentVersions) -> String {
    format!("--set=etcd.version={}", versions.etcd)
}

impl Upgrade<'_> {
    /// An image that does not exist, then a flag that the binary refuses: the old ones serve, and it is told why.
    async fn fails_and_heals(&self) {
        let load = self.load().await;
        self.set(&[&format!("--set=kubernetesVersion={NOWHERE}")]).await;
        for component in [Component::KubeApiserver, Component::KubeControllerManager] {
            let row = self.row_of(component, "the image is missing", |row| {
                row.state.contains("Image") && row.reason.contains(NOWHERE)
            });
            told(&row.await);
        }
        self.all_old_ones_serve().await;
        self.rolls_back().await;

        self.set(&["--set=apiServer.extraArgs={--no-such-flag}"]).await;
        let row = self
            .row_of(Component::KubeApiserver, "the flag is refused", |row| {
                row.state == "Stopped" && row.reason.contains("unknown flag: --no-such-flag")
            })
            .await;
        told(&row);
        self.event_of(&row.name, "unknown flag: --no-such-flag").await;
        self.all_old_ones_serve().await;
        self.rolls_back().await;
        undisturbed(&load.end("two upgrades that cannot work, and their rollbacks").await);
    }

    /// One new API server serves beside the old ones, and controllers wait for the others; then back.
    async fn is_half_done_and_undone(&self) {
        let load = self.load().await;
        self.set(&[&version(self.newer)]).await;
        let new_one = async || {
            let pods = self.scene.pods_of(Component::KubeApiserver).await;
            pods.into_iter().find(|pod| pod.image.ends_with(&self.newer.kubernetes))
        };
        eventually("one of the new API servers is there", LIMIT, async || new_one().await.ok_or(())).await;
        self.pause(true).await;
        for component in CONTROLLERS {
            let row = self.row_of(component, "controllers wait for API servers", |row| {
                row.state == "Waiting" && saw(row).contains("it starts once all API servers are upgraded")
            });
            told(&row.await);
        }
        let both = eventually("one new API server serves beside the old ones", LIMIT, async || {
            let pods = self.scene.pods_of(Component::KubeApiserver).await;
            let ready = |version: &str| {
                pods.iter().filter(|pod| pod.ready && !pod.going && pod.image.ends_with(version)).count()
            };
            match (ready(&self.older.kubernetes), ready(&self.newer.kubernetes)) {
                both @ (2, 1) => Ok(both),
                other => Err(other),
            }
        })
        .await;
        println!("half done: {} old and {} new API servers serve", both.0, both.1);
        load.mark("half done");
        load.goes_on().await;
        self.pause(false).await;
        self.rolls_back().await;
        undisturbed(&load.end("an upgrade undone when it was half done").await);
        self.recorded(self.older).await;
    }

    /// All the way, by one value.
    async fn is_done(&self) {
        let load = self.load().await;
        let began = Instant::now();
        self.set(&[&version(self.newer)]).await;
        let mut milestones = Milestones::default();
        eventually("all run the new version", LIMIT, async || {
            let pods = self.scene.release.pods().await;
            milestones.look(&pods, self.newer, began.elapsed());
            let old = pods.iter().filter(|pod| pod.image.ends_with(&self.older.kubernetes)).count();
            let whole = pods.len() == self.scene.pods && pods.iter().all(|pod| pod.ready && !pod.going);
            if old == 0 && whole { Ok(()) } else { Err(old) }
        })
        .await;
        println!("from Kubernetes {} to {}: {milestones:?}", self.older.kubernetes, self.newer.kubernetes);
        undisturbed(&load.end("upgrade by one value").await);
        self.recorded(self.newer).await;
        let status = Status::of(self.scene.release, self.tenant.kubeconfig()).await;
        for row in &status.rows {
            assert!(
                row.details.get("kubernetesVersion").is_none_or(|told| *told == self.newer.kubernetes),
                "{row:?}"
            );
        }
    }

    /// Not by setting the old version again.
    async fn is_not_undone(&self) {
        let load = self.load().await;
        self.set(&[&version(self.older)]).await;
        let sentence = format!("every API server of this control plane has run {}", self.newer.kubernetes);
        let row = self
            .row_of(Component::KubeApiserver, "the downgrade is refused", |row| {
                row.state == "Waiting" && saw(row).contains(&sentence)
            })
            .await;
        told(&row);
        self.event_of(&row.name, &sentence).await;
        let pod = self.scene.pods_of(Component::KubeApiserver).await;
        let pod = pod.into_iter().find(|pod| pod.name == row.name).expect("it waits");
        let statusz = self.scene.get(&pod, ports::HEALTH, "/statusz").await.unwrap();
        assert!(statusz.contains(&sentence), "{statusz}");
        assert_eq!(pod.restarts, 0, "{pod:?}");
        self.all_old_ones_serve().await;
        self.rolls_back().await;
        undisturbed(&load.end("a downgrade refused, and its rollback").await);
        self.recorded(self.newer).await;
    }

    /// All members, one after the other; leadership moves, so a write may fail with it.
    async fn etcd_is_done(&self) {
        let load = self.load().await;
        let began = Instant::now();
        self.set(&[&etcd_version(self.newer)]).await;
        eventually("all members run the new version", LIMIT, async || {
            let pods = self.scene.pods_of(Component::Etcd).await;
            let new =
                pods.iter().filter(|pod| pod.ready && !pod.going && pod.image.contains(&self.newer.etcd));
            if new.count() == 3 { Ok(()) } else { Err(pods) }
        })
        .await;
        println!("etcd from {} to {} in {:.1?}", self.older.etcd, self.newer.etcd, began.elapsed());
        self.scene.until_whole(LIMIT).await;
        self.etcd_agrees_on(self.newer).await;
        let report = load.end("etcd upgraded by one value").await;
        assert_eq!(report.failed_reads(), 0, "{}", report.text());
    }

    /// One member waits, two serve, and the rollback brings it back.
    async fn etcd_is_not_undone(&self) {
        let load = self.load().await;
        self.set(&[&etcd_version(self.older)]).await;
        let sentence = format!("etcd {} is refused: its cluster has gone over to", self.older.etcd);
        let row = self
            .row_of(Component::Etcd, "the downgrade is refused", |row| {
                row.state == "Waiting" && saw(row).contains(&sentence)
            })
            .await;
        told(&row);
        self.event_of(&row.name, &sentence).await;
        self.rolls_back().await;
        load.end("a downgrade of etcd refused, and its rollback").await;
        self.etcd_agrees_on(self.newer).await;
    }

    /// Waits until each member has told on which version all have agreed.
    async fn etcd_agrees_on(&self, versions: &ComponentVersions) {
        let series = versions.etcd.rsplit_once('.').map(|(series, _patch)| series);
        eventually("etcd's members agree", LIMIT, async || {
            let status = Status::of(self.scene.release, self.tenant.kubeconfig()).await;
            let told: Vec<_> = status
                .rows
                .iter()
                .filter(|row| row.component == Component::Etcd.name())
                .map(|row| row.details.get("clusterVersion").cloned())
                .collect();
            let agree = told.len() == 3 && told.iter().all(|version| version.as_deref() == series);
            if agree { Ok(()) } else { Err(told) }
        })
        .await;
    }

    async fn load(&self) -> Load {
        Load::start(self.scene.cluster, 1, self.scene.hosted).await
    }

    async fn set(&self, values: &[&str]) {
        self.scene.release.upgrade(&chart(), values).await;
    }

    async fn rolls_back(&self) {
        let began = Instant::now();
        self.scene.release.roll_back().await;
        self.scene.until_whole(LIMIT).await;
        println!("rolled back in {:.1?}", began.elapsed());
    }

    /// The first row of a component that is as wanted.
    async fn row_of(
        &self,
        component: Component,
        what: &str,
        wanted: impl Fn(&StatusRow) -> bool,
    ) -> StatusRow {
        eventually(what, LIMIT, async || {
            let status = Status::of(self.scene.release, self.tenant.kubeconfig()).await;
            let found = status.rows.iter().find(|row| row.component == component.name() && wanted(row));
            found.cloned().ok_or_else(|| status.not_ready())
        })
        .await
    }

    /// A change that cannot go on has not taken anybody away.
    async fn all_old_ones_serve(&self) {
        let pods = self.scene.pods_of(Component::KubeApiserver).await;
        let serving = pods.iter().filter(|pod| pod.ready && !pod.going).count();
        assert_eq!(serving, 2, "{pods:?}");
    }

    /// What `kubectl describe pod` shows: once.
    async fn event_of(&self, pod: &str, words: &str) {
        let of_pod = ListParams::default().fields(&format!("involvedObject.name={pod},reason=Refused"));
        eventually("an Event tells why", LIMIT, async || {
            let events =
                self.tenant.objects::<Event>().list(&of_pod).await.map_err(|error| error.to_string())?;
            let messages: Vec<_> = events.items.into_iter().filter_map(|event| event.message).collect();
            match messages.as_slice() {
                [one] if one.contains(words) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Waits until it is written down that all API servers run this version.
    async fn recorded(&self, versions: &ComponentVersions) {
        let name = self.scene.release.objects().version_record();
        eventually("the version is recorded", LIMIT, async || {
            let map =
                self.tenant.objects::<ConfigMap>().get_opt(&name).await.map_err(|error| error.to_string())?;
            match map.and_then(|map| map.data?.remove(VERSION_RECORD_KEY)) {
                Some(version) if version == versions.kubernetes => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// As `kubectl rollout pause` and `resume` do.
    async fn pause(&self, paused: bool) {
        let name = self.scene.release.objects().component(Component::KubeApiserver);
        let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
        self.tenant.objects::<Deployment>().patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }
}

/// When what was first seen, from the moment of `helm upgrade` on.
#[derive(Debug, Default)]
struct Milestones {
    first_new_api_server: Option<Duration>,
    all_api_servers_new: Option<Duration>,
    first_new_controller: Option<Duration>,
    all_new: Option<Duration>,
}

impl Milestones {
    fn look(&mut self, pods: &[PodView], newer: &ComponentVersions, now: Duration) {
        let is_new = |pod: &&PodView| pod.image.ends_with(&newer.kubernetes);
        let of = |components: &[Component]| -> Vec<&PodView> {
            let named = |pod: &&PodView| components.iter().any(|component| component.name() == pod.component);
            pods.iter().filter(named).filter(|pod| pod.ready && !pod.going).collect()
        };
        let (servers, controllers) = (of(&[Component::KubeApiserver]), of(&CONTROLLERS));
        let old_server = servers.iter().find(|pod| !is_new(pod));
        let new_controller = controllers.iter().find(|pod| is_new(pod));
        assert!(
            old_server.is_none() || new_controller.is_none(),
            "a new controller before the last old API server is gone: {old_server:?} {new_controller:?}"
        );
        let note = |milestone: &mut Option<Duration>, reached: bool| {
            if reached {
                milestone.get_or_insert(now);
            }
        };
        note(&mut self.first_new_api_server, servers.iter().any(is_new));
        note(&mut self.all_api_servers_new, !servers.is_empty() && old_server.is_none());
        note(&mut self.first_new_controller, new_controller.is_some());
        note(
            &mut self.all_new,
            old_server.is_none() && !controllers.is_empty() && controllers.iter().all(is_new),
        );
    }
}

fn saw(row: &StatusRow) -> &str {
    row.last_observation.as_deref().unwrap_or_default()
}

fn told(row: &StatusRow) {
    println!("{} {}: {} (saw: {})", row.name, row.state, row.reason, saw(row));
}

/// etcd was left alone, so nobody may have noticed anything.
fn undisturbed(report: &Report) {
    assert_eq!((report.failed_reads(), report.failed_writes()), (0, 0), "{}", report.text());
}
