//! A management cluster: brought up, hurt and healed by tests, taken down.
//! Refuses to be half there: what `up` cannot finish it removes.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::try_join_all;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::command::{Ran, kubectl};
use crate::error::{ClusterError, Result};
use crate::images::ComponentVersions;
use crate::layout::{Layout, NodeNumber};
use crate::machine::Machine;
use crate::node::Node;
use crate::options::Options;
use crate::pods::{self, ContainerProcess};
use crate::registry::Record;
use crate::{images, leftovers, objects, wire};

/// All of `up`, on two cores that do something else too.
const READY_LIMIT: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A running cluster. Unless it was [opened](Self::open) or [left](Self::leave), it is removed when dropped.
#[derive(Debug)]
pub struct ManagementCluster {
    layout: Layout,
    record: Record,
    removed_on_drop: bool,
}

/// A node as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Whether its machine runs.
    pub runs: bool,
    /// Where its services write.
    pub logs: PathBuf,
}

impl ManagementCluster {
    /// Makes one; returns when all nodes are Ready and cluster DNS answers. A dead earlier one of the same directory is
    /// removed first; a living one too.
    pub async fn up(options: Options) -> Result<Self> {
        options.check()?;
        let tell = |line: &str| options.tell(line);
        leftovers::remove(&options.directory, &options.name).await?;
        let layout = Layout::new(&options.directory);
        for directory in [&layout.root, &layout.root.join("machines"), &layout.manifests()] {
            durable_files::create_private_directory(directory)?;
        }
        let record = Record::new(&options, free_port(options.port)?);
        record.write(&layout)?;
        // From here on it is removed if anything fails, or if the future is dropped.
        let cluster = Self { layout, record, removed_on_drop: true };
        let begun = Instant::now();
        cluster.bring_up(&options).await?;
        tell(&format!("everything is ready after {:.0?}", begun.elapsed()));
        Ok(cluster)
    }

    /// The one that runs in a directory; dropping it leaves it running.
    pub fn open(directory: &Path) -> Result<Self> {
        let layout = Layout::new(directory);
        let record = Record::read(&layout)?;
        Ok(Self { layout, record, removed_on_drop: false })
    }

    /// Leaves it running when this is dropped.
    pub fn leave(&mut self) {
        self.removed_on_drop = false;
    }

    /// Removes it.
    pub async fn down(mut self) -> Result<()> {
        self.removed_on_drop = false;
        leftovers::remove(&self.layout.root, &self.record.name).await
    }

    async fn bring_up(&self, options: &Options) -> Result<()> {
        let wire = self.wire();
        options.tell("starting the control plane");
        wire::boot(&wire, &self.layout, options, &self.record).await?;
        wire.order(&format!("start {}", wire::CONTROL_PLANE)).await?;
        let mut stand_ins = images::of_nodes(&options.binaries).to_vec();
        for components in std::iter::once(&options.binaries.components).chain(&options.further_components) {
            let versions = ComponentVersions::of(components).await?;
            stand_ins.extend(images::of_control_plane(components, &versions));
        }
        let mut archives = images::build_all(&stand_ins, &options.image_cache).await?;
        archives.extend(options.images.iter().cloned());
        options.tell(&format!(
            "starting {} nodes, loading {} images into each",
            self.record.nodes,
            archives.len()
        ));
        let (wire_now, archives) = (&wire, &archives);
        let booted =
            self.nodes().map(|node| async move { node.boot(&self.record, wire_now, archives).await });
        try_join_all(booted).await?;
        options.tell("waiting for the API server");
        self.wait_for("the API server to be ready", async || {
            self.kubectl(["get", "--raw=/readyz"]).await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await?;
        let begun = OffsetDateTime::now_utc();
        let joined = self.nodes().map(|node| async move {
            node.enrol(&self.record, &self.layout, wire_now).await?;
            node.join(&self.record).await
        });
        try_join_all(joined).await?;
        self.apply_own_objects().await?;
        wire.order(&format!("start {}", wire::VOLUME_KEEPER)).await?;
        options.tell("waiting for the nodes");
        for node in self.nodes() {
            self.wait_for_node(&node, begun).await?;
        }
        options.tell("waiting for cluster DNS");
        self.wait_for_dns().await
    }

    async fn apply_own_objects(&self) -> Result<()> {
        let enforced = self.record.binaries.policy_tools.is_some();
        let list = objects::all(&self.record.numbers(), self.record.volumes_per_node, enforced);
        let file = self.layout.manifests().join("own.json");
        durable_files::write_private(&file, list.to_string().as_bytes())?;
        self.kubectl([OsStr::new("apply"), OsStr::new("--server-side"), OsStr::new("-f"), file.as_os_str()])
            .await
            .map(|_| ())
    }

    /// The administrators' kubeconfig, for use on this machine.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// Its nodes.
    #[must_use]
    pub fn node_states(&self) -> Vec<NodeState> {
        let state = |node: Node| NodeState {
            address: node.number.address().to_string(),
            runs: node.machine.is_alive(),
            logs: node.machine.layout.logs(),
            name: node.machine.name,
        };
        self.nodes().map(state).collect()
    }

    /// Runs kubectl as administrator.
    pub async fn kubectl(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Ran> {
        kubectl(&self.record.binaries.components, &self.kubeconfig(), arguments).await
    }

    /// Loads OCI archives into every living node. A node keeps its images when it dies and is revived; one that is dead
    /// now does not get these.
    pub async fn load_images(&self, archives: &[PathBuf]) -> Result<()> {
        for node in self.nodes().filter(|node| node.machine.is_alive()) {
            for archive in archives {
                node.load_image(&self.record.binaries, archive).await?;
            }
        }
        Ok(())
    }

    /// Kills a node (1 is the first): its first process gets SIGKILL, and the kernel ends everything else at once.
    pub async fn kill_node(&self, number: u8) -> Result<()> {
        self.node(number)?.machine.kill().await
    }

    /// Starts a dead node again, with the disk that it had. Returns when its kubelet reports that it is Ready.
    pub async fn revive_node(&self, number: u8) -> Result<()> {
        let node = self.node(number)?;
        if node.machine.is_alive() {
            return Err(ClusterError::Node { node: node.machine.name, problem: "runs already".to_owned() });
        }
        let begun = OffsetDateTime::now_utc();
        node.boot(&self.record, &self.wire(), &[]).await?;
        node.join(&self.record).await?;
        self.wait_for_node(&node, begun).await
    }

    /// Stops the whole control plane of the management cluster, in an orderly way: its API is away until
    /// [`Self::start_api_server`]. Nodes and Pods go on.
    pub async fn stop_api_server(&self) -> Result<()> {
        self.wire().order(&format!("stop {}", wire::CONTROL_PLANE)).await.map(drop)
    }

    /// Starts it again, with its data, and waits until it is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        self.wire().order(&format!("start {}", wire::CONTROL_PLANE)).await?;
        self.wait_for("the API server to be ready", async || {
            self.kubectl(["get", "--raw=/readyz"]).await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await
    }

    /// Runs a program to its end inside a node: in its namespaces, with the host's files and the node's own disk.
    pub async fn node_exec(
        &self,
        number: u8,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Ran> {
        self.node(number)?.machine.execute(program, arguments).await
    }

    /// A living node's network, as a file to be entered with setns(2) by a thread that shall be its client.
    pub fn node_network(&self, number: u8) -> Result<PathBuf> {
        let pid = self.node(number)?.machine.pid()?;
        Ok(PathBuf::from(format!("/proc/{pid}/ns/net")))
    }

    /// The processes of a Pod, with pids as the host numbers them, to be signalled from outside.
    pub fn pod_processes(&self, number: u8, pod_uid: &str) -> Result<Vec<ContainerProcess>> {
        pods::processes(&self.record.name, &self.node(number)?.machine.name, pod_uid)
    }

    fn nodes(&self) -> impl Iterator<Item = Node> {
        self.record.numbers().into_iter().map(|number| Node::new(&self.layout, number))
    }

    fn node(&self, number: u8) -> Result<Node> {
        let number = NodeNumber(number);
        if self.record.numbers().contains(&number) {
            return Ok(Node::new(&self.layout, number));
        }
        let problem = format!("does not exist: there are 1 to {}", self.record.nodes);
        Err(ClusterError::Node { node: number.name(), problem })
    }

    fn wire(&self) -> Machine {
        wire::machine(&self.layout)
    }

    /// Asks for a lease that was renewed since, too: the condition of a node that just died is still good.
    async fn wait_for_node(&self, node: &Node, since: OffsetDateTime) -> Result<()> {
        let name = &node.machine.name;
        let ready = "-o=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let renewed = "-o=jsonpath={.spec.renewTime}";
        self.wait_for(&format!("{name} to be Ready"), async || {
            let text = |error: ClusterError| error.to_string();
            let lease =
                self.kubectl(["-n", "kube-node-lease", "get", "lease", name, renewed]).await.map_err(text)?;
            match OffsetDateTime::parse(lease.output.trim(), &Rfc3339) {
                Ok(time) if time > since => {}
                _ => return Err(format!("its lease was renewed at {:?}", lease.output)),
            }
            match self.kubectl(["get", "node", name, ready]).await.map_err(text)?.output {
                status if status == "True" => Ok(()),
                status => Err(format!("Ready is {status:?}")),
            }
        })
        .await
    }

    async fn wait_for_dns(&self) -> Result<()> {
        let Some(node) = self.nodes().next() else { return Ok(()) };
        self.wait_for("cluster DNS to answer", async || {
            let asked = node.machine.in_network(self.record.init()).map(|line| line.arguments(["ask-dns"]));
            match asked {
                Ok(line) => line.run().await.map(|_| ()).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    async fn wait_for(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> std::result::Result<(), String>,
    ) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let Err(last_seen) = look().await else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(ClusterError::Deadline {
                    what: what.to_owned(),
                    limit: READY_LIMIT,
                    last_seen,
                    logs: self.layout.root.clone(),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for ManagementCluster {
    fn drop(&mut self) {
        if self.removed_on_drop {
            leftovers::remove_blocking(&self.layout.root, &self.record.name);
        }
    }
}

impl Options {
    fn tell(&self, line: &str) {
        if self.tells {
            #[expect(clippy::print_stderr, reason = "progress for whoever waits at a terminal")]
            {
                eprintln!("{line}");
            }
        }
    }
}

/// One that is free now; its first process takes it a moment later.
fn free_port(wanted: Option<u16>) -> Result<u16> {
    let address = format!("127.0.0.1:{}", wanted.unwrap_or(0));
    let taken = || ClusterError::path("listen at", &address);
    let listener = TcpListener::bind(&address).map_err(taken())?;
    Ok(listener.local_addr().map_err(taken())?.port())
}
