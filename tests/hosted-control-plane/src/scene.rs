//! A release on its nodes while tests hurt it: who runs where, who leads, what each process of a Pod is.
//! Refuses to believe the kubelet's word for readiness where it may be a second old: it asks the Pods themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use end_to_end::{component, eventually};
use health_endpoints::StatusDocument;
use management_cluster::{ContainerProcess, ManagementCluster};
use naming_contract::{Component, ports};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::hosted::Hosted;
use crate::memory::Starved;
use crate::pods::PodView;
use crate::release::Release;

/// What a release runs that has no cloud controller manager.
pub const COMPONENTS: [Component; 6] = [
    Component::Etcd,
    Component::KubeApiserver,
    Component::KubeControllerManager,
    Component::KubeScheduler,
    Component::CertificateAuthority,
    Component::ClusterBootstrap,
];

/// A container that the kubelet starts again on a busy machine.
const RESTART_LIMIT: Duration = Duration::from_secs(120);

/// A release and all that it stands on.
pub struct Scene<'a> {
    /// The nodes.
    pub cluster: &'a ManagementCluster,
    /// The release.
    pub release: &'a Release<'a>,
    /// What it gives its clients.
    pub hosted: &'a Hosted<'a>,
    /// How many Pods it has.
    pub pods: usize,
}

impl Scene<'_> {
    /// Waits until all its Pods are Ready, by the kubelets' word and then by their own.
    pub async fn until_whole(&self, limit: Duration) {
        self.release.until_ready(self.pods, limit).await;
        for pod in self.release.pods().await {
            self.until_answers(&pod).await;
        }
    }

    /// Waits until a deleted Pod is no more.
    pub async fn until_gone(&self, pod: &PodView, limit: Duration) {
        eventually(&format!("{} is gone", pod.name), limit, async || {
            let found = self.release.pods().await.into_iter().find(|now| now.uid == pod.uid);
            found.map_or(Ok(()), Err)
        })
        .await;
    }

    /// Its Pods of one component.
    pub async fn pods_of(&self, component: Component) -> Vec<PodView> {
        let mut pods = self.release.pods().await;
        pods.retain(|pod| pod.component == component.name());
        pods
    }

    /// Replaces all Pods of a component, as an operator does: `kubectl rollout restart`. Until none of before is left; the
    /// last of the new ones may not be Ready yet.
    pub async fn roll(&self, component: Component, limit: Duration) {
        let uids = async || -> BTreeSet<String> {
            self.pods_of(component).await.into_iter().map(|pod| pod.uid).collect()
        };
        let before = uids().await;
        let kind = if component == Component::Etcd { "statefulset" } else { "deployment" };
        let workload = format!("{kind}/{}", self.release.objects().component(component));
        let namespace = format!("--namespace={}", self.release.namespace());
        self.cluster.kubectl(["rollout", "restart", &workload, &namespace]).await.unwrap();
        eventually(&format!("every Pod of {component} is another"), limit, async || {
            let left = uids().await.intersection(&before).count();
            if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
        })
        .await;
    }

    /// Drains a node and gives it back; what was there may not be Ready yet. Gives how long the drain took.
    pub async fn drain(&self, node: u8) -> Duration {
        let took = self.take_out(node).await;
        self.give_back(node).await;
        took
    }

    /// Drains a node and keeps it out of service. Gives how long that took.
    pub async fn take_out(&self, node: u8) -> Duration {
        let began = Instant::now();
        let drained = self.evict(node, &["--ignore-daemonsets", "--timeout=170s"]).await;
        assert!(drained.is_ok(), "{drained:?}");
        began.elapsed()
    }

    /// Puts a node into service again.
    pub async fn give_back(&self, node: u8) {
        self.cluster.kubectl(["uncordon", &format!("node-{node}")]).await.unwrap();
    }

    /// Tries to drain a node of its Pods of one component, and expects the budget to refuse it. It stays in service.
    pub async fn budget_refuses(&self, node: u8, component: Component) {
        let pods = format!("--pod-selector=app.kubernetes.io/component={component}");
        let refused = self.evict(node, &[&pods, "--timeout=5s"]).await;
        self.give_back(node).await;
        let told = refused.expect_err("a budget holds it");
        assert!(told.contains("disruption budget"), "{told}");
    }

    /// What kubectl complains of, if it cannot empty a node.
    async fn evict(&self, node: u8, how: &[&str]) -> Result<(), String> {
        let name = format!("node-{node}");
        let line = [&["drain", &name, "--delete-emptydir-data"], how].concat();
        self.cluster.kubectl(line).await.map(drop).map_err(|error| format!("{error:#}"))
    }

    /// The Pod that holds a component's leader lease.
    pub async fn leader(&self, node: u8, component: Component) -> PodView {
        let line = ["-n=kube-system", "get", "lease", component.name(), "-o=jsonpath={.spec.holderIdentity}"];
        eventually("somebody leads", RESTART_LIMIT, async || {
            let holder = self.hosted.kubectl(node, &line).await?;
            let pods = self.pods_of(component).await;
            let found = pods.into_iter().find(|pod| holder.starts_with(&format!("{}_", pod.name)));
            found.ok_or_else(|| format!("held by {holder:?}"))
        })
        .await
    }

    /// The Pod of etcd's leader, by its supervisor's word.
    pub async fn etcd_leader(&self) -> PodView {
        eventually("a member of etcd leads", RESTART_LIMIT, async || {
            let mut said = Vec::new();
            for pod in self.pods_of(Component::Etcd).await {
                let document = self.get(&pod, ports::HEALTH, "/statusz").await;
                let document: Option<StatusDocument> =
                    document.ok().and_then(|text| serde_json::from_str(&text).ok());
                let leads = document.and_then(|mut document| document.details.remove("leader"));
                if leads.as_deref() == Some("true") {
                    return Ok(pod);
                }
                said.push((pod.name, leads));
            }
            Err(said)
        })
        .await
    }

    /// Waits until a Pod itself says that it is ready; also while the management cluster's API server is away.
    pub async fn until_answers(&self, pod: &PodView) {
        eventually(&format!("{} says that it is ready", pod.name), RESTART_LIMIT, async || {
            self.get(pod, ports::HEALTH, "/readyz").await
        })
        .await;
    }

    /// What a Pod answers over plain HTTP, asked from its node.
    pub async fn get(&self, pod: &PodView, port: u16, path: &str) -> Result<String, String> {
        let address = pod.address.as_deref().ok_or("it has no address")?;
        let line = [format!("--server=http://{address}:{port}"), format!("--raw={path}")];
        let line = ["get", &line[0], &line[1], "--request-timeout=5s"];
        let ran = self.cluster.node_exec(node_of(pod), component("kubectl"), line).await;
        ran.map(|ran| ran.output).map_err(|error| error.to_string())
    }

    /// Kills the process that a Pod's container runs: the kubelet has to start it again. With the new one's children.
    pub async fn kill_container(&self, pod: &PodView) {
        let first =
            self.processes(pod).into_iter().find_map(|(process, is_child)| (!is_child).then_some(process));
        self.kill_and_await(pod, &first.expect("it runs")).await;
    }

    /// Kills the upstream process under our supervisor, which has to start it again; false if the Pod has none.
    pub async fn kill_child(&self, pod: &PodView) -> bool {
        let child =
            self.processes(pod).into_iter().find_map(|(process, is_child)| is_child.then_some(process));
        let Some(child) = child else { return false };
        self.kill_and_await(pod, &child).await;
        true
    }

    /// The upstream process of a Pod, whoever is above it.
    #[must_use]
    pub fn upstream(&self, pod: &PodView) -> Option<u32> {
        // The kernel tells no more of a name.
        let name: String = pod.component.chars().take(15).collect();
        let processes = self.processes(pod).into_iter();
        processes.map(|(process, _)| process).find(|process| process.command == name).map(|it| it.pid)
    }

    /// Kills it, and waits for nothing; gives the pid that is no more.
    #[must_use]
    pub fn kill_upstream(&self, pod: &PodView) -> u32 {
        let victim = self.upstream(pod).unwrap_or_else(|| panic!("nothing of upstream's runs in {pod:?}"));
        kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL).unwrap();
        victim
    }

    /// Takes the memory of a Pod's upstream process away until the kernel has killed it, alone or with its whole container.
    pub async fn kill_for_memory(&self, pod: &PodView) {
        let victim = self.upstream(pod).unwrap_or_else(|| panic!("nothing of upstream's runs in {pod:?}"));
        let starved = Starved::container_of(victim);
        eventually(&format!("process {victim} of {} is killed", pod.name), RESTART_LIMIT, async || {
            if self.upstream(pod) == Some(victim) { Err("it lives") } else { Ok(()) }
        })
        .await;
        drop(starved);
        self.until_answers(pod).await;
    }

    /// Waits until another process of that name runs there, no fewer processes than before, and the Pod says that it is
    /// ready.
    async fn kill_and_await(&self, pod: &PodView, victim: &ContainerProcess) {
        let before = self.processes(pod).len();
        kill(Pid::from_raw(victim.pid.cast_signed()), Signal::SIGKILL).unwrap();
        eventually(&format!("{} of {} runs again", victim.command, pod.name), RESTART_LIMIT, async || {
            let now = self.processes(pod);
            let again = |(process, _): &(ContainerProcess, bool)| {
                process.command == victim.command && process.pid != victim.pid
            };
            if now.iter().any(again) && now.len() >= before { Ok(()) } else { Err(now) }
        })
        .await;
        self.until_answers(pod).await;
    }

    /// The processes of a Pod, and whether each is the child of another.
    fn processes(&self, pod: &PodView) -> Vec<(ContainerProcess, bool)> {
        let processes = self.cluster.pod_processes(node_of(pod), &pod.uid).unwrap_or_default();
        let pids: BTreeSet<u32> = processes.iter().map(|process| process.pid).collect();
        let told = |process: ContainerProcess| {
            let is_child = pids.contains(&process.parent);
            (process, is_child)
        };
        processes.into_iter().map(told).collect()
    }
}

/// The number of the node that a Pod is on.
#[must_use]
pub fn node_of(pod: &PodView) -> u8 {
    let node = pod.node.as_deref().and_then(|node| node.strip_prefix("node-"));
    node.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("on no node: {pod:?}"))
}
