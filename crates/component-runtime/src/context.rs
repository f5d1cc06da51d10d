//! What a component is given: its name, its board, where its files lie and which child it runs.
//! Refuses to read anything: paths only.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use certificates::{Authority, Profile, RuntimeDirectory, SharedKeySet};
use health_endpoints::StatusBoard;
use management_api::{ManagementApi, ManagementArguments};
use mutual_tls::TlsFiles;
use naming_contract::files;
use supervision::RestartReason;
use tokio::sync::mpsc;

use crate::{PodEvents, RuntimeError};

/// Handed to a component when it is made.
#[derive(Debug, Clone)]
pub struct Context {
    /// The instance's name: the Pod's name, or what `pilothouse up` calls it.
    pub instance: String,
    /// Where the component tells what only it knows.
    pub board: StatusBoard,
    /// Where its files lie.
    pub paths: Paths,
    /// The cluster that hosts us.
    pub management: Management,
    /// Where it tells what it refuses, beside the board.
    pub events: PodEvents,
    /// The directory in which the certificate-authority publishes, or its mirror.
    pub published: PathBuf,
    /// The upstream binary and what the operator adds to its flags.
    pub child: ChildBinary,
    /// By which a component asks for a new child.
    pub replacement: Replacement,
}

/// Asks the driver to end the child in order and to prepare the next one.
#[derive(Debug, Clone)]
pub struct Replacement(pub(crate) mpsc::Sender<RestartReason>);

impl Replacement {
    /// Asks, with the reason for people. Nothing happens while there is no child, or while one is being replaced anyhow.
    pub fn ask(&self, why: &str) {
        // A full queue holds one that will do.
        let _full = self.0.try_send(RestartReason(why.to_owned()));
    }
}

/// The cluster that hosts us: one client for whoever needs it, made when the first one does. Outside of a cluster nobody
/// asks for it, and it may have neither address nor credentials.
#[derive(Debug, Clone)]
pub struct Management {
    arguments: ManagementArguments,
    api: Arc<OnceLock<ManagementApi>>,
}

impl Management {
    pub(crate) fn new(arguments: ManagementArguments) -> Self {
        Self { arguments, api: Arc::default() }
    }

    /// Its API; asks nobody yet. An error says what is missing for a client.
    pub fn api(&self) -> Result<ManagementApi, RuntimeError> {
        if let Some(api) = self.api.get() {
            return Ok(api.clone());
        }
        let api = self.arguments.connect()?;
        Ok(self.api.get_or_init(|| api).clone())
    }
}

/// The upstream binary and the operator's flags for it, as given after `--`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildBinary {
    /// The program.
    pub program: PathBuf,
    /// Extra arguments; `component-flags` decides which of them win and which are refused.
    pub extra_arguments: Vec<String>,
}

/// Where an instance's files lie, as its component and its clients name them.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
    runtime: RuntimeDirectory,
}

impl Paths {
    /// The layout below `root`, a memory-backed volume in Pods.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { runtime: RuntimeDirectory::new(&root), root }
    }

    /// The leaf of `profile`, for talking to peers that `authority` vouches for.
    #[must_use]
    pub fn leaf(&self, profile: Profile, authority: Authority) -> TlsFiles {
        let leaf = self.runtime.leaf(profile);
        TlsFiles { authority: self.trust(authority), certificate: leaf.certificate, key: leaf.key }
    }

    /// The trust bundle of `authority`.
    #[must_use]
    pub fn trust(&self, authority: Authority) -> PathBuf {
        self.runtime.trust(authority)
    }

    /// A file of a shared key set.
    #[must_use]
    pub fn shared_key(&self, set: SharedKeySet, file: &str) -> PathBuf {
        self.runtime.shared_key(set, file)
    }

    /// A rendered configuration file.
    #[must_use]
    pub fn configuration(&self, file: &str) -> PathBuf {
        self.root.join(files::CONFIGURATION).join(file)
    }

    /// The directory of all of them.
    #[must_use]
    pub fn runtime_directory(&self) -> &Path {
        &self.root
    }
}
