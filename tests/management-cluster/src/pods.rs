//! The processes of a Pod as the host sees them: by its cgroup, so nobody in the Pod can hide.
//! Refuses to find processes by their names alone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cgroups;
use crate::error::{ClusterError, Result};

/// One process of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerProcess {
    /// Its pid, as the host numbers it.
    pub pid: u32,
    /// The program's file name, as the kernel tells it (15 bytes at most).
    pub command: String,
    /// Its parent's pid, as the host numbers it.
    pub parent: u32,
}

/// All processes of the Pod with this uid on a node, but for the sandbox's.
pub(crate) fn processes(cluster: &str, node: &str, pod_uid: &str) -> Result<Vec<ContainerProcess>> {
    let group = PathBuf::from("/sys/fs/cgroup");
    // `pids` is one hierarchy of v1; in v2 there is only one.
    let hierarchy = [group.join("pids"), group].into_iter().find(|path| path.join("cgroup.procs").is_file());
    let root = hierarchy.unwrap_or_default().join(cgroups::of_node(cluster, node).trim_start_matches('/'));
    let mut pids = Vec::new();
    collect(&root, &format!("pod{pod_uid}"), false, &mut pids).map_err(ClusterError::path("read", root))?;
    Ok(pids.into_iter().filter_map(describe).filter(|process| process.command != "pause").collect())
}

fn collect(directory: &Path, pod: &str, inside: bool, pids: &mut Vec<u32>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let inside = inside || entry.file_name().to_string_lossy() == pod;
            collect(&entry.path(), pod, inside, pids)?;
        }
    }
    if inside {
        let text = fs::read_to_string(directory.join("cgroup.procs"))?;
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    }
    Ok(())
}

fn describe(pid: u32) -> Option<ContainerProcess> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    Some(ContainerProcess { pid, command: field("Name:")?, parent: field("PPid:")?.parse().ok()? })
}
