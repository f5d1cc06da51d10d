//! The cgroups that the nodes' Pods live in: made before a kubelet starts, removed when its machine is dead.
//! Refuses to touch any that does not carry the cluster's name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{ClusterError, Result};

const ROOT: &str = "/sys/fs/cgroup";
/// Ended processes leave their cgroups a moment later.
const REMOVAL_LIMIT: Duration = Duration::from_secs(10);

/// `/pilothouse-NAME/node-N`, as kubelet's `cgroupRoot`.
pub(crate) fn of_node(cluster: &str, node: &str) -> String {
    format!("/{}/{node}", of_cluster(cluster))
}

pub(crate) fn of_cluster(cluster: &str) -> String {
    format!("pilothouse-{cluster}")
}

/// Makes the group in every hierarchy.
pub(crate) fn make(group: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let mut path = hierarchy.clone();
        for part in group.trim_matches('/').split('/') {
            let parent = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(ClusterError::path("create", path)(error));
                }
                _ => {}
            }
            take_over(&parent, &path)?;
        }
    }
    Ok(())
}

/// A cpuset without processors takes no process (v1), a controller that the parent does not pass on is not there (v2).
fn take_over(parent: &Path, child: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(file), child.join(file));
        if from.is_file() && fs::read_to_string(&to).is_ok_and(|value| value.trim().is_empty()) {
            let value = fs::read(&from).map_err(ClusterError::path("read", &from))?;
            // In v2 an empty one means the parent's.
            if !unified() {
                put(&to, &value)?;
            }
        }
    }
    let control = parent.join("cgroup.subtree_control");
    if unified() && control.is_file() {
        let offered = parent.join("cgroup.controllers");
        let offered = fs::read_to_string(&offered).map_err(ClusterError::path("read", &offered))?;
        for controller in offered.split_whitespace() {
            put(&control, format!("+{controller}").as_bytes())?;
        }
    }
    Ok(())
}

fn put(file: &Path, value: &[u8]) -> Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut open| open.write_all(value))
        .map_err(ClusterError::path("write", file))
}

/// Removes the group and all below it, as soon as no process is left in it.
pub(crate) async fn remove(group: &str) -> Result<()> {
    let group = group.trim_matches('/');
    let deadline = tokio::time::Instant::now() + REMOVAL_LIMIT;
    for hierarchy in hierarchies()? {
        let path = hierarchy.join(group);
        while let Err(error) = remove_tree(&path) {
            if tokio::time::Instant::now() >= deadline {
                return Err(ClusterError::path("remove", path)(error));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").is_file()
}

/// The one of v2, or each of v1; links such as `cpu,cpuacct` lead to others and are left out.
fn hierarchies() -> Result<Vec<PathBuf>> {
    if unified() {
        return Ok(vec![PathBuf::from(ROOT)]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(ROOT).map_err(ClusterError::path("read", ROOT))? {
        let entry = entry.map_err(ClusterError::path("read", ROOT))?;
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && entry.path().join("cgroup.procs").is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
