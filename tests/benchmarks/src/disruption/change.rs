//! The changes: what an operator types, or what befalls a process; each made the same way to both control planes.
//! Refuses to come back before all is whole again.

use std::time::Duration;

use anyhow::{Context as _, Result};
use end_to_end::eventually;
use hosted_control_plane::{PodView, Status, node_of};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use naming_contract::Component;
use tokio::time::sleep;

use super::WHOLE_LIMIT;
use super::side::{Kind, Side};
use crate::floor;

/// How long nothing happens where nothing does.
const NOTHING: Duration = Duration::from_secs(20);
/// Each API server restarts three times, drains for up to 40 s, and waits for the other one.
const ROTATION_LIMIT: Duration = Duration::from_secs(600);
/// Of etcd, before and after all changes.
const MEMBERS: usize = 3;
/// Where our supervisors say whether their component serves.
const HEALTH_PORT: u16 = 8686;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Change {
    /// Nothing, to see what the machine alone does to clients.
    Nothing,
    /// `kubectl rollout restart` of the API servers.
    ApiServersRolled,
    /// `kubectl rollout restart` of both controllers.
    ControllersRolled,
    /// `kubectl rollout restart` of etcd.
    EtcdRolled,
    /// `kubectl drain` of a node with an API server and without etcd's leader.
    NodeDrained,
    /// SIGKILL of the controller-manager that leads.
    ControllerKilled,
    /// SIGKILL of an API server.
    ApiServerKilled,
    /// `kubectl delete pod` of etcd's leader.
    EtcdLeaderStopped,
    /// SIGKILL of etcd's leader.
    EtcdLeaderKilled,
    /// etcd from three members to five, back to three, to one and to three again, each by one value of the chart.
    EtcdScaled,
    /// Another service-account key, by one value of the chart.
    ServiceAccountKeyReplaced,
    /// Another encryption key, and every Secret written anew, by one value of the chart.
    EncryptionKeyReplaced,
}

/// To whom.
#[derive(Debug, Clone)]
pub(crate) enum Victim {
    Nobody,
    Pod(PodView),
    Node(u8),
}

impl Victim {
    /// The node on which something is going to be missing.
    pub(crate) fn node(&self) -> Option<u8> {
        match self {
            Self::Nobody => None,
            Self::Pod(pod) => Some(node_of(pod)),
            Self::Node(node) => Some(*node),
        }
    }
}

impl Change {
    /// All of them, the gentle ones first.
    pub(crate) const ALL: [Self; 12] = [
        Self::Nothing,
        Self::ApiServersRolled,
        Self::ControllersRolled,
        Self::NodeDrained,
        Self::ControllerKilled,
        Self::ApiServerKilled,
        Self::EtcdRolled,
        Self::EtcdLeaderStopped,
        Self::EtcdLeaderKilled,
        Self::EtcdScaled,
        Self::ServiceAccountKeyReplaced,
        Self::EncryptionKeyReplaced,
    ];

    /// Whether there is a way to make it.
    pub(crate) fn can_be_made_to(self, kind: Kind) -> bool {
        match self {
            // Plain members know each other by their flags: somebody would have to add and remove each by hand; and keys
            // in many hands are changed by many.
            Self::EtcdScaled | Self::ServiceAccountKeyReplaced | Self::EncryptionKeyReplaced => {
                kind == Kind::Ours
            }
            _ => true,
        }
    }

    /// As tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing, 20 s",
            Self::ApiServersRolled => "API servers rolled",
            Self::ControllersRolled => "controllers rolled",
            Self::EtcdRolled => "etcd rolled",
            Self::NodeDrained => "node drained",
            Self::ControllerKilled => "leading controller killed",
            Self::ApiServerKilled => "API server killed",
            Self::EtcdLeaderStopped => "etcd's leader stopped",
            Self::EtcdLeaderKilled => "etcd's leader killed",
            Self::EtcdScaled => "etcd scaled 3-5-3-1-3",
            Self::ServiceAccountKeyReplaced => "service-account key replaced",
            Self::EncryptionKeyReplaced => "encryption key replaced",
        }
    }

    /// Chooses before the load begins.
    pub(crate) async fn victim(self, side: &Side<'_>) -> Result<Victim> {
        Ok(match self {
            Self::Nothing
            | Self::ApiServersRolled
            | Self::ControllersRolled
            | Self::EtcdRolled
            | Self::EtcdScaled
            | Self::ServiceAccountKeyReplaced
            | Self::EncryptionKeyReplaced => Victim::Nobody,
            Self::NodeDrained => Victim::Node(side.node_to_drain().await?),
            Self::ControllerKilled => {
                Victim::Pod(side.scene.leader(1, Component::KubeControllerManager).await)
            }
            Self::ApiServerKilled => {
                Victim::Pod(side.scene.pods_of(Component::KubeApiserver).await.remove(0))
            }
            Self::EtcdLeaderStopped | Self::EtcdLeaderKilled => Victim::Pod(side.etcd_leader().await?),
        })
    }

    /// Makes it, and returns when all is whole again.
    pub(crate) async fn make(self, side: &Side<'_>, victim: &Victim) -> Result<()> {
        match (self, victim) {
            (Self::ApiServersRolled, _) => side.scene.roll(Component::KubeApiserver, WHOLE_LIMIT).await,
            (Self::ControllersRolled, _) => {
                for controller in [Component::KubeControllerManager, Component::KubeScheduler] {
                    side.scene.roll(controller, WHOLE_LIMIT).await;
                }
            }
            (Self::EtcdRolled, _) => side.scene.roll(Component::Etcd, WHOLE_LIMIT).await,
            (Self::EtcdScaled, _) => scaled(side).await,
            (Self::ServiceAccountKeyReplaced, _) => {
                replaced(side, "service-account", "certificateAuthority.rotation.serviceAccountKey").await?;
            }
            (Self::EncryptionKeyReplaced, _) => {
                replaced(side, "encryption", "certificateAuthority.rotation.encryptionKey").await?;
            }
            (_, Victim::Nobody) => sleep(NOTHING).await,
            (_, Victim::Node(node)) => {
                side.scene.drain(*node).await;
            }
            (Self::EtcdLeaderStopped, Victim::Pod(pod)) => stopped(side, pod).await?,
            (_, Victim::Pod(pod)) => killed(side, pod).await,
        }
        side.until_whole(WHOLE_LIMIT).await;
        Ok(())
    }
}

async fn scaled(side: &Side<'_>) {
    let others = side.scene.pods - MEMBERS;
    for members in [5, 3, 1, MEMBERS] {
        side.set("etcd.replicas", &members.to_string()).await;
        side.scene.release.until_ready(others + members, WHOLE_LIMIT).await;
    }
}

/// Until the old key is gone. No token that is worth anything is in use: they need not be waited for.
async fn replaced(side: &Side<'_>, set: &str, value: &'static str) -> Result<()> {
    let told =
        async || Status::of(side.scene.release, side.tenant.kubeconfig()).await.rotations().remove(set);
    let key = told().await.context("the certificate-authority tells of its keys")?.key + 1;
    side.set("certificateAuthority.rotation.serviceAccountKeyOverlap", "10s").await;
    side.set(value, &key.to_string()).await;
    eventually(&format!("{set} key {key} is in use alone"), ROTATION_LIMIT, async || match told().await {
        Some(told) if told.key == key && !told.under_way => Ok(()),
        other => Err(other),
    })
    .await;
    Ok(())
}

async fn stopped(side: &Side<'_>, pod: &PodView) -> Result<()> {
    side.tenant.objects::<Pod>().delete(&pod.name, &DeleteParams::default()).await?;
    side.scene.until_gone(pod, WHOLE_LIMIT).await;
    Ok(())
}

/// Until another process is there and says itself that it serves: the kubelet's word for it is seconds old.
async fn killed(side: &Side<'_>, pod: &PodView) {
    let victim = side.scene.kill_upstream(pod);
    eventually(&format!("another process runs in {}", pod.name), WHOLE_LIMIT, async || {
        match side.scene.upstream(pod) {
            Some(pid) if pid != victim => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let port = match side.kind {
        Kind::Ours => HEALTH_PORT,
        Kind::Floor if pod.component == Component::Etcd.name() => floor::ETCD_HEALTH_PORT,
        // It says it to nobody but the kubelet, which is waited for.
        Kind::Floor => return,
    };
    eventually(&format!("{} serves again", pod.name), WHOLE_LIMIT, async || {
        side.scene.get(pod, port, "/readyz").await
    })
    .await;
}
