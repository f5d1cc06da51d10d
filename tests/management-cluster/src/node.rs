//! One node: a machine with containerd, kubelet and kube-proxy, its disk and its credentials.
//! Refuses to share anything with another node but the kernel.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cgroups;
use crate::command::Line;
use crate::error::{ClusterError, Result};
use crate::images;
use crate::layout::{Layout, NodeNumber, WIRE_ADDRESS, volume_name};
use crate::machine::Machine;
use crate::network;
use crate::node_configuration::{self, CONTAINERD_SOCKET, NodeConfiguration};
use crate::options::{Binaries, SYSTEM_PATH};
use crate::policies;
use crate::registry::Record;
use crate::specification::{MachineSpecification, ServiceSpecification};

const CONTAINERD: &str = "containerd";
const KUBELET: &str = "kubelet";
const KUBE_PROXY: &str = "kube-proxy";

/// Settings that kubelet would set for the whole machine (`setupKernelTunables`), with the values that it wants.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) number: NodeNumber,
    pub(crate) machine: Machine,
}

impl Node {
    pub(crate) fn new(layout: &Layout, number: NodeNumber) -> Self {
        Self { number, machine: Machine::new(layout, &number.name()) }
    }

    /// Starts the machine with its disk as it is, plugs it in, starts containerd and loads images.
    pub(crate) async fn boot(&self, record: &Record, wire: &Machine, archives: &[PathBuf]) -> Result<()> {
        let cgroup = cgroups::of_node(&record.name, &self.machine.name);
        cgroups::remove(&cgroup).await?;
        cgroups::make(&cgroup)?;
        self.make_volumes(record.volumes_per_node)?;
        durable_files::create_private_directory(&self.machine.layout.configuration())?;
        self.write_configuration(&record.binaries, &cgroup)?;
        self.machine.start(&record.init(), &self.specification(&record.binaries)).await?;
        let booted = self.finish_boot(record, wire, archives).await;
        if booted.is_err() {
            // Half a node would count as one that runs.
            self.machine.kill().await?;
        }
        booted
    }

    async fn finish_boot(&self, record: &Record, wire: &Machine, archives: &[PathBuf]) -> Result<()> {
        let enforced = record.binaries.policy_tools.is_some();
        network::connect(wire, &self.machine, self.number, &record.numbers(), enforced).await?;
        self.machine.order(&format!("start {CONTAINERD}")).await?;
        self.wait_for_containerd(&record.binaries).await?;
        for archive in archives {
            self.load_image(&record.binaries, archive).await?;
        }
        Ok(())
    }

    /// Asks the control plane for credentials, keys made here, as the node that this is.
    pub(crate) async fn enrol(&self, record: &Record, layout: &Layout, wire: &Machine) -> Result<()> {
        wire.inside(record.binaries.ours.join("pilothouse"))?
            .arguments([
                "node-credentials",
                &self.machine.name,
                "--address",
                &self.number.address().to_string(),
            ])
            .arguments(["--server", &format!("https://{WIRE_ADDRESS}:{}", record.port)])
            .arguments(["--name", &record.name, "--state-dir"])
            .arguments([layout.control_plane().as_os_str(), "--output".as_ref()])
            .arguments([self.machine.layout.credentials()])
            .run()
            .await?;
        Ok(())
    }

    /// Starts what makes it a node.
    pub(crate) async fn join(&self, record: &Record) -> Result<()> {
        let enforcer = record.binaries.policy_tools.as_ref().map(|_| policies::AGENT);
        for service in [KUBELET, KUBE_PROXY].into_iter().chain(enforcer) {
            self.machine.order(&format!("start {service}")).await?;
        }
        Ok(())
    }

    /// Imports an archive; what is there already costs nothing.
    pub(crate) async fn load_image(&self, binaries: &Binaries, archive: &Path) -> Result<()> {
        self.ctr(binaries)?
            .arguments([OsStr::new("images"), OsStr::new("import"), archive.as_os_str()])
            .limit(Duration::from_secs(300))
            .run()
            .await?;
        Ok(())
    }

    fn ctr(&self, binaries: &Binaries) -> Result<Line> {
        Ok(self.machine.inside(binaries.node_tools.join("ctr"))?.arguments([
            "--address",
            CONTAINERD_SOCKET,
            "--namespace",
            images::NAMESPACE,
        ]))
    }

    async fn wait_for_containerd(&self, binaries: &Binaries) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(60);
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let Err(error) = self.ctr(binaries)?.arguments(["version"]).run().await else { return Ok(()) };
            if tokio::time::Instant::now() >= deadline {
                return Err(ClusterError::Deadline {
                    what: format!("containerd of {}", self.machine.name),
                    limit: LIMIT,
                    last_seen: error.to_string(),
                    logs: self.machine.layout.logs(),
                });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn make_volumes(&self, count: u32) -> Result<()> {
        for index in 1..=count {
            let volume = self.machine.layout.volume(&volume_name(self.number, index));
            std::fs::create_dir_all(&volume).map_err(ClusterError::path("create", volume))?;
        }
        Ok(())
    }

    fn write_configuration(&self, binaries: &Binaries, cgroup: &str) -> Result<()> {
        let directory = self.machine.layout.configuration();
        durable_files::create_private_directory(&directory.join("cni"))?;
        let configuration = NodeConfiguration {
            number: self.number,
            node_tools: &binaries.node_tools,
            policy_tools: binaries.policy_tools.as_deref(),
            directory: &directory,
            credentials: &self.machine.layout.credentials(),
            cgroup,
        };
        for (name, content) in configuration.files() {
            durable_files::write_private(&directory.join(name), content.as_bytes())?;
        }
        Ok(())
    }

    fn specification(&self, binaries: &Binaries) -> MachineSpecification {
        let layout = &self.machine.layout;
        let own = |inside: &str| (layout.disk(inside), PathBuf::from(inside));
        let setting = |(name, value): (&str, &str)| (Path::new("/proc/sys").join(name), format!("{value}\n"));
        let of_policies = binaries.policy_tools.iter().flat_map(|_| policies::KERNEL_SETTINGS);
        MachineSpecification {
            hostname: self.machine.name.clone(),
            identity: layout.identity(),
            control_socket: layout.control_socket(),
            logs: layout.logs(),
            disks: vec![own("/var/lib"), own("/var/log")],
            scratch: vec!["/run".into()],
            pinned: KERNEL_SETTINGS.into_iter().chain(of_policies).map(setting).collect(),
            network_settings: vec![("/proc/sys/net/ipv4/ip_forward".into(), "1".to_owned())],
            front: None,
            services: self.services(binaries),
        }
    }

    fn services(&self, binaries: &Binaries) -> Vec<ServiceSpecification> {
        let layout = &self.machine.layout;
        let configuration = layout.configuration();
        let tool = |name: &str| binaries.node_tools.join(name);
        let path = format!("{}:{SYSTEM_PATH}", binaries.node_tools.display());
        let service = |name: &str, arguments: Vec<String>| {
            ServiceSpecification::new(name, tool(name), arguments).environment("PATH", &path)
        };
        let file = |name: &str| configuration.join(name).display().to_string();
        let credential = |name: &str| layout.credentials().join(name).display().to_string();
        let mut services = vec![
            service(CONTAINERD, vec!["--config".to_owned(), file("containerd.toml")]),
            service(
                KUBELET,
                vec![
                    format!("--config={}", file("kubelet.json")),
                    format!(
                        "--kubeconfig={}",
                        credential(local_control_plane::node_files::KUBELET_KUBECONFIG)
                    ),
                    format!("--hostname-override={}", self.machine.name),
                    format!("--node-ip={}", self.number.address()),
                    // A zone each, for topology spread.
                    format!("--node-labels=topology.kubernetes.io/zone=zone-{}", self.number.0),
                ],
            ),
            service(KUBE_PROXY, vec![format!("--config={}", file("kube-proxy.json"))]),
        ];
        if let Some(tools) = &binaries.policy_tools {
            let arguments = [format!("--config={}", file(node_configuration::POLICIES))];
            let agent = ServiceSpecification::new(policies::AGENT, tools.join(policies::AGENT), arguments);
            let path = format!("{}:{SYSTEM_PATH}", policies::COMPILER_DIRECTORY);
            services.push(agent.environment("PATH", path));
        }
        services
    }
}
