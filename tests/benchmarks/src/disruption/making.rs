//! How each change is made, the same way to both control planes: what an operator types, or what befalls a process.
//! Refuses to come back before all is whole again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use certificates::{Profile, Rotated};
use end_to_end::eventually;
use health_endpoints::StatusDocument;
use hosted_control_plane::{PodView, key_in_use, until_replaced, value_to_raise};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use naming_contract::{Component, ports};
use time::OffsetDateTime;
use tokio::time::sleep;

use super::change::{Change, Victim};
use super::side::{Kind, Side};
use super::{API_SERVERS, WHOLE_LIMIT};
use crate::floor;

/// How long nothing happens where nothing does.
const NOTHING: Duration = Duration::from_secs(20);
/// Each API server restarts three times, drains for up to 40 s, and waits for the other one.
const ROTATION_LIMIT: Duration = Duration::from_secs(600);
/// Certificates live so long in the one measurement that is about them, by profile: client-go looks every five minutes
/// whether there is a newer one (client-go/transport/cert_rotation.go), so none that it uses may live shorter.
const LIFETIME: &str = "12m";
/// They are renewed before the half of it, and a Pod that came late came two minutes after the first.
const RENEWAL_LIMIT: Duration = Duration::from_secs(480);
const SEND_RETRY_AFTER: &str = "apiServer.drain.sendRetryAfter";
/// Upstream's.
const CONTROLLERS: [Component; 2] = [Component::KubeControllerManager, Component::KubeScheduler];
/// Of etcd, before and after all changes.
const MEMBERS: usize = 3;

impl Change {
    /// What has to be so before the load begins.
    pub(crate) async fn prepare(self, side: &Side<'_>) -> Result<()> {
        if self == Self::CertificatesRenewed && side.kind == Kind::Ours {
            for profile in Profile::ALL {
                side.also_set(&format!("certificateAuthority.lifetimes.{}", profile.name()), LIFETIME);
            }
            side.upgrade().await;
            // The certificate-authority first, which takes the lifetimes up; the upgrade rolls it, too, and this waits for the
            // end of either.
            side.scene.roll(Component::CertificateAuthority, WHOLE_LIMIT).await;
            side.until_whole(WHOLE_LIMIT).await;
            side.scene.roll(Component::ClusterBootstrap, WHOLE_LIMIT).await;
            all_rolled(side).await;
            side.until_whole(WHOLE_LIMIT).await;
        }
        if self == Self::ApiServersRolledWithRetryAfter {
            side.set(SEND_RETRY_AFTER, "true").await;
            // The upgrade rolls them, too; this waits for the end of either.
            side.scene.roll(Component::KubeApiserver, WHOLE_LIMIT).await;
            side.until_whole(WHOLE_LIMIT).await;
        }
        if self.is_of_one_api_server() {
            side.scale_api_servers(1).await?;
            side.until_whole(WHOLE_LIMIT).await;
        }
        Ok(())
    }

    /// What is to be as before for the next one.
    pub(crate) async fn undo(self, side: &Side<'_>) -> Result<()> {
        if self == Self::ApiServersRolledWithRetryAfter {
            side.set(SEND_RETRY_AFTER, "false").await;
            side.scene.roll(Component::KubeApiserver, WHOLE_LIMIT).await;
        }
        if self.is_of_one_api_server() {
            side.scale_api_servers(API_SERVERS).await?;
        }
        Ok(())
    }

    /// Makes it, and returns when all is whole again.
    pub(crate) async fn make(self, side: &Side<'_>, victim: &Victim) -> Result<()> {
        match (self, victim) {
            (
                Self::ApiServersRolled | Self::ApiServersRolledWithRetryAfter | Self::OnlyApiServerRolled,
                _,
            ) => {
                side.scene.roll(Component::KubeApiserver, WHOLE_LIMIT).await;
            }
            (Self::ControllersRolled, _) => controllers_rolled(side).await,
            (Self::MinorUpgrade, _) => upgraded(side).await?,
            (Self::CertificatesRenewed, _) if side.kind == Kind::Floor => all_rolled(side).await,
            (Self::CertificatesRenewed, _) => renewed(side).await,
            (Self::EtcdRolled, _) => side.scene.roll(Component::Etcd, WHOLE_LIMIT).await,
            (Self::EtcdScaled, _) => scaled(side).await,
            (Self::ServiceAccountKeyReplaced, _) => replaced(side, Rotated::ServiceAccount).await?,
            (Self::EncryptionKeyReplaced, _) => replaced(side, Rotated::Encryption).await?,
            (Self::CertificateAuthoritiesReplaced, _) => {
                replaced(side, Rotated::CertificateAuthorities).await?;
            }
            (_, Victim::Nobody) => sleep(NOTHING).await,
            (_, Victim::Node(node)) => {
                side.scene.drain(*node).await;
            }
            (Self::ControllerContainerKilled, Victim::Pod(pod)) => side.scene.kill_container(pod).await,
            (Self::EtcdLeaderStopped, Victim::Pod(pod)) => stopped(side, pod).await?,
            (_, Victim::Pod(pod)) => killed(side, pod).await,
        }
        side.until_whole(WHOLE_LIMIT).await;
        Ok(())
    }
}

async fn controllers_rolled(side: &Side<'_>) {
    for controller in CONTROLLERS {
        side.scene.roll(controller, WHOLE_LIMIT).await;
    }
}

async fn all_rolled(side: &Side<'_>) {
    for component in [Component::Etcd, Component::KubeApiserver] {
        side.scene.roll(component, WHOLE_LIMIT).await;
        side.until_whole(WHOLE_LIMIT).await;
    }
    controllers_rolled(side).await;
}

/// Until every Pod has the new version, and none of the old one is left.
async fn upgraded(side: &Side<'_>) -> Result<()> {
    let version = &side.newest.kubernetes;
    let all_run = async |component: Component| {
        eventually(&format!("every {component} runs {version}"), WHOLE_LIMIT, async || {
            let pods = side.scene.pods_of(component).await;
            let runs = |pod: &PodView| pod.image.ends_with(version) && pod.ready && !pod.going;
            if !pods.is_empty() && pods.iter().all(runs) { Ok(()) } else { Err(pods) }
        })
        .await;
    };
    if side.kind == Kind::Ours {
        side.set("kubernetesVersion", version).await;
        all_run(Component::KubeApiserver).await;
    } else {
        side.set_image(Component::KubeApiserver, version).await?;
        // Controllers may not be newer than any API server (the version skew policy), and here nobody sees to it.
        all_run(Component::KubeApiserver).await;
        for controller in CONTROLLERS {
            side.set_image(controller, version).await?;
        }
    }
    for controller in CONTROLLERS {
        all_run(controller).await;
    }
    Ok(())
}

/// Until no Pod holds a certificate that it held at the beginning.
async fn renewed(side: &Side<'_>) {
    let held = async || -> Result<BTreeMap<(String, String), OffsetDateTime>, String> {
        let mut held = BTreeMap::new();
        for pod in side.scene.release.pods().await {
            let text = side.scene.get(&pod, ports::HEALTH, "/statusz").await?;
            let document: StatusDocument = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            held.extend(
                document.certificates.into_iter().map(|it| ((pod.name.clone(), it.profile), it.not_after)),
            );
        }
        Ok(held)
    };
    let before = eventually("every Pod tells its certificates", WHOLE_LIMIT, held).await;
    eventually("every certificate is another", RENEWAL_LIMIT, async || {
        let now = held().await?;
        let old = |(which, ends): &(&(String, String), &OffsetDateTime)| now.get(*which) == Some(*ends);
        let old: Vec<String> =
            before.iter().filter(old).map(|((pod, leaf), _)| format!("{pod} {leaf}")).collect();
        if old.is_empty() { Ok(()) } else { Err(old.join(", ")) }
    })
    .await;
}

async fn scaled(side: &Side<'_>) {
    let others = side.scene.pods - MEMBERS;
    for members in [5, 3, 1, MEMBERS] {
        side.set("etcd.replicas", &members.to_string()).await;
        side.scene.release.until_ready(others + members, WHOLE_LIMIT).await;
    }
}

/// Until the old one is gone. No token that is worth anything is in use, and clients get their kubeconfig within a second:
/// neither needs the time that outsiders are given.
async fn replaced(side: &Side<'_>, what: Rotated) -> Result<()> {
    let key = key_in_use(&side.scene, side.tenant, what).await;
    let key = key.context("the certificate-authority tells of its keys")? + 1;
    for overlap in ["serviceAccountKeyOverlap", "certificateAuthorityOverlap"] {
        side.also_set(&format!("certificateAuthority.rotation.{overlap}"), "10s");
    }
    side.set(value_to_raise(what), &key.to_string()).await;
    until_replaced(&side.scene, side.tenant, what, key, ROTATION_LIMIT).await;
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
        Kind::Ours => ports::HEALTH,
        Kind::Floor if pod.component == Component::Etcd.name() => floor::ETCD_HEALTH_PORT,
        // It says it to nobody but the kubelet, which is waited for.
        Kind::Floor => return,
    };
    eventually(&format!("{} serves again", pod.name), WHOLE_LIMIT, async || {
        side.scene.get(pod, port, "/readyz").await
    })
    .await;
}
