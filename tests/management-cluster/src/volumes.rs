//! Keeps the volume pools: what no claim has any more is emptied and offered again.
//! Refuses volumes that are not of a pool, and to empty one that a claim still has.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::error::{ClusterError, Result};
use crate::layout::Layout;
use crate::objects::{NODE_LABEL, POOL_LABEL};

/// How often is looked: a claim is deleted by people and tests, and a list of a few dozen objects costs a millisecond.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pools of one cluster.
#[derive(Debug, Clone)]
pub struct VolumePool {
    layout: Layout,
}

impl VolumePool {
    /// The pools of the cluster in a state directory.
    #[must_use]
    pub fn new(state_directory: PathBuf) -> Self {
        Self { layout: Layout::new(state_directory) }
    }

    fn directory(&self, volume: &PersistentVolume) -> Option<PathBuf> {
        let name = volume.metadata.name.as_deref()?;
        let node = volume.metadata.labels.as_ref()?.get(NODE_LABEL)?;
        Some(self.layout.machine(node).volume(name)).filter(|path| path.is_dir())
    }
}

/// Keeps the pools for ever; troubles are told to `tell` and tried again.
pub async fn keep(pool: &VolumePool, tell: impl Fn(&ClusterError)) -> Infallible {
    let mut last = String::new();
    loop {
        match look(pool).await {
            Ok(()) => last.clear(),
            Err(error) => {
                let text = error.to_string();
                if text != last {
                    tell(&error);
                }
                last = text;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks again and again with one client, until something fails.
async fn look(pool: &VolumePool) -> Result<()> {
    let api = |what: &str| {
        let what = what.to_owned();
        move |source: kube::Error| ClusterError::Api { what, source: Box::new(source) }
    };
    let path = pool.layout.kubeconfig();
    let unreadable = |error: kube::config::KubeconfigError| {
        ClusterError::path("read", pool.layout.kubeconfig())(io::Error::other(error))
    };
    let kubeconfig = Kubeconfig::read_from(&path).map_err(unreadable)?;
    let configuration = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = kube::Client::try_from(configuration.map_err(unreadable)?).map_err(api("make a client"))?;
    let volumes: Api<PersistentVolume> = Api::all(client);
    loop {
        let pooled = ListParams::default().labels(POOL_LABEL);
        for volume in volumes.list(&pooled).await.map_err(api("list volumes"))? {
            if is_released(&volume) {
                offer_again(&volumes, &volume, pool).await?;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Its claim was deleted; the claim's finalizer kept it until no Pod used it any more.
fn is_released(volume: &PersistentVolume) -> bool {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Released")
}

async fn offer_again(
    volumes: &Api<PersistentVolume>,
    volume: &PersistentVolume,
    pool: &VolumePool,
) -> Result<()> {
    let (Some(directory), Some(name)) = (pool.directory(volume), volume.metadata.name.as_deref()) else {
        return Ok(());
    };
    empty(&directory).map_err(ClusterError::path("empty", &directory))?;
    // Only as it was seen: whoever bound it since keeps it.
    let patch = json!({
        "metadata": { "resourceVersion": volume.metadata.resource_version },
        "spec": { "claimRef": null },
    });
    volumes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|source| {
        ClusterError::Api { what: format!("offer {name} again"), source: Box::new(source) }
    })?;
    Ok(())
}

/// Removes what is in it, also what begins with a dot, and gives it back to root as it was at first.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    std::os::unix::fs::chown(directory, Some(0), Some(0))?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_last_claim_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("volume");
        fs::create_dir_all(volume.join("member/wal")).unwrap();
        durable_files::write_private(&volume.join("member/wal/0.wal"), b"data").unwrap();
        durable_files::write_private(&volume.join(".hidden"), b"data").unwrap();
        std::os::unix::fs::symlink("/", volume.join("link")).unwrap();
        if nix::unistd::geteuid().is_root() {
            empty(&volume).unwrap();
            assert_eq!(fs::read_dir(&volume).unwrap().count(), 0);
        }
    }

    #[test]
    fn only_released_volumes_are_touched() {
        for (phase, expected) in
            [("Bound", false), ("Available", false), ("Released", true), ("Failed", false)]
        {
            let volume = serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {}, "status": { "phase": phase },
            }));
            assert_eq!(is_released(&volume.unwrap()), expected, "{phase}");
        }
    }
}
