//! What a running cluster is, on disk: enough to find it, to revive a node of it, to remove it.
//! Refuses to hold anything that can be read from the machines themselves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{ClusterError, Result};
use crate::layout::{Layout, NodeNumber};
use crate::options::{Binaries, Options};
use crate::specification::{read_json, write_json};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) nodes: u8,
    pub(crate) port: u16,
    pub(crate) volumes_per_node: u32,
    pub(crate) binaries: Binaries,
}

impl Record {
    pub(crate) fn new(options: &Options, port: u16) -> Self {
        Self {
            name: options.name.clone(),
            nodes: options.nodes,
            port,
            volumes_per_node: options.volumes_per_node,
            binaries: options.binaries.clone(),
        }
    }

    /// The record of the cluster in a directory.
    pub(crate) fn read(layout: &Layout) -> Result<Self> {
        if !layout.record().is_file() {
            return Err(ClusterError::Absent { directory: layout.root.clone() });
        }
        read_json(&layout.record())
    }

    pub(crate) fn write(&self, layout: &Layout) -> Result<()> {
        write_json(&layout.record(), self)
    }

    pub(crate) fn numbers(&self) -> Vec<NodeNumber> {
        (1..=self.nodes).map(NodeNumber).collect()
    }

    /// The binary that a machine's first process is.
    pub(crate) fn init(&self) -> PathBuf {
        self.binaries.ours.join("management-cluster")
    }
}
