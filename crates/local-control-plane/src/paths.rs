//! Where everything lies in a state directory, and which state directory a name means.
//! Pure. Refuses to create or read anything.

use std::path::{Path, PathBuf};

use naming_contract::files;

use crate::cluster_name::ClusterName;

/// The layout of one state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePaths {
    root: PathBuf,
}

impl StatePaths {
    /// The layout below `root`, which should be absolute: supervisors get these paths as arguments.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory of a name below the user's state directory.
    #[must_use]
    pub fn of_name(state_home: &Path, name: &ClusterName) -> Self {
        Self::new(state_home.join("pilothouse").join(name.as_str()))
    }

    /// The state directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Format version, name, settings and ports.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.root.join(MANIFEST)
    }

    /// Held by the `pilothouse` that runs the control plane.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// CA keys; only the certificate-authority reads them.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.root.join("authority")
    }

    /// Trust bundles that the certificate-authority publishes.
    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.root.join(files::TRUST)
    }

    /// Who may ask the certificate-authority.
    #[must_use]
    pub fn callers(&self) -> PathBuf {
        self.root.join("callers")
    }

    /// What etcd's supervisors must remember together.
    #[must_use]
    pub fn cluster_record(&self) -> PathBuf {
        self.root.join("cluster-record.json")
    }

    /// The highest version that all API servers ever ran together.
    #[must_use]
    pub fn version_record(&self) -> PathBuf {
        self.root.join("version-record.json")
    }

    /// The numbers of the keys that are wanted; `pilothouse rotate` writes them.
    #[must_use]
    pub fn wanted_keys(&self) -> PathBuf {
        self.root.join("wanted-keys.json")
    }

    /// The administrators' kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// The directories that a first start makes before it can write the manifest.
    pub(crate) fn made_before_the_manifest(&self) -> [PathBuf; 6] {
        [
            self.run(),
            self.authority(),
            self.trust(),
            self.callers(),
            self.restart_locks(),
            self.root.join(INSTANCES),
        ]
    }

    /// Pid files.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The pid file of an instance's supervisor, or of `pilothouse` itself.
    #[must_use]
    pub fn pid_file(&self, instance: &str) -> PathBuf {
        self.run().join(format!("{instance}.json"))
    }

    /// Everything that belongs to one instance.
    #[must_use]
    pub fn instance(&self, instance: &str) -> PathBuf {
        self.root.join(INSTANCES).join(instance)
    }

    /// The token by which an instance proves itself.
    #[must_use]
    pub fn caller_token(&self, instance: &str) -> PathBuf {
        self.instance(instance).join(files::CALLER_TOKEN)
    }

    /// Certificates, keys and rendered configuration of an instance.
    #[must_use]
    pub fn runtime(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("runtime")
    }

    /// An etcd member's data.
    #[must_use]
    pub fn data(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("data")
    }

    /// Why a supervisor gave up, in its own words.
    #[must_use]
    pub fn termination_message(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("termination-message")
    }

    /// Where the replicas of a component agree on who restarts first.
    #[must_use]
    pub fn restart_locks(&self) -> PathBuf {
        self.root.join("restart-locks")
    }

    /// What an instance wrote to its standard output and error.
    #[must_use]
    pub fn log(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("log")
    }

    /// The log before the last rotation.
    #[must_use]
    pub fn rotated_log(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("log.1")
    }
}

/// The instance name under which `pilothouse` itself has a log, a token and a pid file.
pub const SELF: &str = "pilothouse";
/// The file by which a state directory is recognised.
pub(crate) const MANIFEST: &str = "pilothouse.json";
const INSTANCES: &str = "instances";
/// The lock file.
pub(crate) const LOCK: &str = "lock";
