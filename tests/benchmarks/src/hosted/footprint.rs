//! What the Pods of a release hold in memory, and what of it is ours.
//! Refuses to tell whose a process is by anything but the program it runs.

use anyhow::{Context as _, Result};
use hosted_control_plane::{PodView, node_of};
use management_cluster::ManagementCluster;
use naming_contract::Component;

use crate::memory;

/// Resident memory in MiB, anonymous and shared pages, of all processes of a release but the sandboxes'.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Footprint {
    /// Upstream's processes.
    pub(crate) upstream: f64,
    /// Our processes: supervisors and services.
    pub(crate) ours: f64,
    /// How many of ours.
    pub(crate) processes_of_ours: usize,
}

impl Footprint {
    pub(crate) fn total(self) -> f64 {
        self.upstream + self.ours
    }
}

/// Looks at every process of the Pods, as the host sees them.
pub(crate) fn of(cluster: &ManagementCluster, pods: &[PodView]) -> Result<Footprint> {
    let mut footprint = Footprint::default();
    for pod in pods {
        for process in cluster.pod_processes(node_of(pod), &pod.uid)? {
            let program = std::fs::read_link(format!("/proc/{}/exe", process.pid))
                .with_context(|| format!("cannot tell what {} of {} runs", process.command, pod.name))?;
            let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let held = memory::resident(process.pid, &memory::OWN)?;
            if Component::ALL.iter().any(|known| known.has_child() && known.name() == name) {
                footprint.upstream += held;
            } else {
                footprint.ours += held;
                footprint.processes_of_ours += 1;
            }
        }
    }
    Ok(footprint)
}
