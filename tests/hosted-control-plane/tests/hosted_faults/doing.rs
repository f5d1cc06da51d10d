//! Does what a plan says. A fault that finds nobody to hurt at its moment says so and is none: what runs changes meanwhile.

use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{
    BadNetwork, PodView, Scene, Tenant, chart, key_in_use, node_of, until_replaced, value_to_raise,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use naming_contract::Component;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::plan::{Change, Fault};

/// Of a change that is disturbed, a node that comes back after a minute among what disturbs it.
const LIMIT: Duration = Duration::from_secs(420);

/// A release that changes.
pub(crate) struct Doing<'a> {
    pub(crate) scene: &'a Scene<'a>,
    pub(crate) tenant: &'a Tenant,
    /// All values that were changed so far: helm forgets those of the last time.
    pub(crate) values: Vec<String>,
}

impl Doing<'_> {
    /// Makes a change, until it has come to its end.
    pub(crate) async fn make(&mut self, change: Change) {
        let scene = self.scene;
        match change {
            Change::ApiServersRolled => scene.roll(Component::KubeApiserver, LIMIT).await,
            Change::ControllersRolled => {
                scene.roll(Component::KubeControllerManager, LIMIT).await;
                scene.roll(Component::KubeScheduler, LIMIT).await;
            }
            Change::EtcdRolled => scene.roll(Component::Etcd, LIMIT).await,
            Change::EtcdScaled => {
                self.set("etcd.replicas=5").await;
                scene.release.until_ready(scene.pods + 2, LIMIT).await;
                self.set("etcd.replicas=3").await;
                scene.release.until_ready(scene.pods, LIMIT).await;
            }
            Change::Replaced(what) => {
                let known = eventually("the certificate-authority tells of its keys", LIMIT, async || {
                    key_in_use(scene, self.tenant, what).await.ok_or("not yet")
                });
                let key = known.await + 1;
                self.set(&format!("{}={key}", value_to_raise(what))).await;
                until_replaced(scene, self.tenant, what, key, LIMIT).await;
            }
            Change::NodeDrained => {
                let node = node_of(&scene.pods_of(Component::KubeApiserver).await[0]);
                scene.drain(node).await;
            }
        }
    }

    async fn set(&mut self, value: &str) {
        let (key, _) = value.split_once('=').unwrap();
        self.values.retain(|known| !known.starts_with(&format!("--set={key}=")));
        self.values.push(format!("--set={value}"));
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        self.scene.release.upgrade(&chart(), &values).await;
    }
}

/// Lets a fault happen, until it is over; what came of it afterwards is not waited for.
pub(crate) async fn befall(scene: &Scene<'_>, tenant: &Tenant, fault: Fault) {
    match fault {
        Fault::ChildKilled(component, which) => match some_child(scene, component, which).await {
            Some((_, child)) => signal(child, Signal::SIGKILL),
            None => nobody(fault),
        },
        Fault::ChildFrozen(component, which, lasts) => match some_child(scene, component, which).await {
            Some((pod, child)) => {
                signal(child, Signal::SIGSTOP);
                sleep(lasts).await;
                // Its supervisor may have replaced it meanwhile.
                if scene.upstream(&pod) == Some(child) {
                    signal(child, Signal::SIGCONT);
                }
            }
            None => nobody(fault),
        },
        Fault::ContainerKilled(component, which) => match some_pod(scene, component, which).await {
            Some(pod) => {
                let processes = scene.cluster.pod_processes(node_of(&pod), &pod.uid).unwrap_or_default();
                for process in processes {
                    signal(process.pid, Signal::SIGKILL);
                }
            }
            None => nobody(fault),
        },
        Fault::PodDeleted(component, which) => match some_pod(scene, component, which).await {
            Some(pod) => {
                let deleted = tenant.objects::<Pod>().delete(&pod.name, &DeleteParams::default()).await;
                println!("  {} deleted: {}", pod.name, deleted.is_ok());
            }
            None => nobody(fault),
        },
        Fault::VolumeLost(ordinal) => {
            let member = format!("{}-{ordinal}", scene.release.objects().component(Component::Etcd));
            let (claims, pods) = (tenant.objects::<PersistentVolumeClaim>(), tenant.objects::<Pod>());
            claims.delete(&format!("data-{member}"), &DeleteParams::default()).await.unwrap();
            let deleted = pods.delete(&member, &DeleteParams::default()).await;
            println!("  {member} deleted with its volume: {}", deleted.is_ok());
        }
        Fault::LeaderCutOff(lasts) => {
            let leader = scene.etcd_leader().await;
            let bad = BadNetwork::around(scene, &leader, 100).await;
            sleep(lasts).await;
            bad.mend(scene).await;
        }
        Fault::NodeDead(node, lasts) => {
            scene.cluster.kill_node(node).await.unwrap();
            sleep(lasts).await;
            scene.cluster.revive_node(node).await.unwrap();
        }
    }
}

/// One of those that are on a node.
async fn some_pod(scene: &Scene<'_>, component: Component, which: usize) -> Option<PodView> {
    let mut pods = scene.pods_of(component).await;
    pods.retain(|pod| pod.node.is_some());
    let index = which.checked_rem(pods.len())?;
    Some(pods.swap_remove(index))
}

async fn some_child(scene: &Scene<'_>, component: Component, which: usize) -> Option<(PodView, u32)> {
    let pod = some_pod(scene, component, which).await?;
    let child = scene.upstream(&pod)?;
    Some((pod, child))
}

/// It may have ended by itself a moment ago.
fn signal(process: u32, signal: Signal) {
    let sent = kill(Pid::from_raw(process.cast_signed()), signal);
    println!(
        "  {signal} to {process}: {}",
        sent.map_or_else(|errno| errno.to_string(), |()| "sent".to_owned())
    );
}

fn nobody(fault: Fault) {
    println!("  nobody is there for {fault:?}");
}
