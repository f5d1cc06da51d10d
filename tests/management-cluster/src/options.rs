//! What a management cluster is to be like, with the defaults that people get.
//! Refuses what cannot work here before anything is made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{ClusterError, Result};
use crate::policies;

/// Where the programs are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Binaries {
    /// Ours: pilothouse, the supervisors and management-cluster itself.
    pub ours: PathBuf,
    /// The control plane's: what `cargo xtask components` prints.
    pub components: PathBuf,
    /// The nodes': what `cargo xtask components --tools node` prints.
    pub node_tools: PathBuf,
    /// What makes nodes enforce network policies: what `cargo xtask components --tools policies` prints. None: nothing does.
    pub policy_tools: Option<PathBuf>,
}

/// How soon a dead node is noticed and its Pods replaced. Say these beside every number that you measure with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeMonitor {
    /// kube-controller-manager's `--node-monitor-grace-period`; upstream: 50 s.
    pub grace_period: Duration,
    /// kube-apiserver's `--default-not-ready-toleration-seconds` and `--default-unreachable-toleration-seconds`;
    /// upstream: 300 s.
    pub toleration: Duration,
}

/// A management cluster to be made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name: of its cgroups, its images and its default state directory.
    pub name: String,
    /// Everything it keeps lies here; made, and removed with it.
    pub directory: PathBuf,
    /// Where images are kept between runs.
    pub image_cache: PathBuf,
    /// The programs.
    pub binaries: Binaries,
    /// How many nodes, 1 to 9.
    pub nodes: u8,
    /// Its API servers' port on 127.0.0.1; a free one when none.
    pub port: Option<u16>,
    /// Volumes in the pool of each node.
    pub volumes_per_node: u32,
    /// etcd members and replicas of everything else in its own control plane.
    pub control_plane: (u32, u32),
    /// Shortened node monitoring, for tests; upstream's when none.
    pub node_monitor: Option<NodeMonitor>,
    /// Directories with components of other versions, of which images are loaded as well.
    pub further_components: Vec<PathBuf>,
    /// More archives to load before it counts as up.
    pub images: Vec<PathBuf>,
    /// Whether progress is told on standard error.
    pub tells: bool,
}

/// What no state directory may lie in: nodes have directories of their own there.
const HIDDEN: [&str; 4] = ["/var/lib", "/var/log", "/run", "/var/run"];
/// A control socket's path must fit into `sockaddr_un`, with the longest name below the directory.
const LONGEST_DIRECTORY: usize = 108 - "/machines/node-9/control.socket".len() - 1;

impl Options {
    /// The defaults: three nodes, a control plane of one replica each.
    #[must_use]
    pub fn new(directory: PathBuf, image_cache: PathBuf, binaries: Binaries) -> Self {
        Self {
            name: "management".to_owned(),
            directory,
            image_cache,
            binaries,
            nodes: 3,
            port: None,
            volumes_per_node: 8,
            control_plane: (1, 1),
            node_monitor: None,
            further_components: Vec::new(),
            images: Vec::new(),
            tells: false,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(ClusterError::Options(text));
        if !nix::unistd::geteuid().is_root() {
            return refuse(
                "a management cluster needs root: namespaces, mounts and cgroups are made".to_owned(),
            );
        }
        if !(1..=9).contains(&self.nodes) {
            return refuse(format!("{} nodes: take 1 to 9", self.nodes));
        }
        let fine = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
        };
        if self.name.is_empty() || self.name.len() > 30 || !self.name.chars().all(fine) {
            return refuse(format!("name {:?}: at most 30 lower-case letters, digits and -", self.name));
        }
        let hidden = HIDDEN.iter().find(|hidden| self.directory.starts_with(hidden));
        if let Some(hidden) = hidden {
            return refuse(format!(
                "{} lies in {hidden}, which nodes have to themselves: give another state directory",
                self.directory.display()
            ));
        }
        if !self.directory.is_absolute() || self.directory.as_os_str().len() > LONGEST_DIRECTORY {
            return refuse(format!(
                "{}: give an absolute state directory of at most {LONGEST_DIRECTORY} bytes",
                self.directory.display()
            ));
        }
        for (directory, program) in [
            (&self.binaries.ours, "pilothouse"),
            (&self.binaries.ours, "management-cluster"),
            (&self.binaries.components, "kube-apiserver"),
            (&self.binaries.node_tools, "kubelet"),
            (&self.binaries.node_tools, "containerd"),
        ] {
            if !directory.join(program).is_file() {
                return refuse(format!("{} holds no {program}", directory.display()));
            }
        }
        for program in ["runc", "nsenter", "unshare", "ip", "nft", "buildah", "mount"] {
            find(program)?;
        }
        let Some(tools) = &self.binaries.policy_tools else { return Ok(()) };
        find("iptables")?;
        for needed in [tools.join(policies::AGENT), Path::new(policies::COMPILER_DIRECTORY).join("clang")] {
            if !needed.is_file() {
                return refuse(format!(
                    "{} is missing, without which no policies are enforced",
                    needed.display()
                ));
            }
        }
        Ok(())
    }
}

/// A user's directory by the variable that names it, else below the home directory.
#[must_use]
pub fn user_directory(variable: &str, below_home: &str) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || set("HOME").unwrap_or_else(|| PathBuf::from("/root"));
    set(variable).unwrap_or_else(|| home().join(below_home))
}

/// Where built images are kept between runs, unless told otherwise.
#[must_use]
pub fn default_image_cache() -> PathBuf {
    user_directory("XDG_CACHE_HOME", ".cache").join("pilothouse/images")
}

/// A program of the machine, wherever Debian puts such.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    SYSTEM_PATH
        .split(':')
        .map(|directory| Path::new(directory).join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| {
            ClusterError::Options(format!(
                "{program} is missing on this machine: `cargo xtask management-cluster up` installs it on Debian"
            ))
        })
}

/// Where nodes look for programs that are not theirs.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
