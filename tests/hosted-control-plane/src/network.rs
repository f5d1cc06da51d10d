//! A node's or a Pod's network, entered by threads of their own: what runs there meets Services as Pods and kubelets do.
//! Refuses to move a thread that others use.

use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use management_cluster::ManagementCluster;
use nix::sched::{CloneFlags, setns};
use tokio::runtime::{Builder, Runtime};

use crate::pods::PodView;
use crate::scene::node_of;

/// Clients at home in another network; they end when this is dropped.
pub struct NodeNetwork {
    /// Never dropped where it would block: see `drop`.
    runtime: Option<Runtime>,
}

impl NodeNetwork {
    /// Enters the network of a node that lives.
    #[must_use]
    pub fn enter(cluster: &ManagementCluster, node: u8) -> Self {
        Self::open(&cluster.node_network(node).unwrap())
    }

    /// Enters the network of a Pod, through one of its processes: whatever looks at addresses takes it for the Pod.
    #[must_use]
    pub fn of_pod(cluster: &ManagementCluster, pod: &PodView) -> Self {
        let processes = cluster.pod_processes(node_of(pod), &pod.uid).unwrap();
        let process = processes.first().unwrap_or_else(|| panic!("nothing runs in {pod:?}"));
        Self::open(Path::new(&format!("/proc/{}/ns/net", process.pid)))
    }

    fn open(network: &Path) -> Self {
        let network = Arc::new(File::open(network).unwrap());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(move || setns(&*network, CloneFlags::CLONE_NEWNET).unwrap())
            .build()
            .unwrap();
        Self { runtime: Some(runtime) }
    }

    /// Runs something there to its end.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.as_ref().unwrap().spawn(work).await.unwrap()
    }
}

impl Drop for NodeNetwork {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
