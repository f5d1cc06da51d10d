//! The command line. Every text here is read by people in `--help`.
//! Refuses logic: defaults that need more than one flag are the library's.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use management_cluster::{Binaries, NodeMonitor, Options, default_image_cache, user_directory};

/// A real Kubernetes cluster on this machine, to host control planes on: nodes in namespaces, each with its own kubelet,
/// containerd and kube-proxy; their control plane under `pilothouse up`. Needs root. Nothing can be pulled in it: load
/// images as OCI archives.
#[derive(Debug, Parser)]
#[command(name = "management-cluster", bin_name = "cargo xtask management-cluster")]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Start one, in place of an earlier one of the same name; ends when all nodes are Ready and DNS answers
    Up(Box<UpArguments>),
    /// Remove it: processes, mounts, networks, cgroups, data
    Down(Which),
    /// Print where the administrators' kubeconfig lies
    Kubeconfig(Which),
    /// Print its nodes, whether each runs, and where its logs are
    Status(Which),
    /// Load OCI archives into every living node
    LoadImages {
        /// The archives, as `cargo xtask images --output` writes them
        #[arg(required = true, value_name = "FILE")]
        archives: Vec<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Kill a node at once, as a power cut does; its disk stays
    KillNode {
        /// Which one, from 1
        #[arg(value_name = "N")]
        number: u8,
        #[command(flatten)]
        which: Which,
    },
    /// Start a dead node again, with the disk that it had
    ReviveNode {
        /// Which one, from 1
        #[arg(value_name = "N")]
        number: u8,
        #[command(flatten)]
        which: Which,
    },
    /// Be the first process of a machine
    #[command(hide = true)]
    Init { specification: PathBuf },
    /// Keep the volume pools
    #[command(hide = true)]
    Volumes { state_directory: PathBuf },
    /// Ask cluster DNS one question
    #[command(hide = true)]
    AskDns,
}

/// Which cluster is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// Its name
    #[arg(long, default_value = DEFAULT_NAME, value_name = "NAME")]
    pub(crate) name: String,
    /// Directory of all its data [default: ~/.local/state/pilothouse-management-cluster/NAME]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

const DEFAULT_NAME: &str = "management";

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Nodes, 1 to 9
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    nodes: u8,
    /// Port of its API servers on 127.0.0.1 [default: a free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Volumes in the pool of each node
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    volumes: u32,
    /// etcd members of its own control plane: 1, 3 or 5
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    etcd: u32,
    /// Replicas of everything else in its own control plane
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    replicas: u32,
    /// Seconds after which a silent node counts as dead [default: Kubernetes' 50]
    #[arg(long, value_name = "SECONDS", requires = "toleration")]
    node_grace_period: Option<u64>,
    /// Seconds after which Pods of a dead node are replaced [default: Kubernetes' 300]
    #[arg(long, value_name = "SECONDS", requires = "node_grace_period")]
    toleration: Option<u64>,
    /// One more OCI archive to load (repeat)
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// Directory with pilothouse and the supervisors [default: where this program lies]
    #[arg(long, env = "PILOTHOUSE_BINARIES", value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Directory with the control plane's upstream binaries
    #[arg(long, env = "PILOTHOUSE_COMPONENTS", value_name = "DIR")]
    components: PathBuf,
    /// Directory with what nodes run
    #[arg(long, env = "PILOTHOUSE_NODE_TOOLS", value_name = "DIR")]
    node_tools: PathBuf,
    /// Enforce network policies, by Cilium, whose first build takes some minutes
    #[arg(long, requires = "policy_tools")]
    enforce_policies: bool,
    /// Directory with what enforces network policies
    #[arg(long, env = "PILOTHOUSE_POLICY_TOOLS", value_name = "DIR")]
    policy_tools: Option<PathBuf>,
    /// Where built images are kept between runs [default: ~/.cache/pilothouse/images]
    #[arg(long, value_name = "DIR")]
    image_cache: Option<PathBuf>,
}

impl Which {
    pub(crate) fn directory(&self) -> PathBuf {
        let default = || {
            user_directory("XDG_STATE_HOME", ".local/state")
                .join("pilothouse-management-cluster")
                .join(&self.name)
        };
        absolute(self.state_dir.clone().unwrap_or_else(default))
    }

    /// The flags by which the same cluster is meant again, with a space in front.
    pub(crate) fn flags(&self) -> String {
        let name = if self.name == DEFAULT_NAME { String::new() } else { format!(" --name {}", self.name) };
        let directory =
            self.state_dir.as_ref().map(|directory| format!(" --state-dir {}", directory.display()));
        name + directory.as_deref().unwrap_or_default()
    }
}

impl UpArguments {
    pub(crate) fn options(self) -> Options {
        let own = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
        let binaries = Binaries {
            ours: absolute(self.binaries.or(own).unwrap_or_default()),
            components: absolute(self.components),
            node_tools: absolute(self.node_tools),
            policy_tools: self.policy_tools.filter(|_| self.enforce_policies).map(absolute),
        };
        let image_cache = self.image_cache.unwrap_or_else(default_image_cache);
        let monitor =
            self.node_grace_period.zip(self.toleration).map(|(grace_period, toleration)| NodeMonitor {
                grace_period: Duration::from_secs(grace_period),
                toleration: Duration::from_secs(toleration),
            });
        Options {
            name: self.which.name.clone(),
            nodes: self.nodes,
            port: self.port,
            volumes_per_node: self.volumes,
            control_plane: (self.etcd, self.replicas),
            node_monitor: monitor,
            images: self.images.into_iter().map(absolute).collect(),
            tells: true,
            ..Options::new(self.which.directory(), absolute(image_cache), binaries)
        }
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
