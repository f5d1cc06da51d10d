//! What a machine's first process is told: its name, its own directories, its services. Plain data, as JSON.
//! Refuses secrets: it names files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{ClusterError, Result};

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineSpecification {
    pub(crate) hostname: String,
    /// Where it tells who it is.
    pub(crate) identity: PathBuf,
    /// Where it takes orders.
    pub(crate) control_socket: PathBuf,
    /// Where its services write.
    pub(crate) logs: PathBuf,
    /// Directories of the host (first) that it sees in another place.
    pub(crate) disks: Vec<(PathBuf, PathBuf)>,
    /// Directories that begin empty with every start.
    pub(crate) scratch: Vec<PathBuf>,
    /// Files of the kernel that always read the same here and cannot be changed from here: kubelet sets some that are
    /// the whole machine's.
    pub(crate) pinned: Vec<(PathBuf, String)>,
    /// Network settings of its own.
    pub(crate) network_settings: Vec<(PathBuf, String)>,
    /// A port of the host that leads into its network.
    pub(crate) front: Option<Front>,
    pub(crate) services: Vec<ServiceSpecification>,
}

/// A port of the host, and where connections to it go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Front {
    pub(crate) listen: SocketAddr,
    pub(crate) forward: SocketAddr,
}

/// A process that is started when asked for, and again when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceSpecification {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl MachineSpecification {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        read_json(path)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }
}

impl ServiceSpecification {
    pub(crate) fn new(name: &str, program: PathBuf, arguments: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments: arguments.into_iter().collect(),
            environment: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }
}

/// A record of ours is a few KiB.
const LIMIT: u64 = 1024 * 1024;

pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let content = durable_files::read_limited(path, LIMIT)?;
    serde_json::from_slice(&content).map_err(|source| ClusterError::Content { path: path.to_owned(), source })
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let content = serde_json::to_vec_pretty(value)
        .map_err(|source| ClusterError::Content { path: path.to_owned(), source })?;
    Ok(durable_files::write_private(path, &content)?)
}
