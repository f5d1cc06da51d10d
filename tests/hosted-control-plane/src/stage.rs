//! The three nodes on which everything here is shown, with our images loaded.
//! Refuses to outlive its test: what it made goes when it is dropped.

use std::path::{Path, PathBuf};

use end_to_end::{components, components_before};
use management_cluster::{
    Binaries, ComponentVersions, ManagementCluster, NodeMonitor, Options, user_directory,
};

/// Three nodes, made for one test.
pub struct Stage {
    /// The cluster.
    pub cluster: ManagementCluster,
    /// Its directory, if it is of this run alone; dropped after it.
    _directory: Option<tempfile::TempDir>,
}

impl Stage {
    /// Brings the nodes up; with a `monitor`, dead ones are noticed sooner than upstream's 50 s.
    pub async fn up(name: &str, monitor: Option<NodeMonitor>) -> Self {
        Self::with(name, monitor, Vec::new()).await
    }

    /// Nodes that enforce network policies.
    pub async fn with_policies_enforced(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            binaries: Binaries { policy_tools: Some(variable("PILOTHOUSE_POLICY_TOOLS")), ..binaries() },
            ..options(&directory.path().join("state"), name)
        };
        Self { cluster: made(options).await, _directory: Some(directory) }
    }

    /// The same with the images of a control plane of the minor version before as well; both versions, the older one first.
    pub async fn to_upgrade(name: &str) -> (Self, [ComponentVersions; 2]) {
        (Self::with(name, None, vec![components_before()]).await, versions().await)
    }

    async fn with(name: &str, monitor: Option<NodeMonitor>, further: Vec<PathBuf>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = cluster(&directory.path().join("state"), name, monitor, further).await;
        Self { cluster, _directory: Some(directory) }
    }

    /// The same in the user's directory of that name: what a killed run left there is removed first.
    pub async fn up_where_others_were(name: &str) -> Self {
        Self::where_others_were(name, Vec::new()).await
    }

    /// Nodes in the user's directory of that name, with the images of both versions as by [`Self::to_upgrade`].
    pub async fn to_upgrade_where_others_were(name: &str) -> (Self, [ComponentVersions; 2]) {
        (Self::where_others_were(name, vec![components_before()]).await, versions().await)
    }

    async fn where_others_were(name: &str, further: Vec<PathBuf>) -> Self {
        let state = user_directory("XDG_STATE_HOME", ".local/state").join("pilothouse-management-cluster");
        Self { cluster: cluster(&state.join(name), name, None, further).await, _directory: None }
    }
}

async fn versions() -> [ComponentVersions; 2] {
    let (before, after) = (components_before(), components());
    [ComponentVersions::of(&before).await.unwrap(), ComponentVersions::of(&after).await.unwrap()]
}

async fn cluster(
    directory: &Path,
    name: &str,
    monitor: Option<NodeMonitor>,
    further_components: Vec<PathBuf>,
) -> ManagementCluster {
    made(Options { node_monitor: monitor, further_components, ..options(directory, name) }).await
}

async fn made(options: Options) -> ManagementCluster {
    ManagementCluster::up(options).await.expect("three nodes are Ready")
}

fn options(directory: &Path, name: &str) -> Options {
    Options {
        name: name.to_owned(),
        images: archives(),
        tells: true,
        ..Options::new(directory.to_owned(), variable("PILOTHOUSE_IMAGE_CACHE"), binaries())
    }
}

fn binaries() -> Binaries {
    Binaries {
        ours: variable("PILOTHOUSE_BINARIES"),
        components: variable("PILOTHOUSE_COMPONENTS"),
        node_tools: variable("PILOTHOUSE_NODE_TOOLS"),
        policy_tools: None,
    }
}

/// helm, the version that most people have.
#[must_use]
pub fn helm_binary() -> PathBuf {
    variable("PILOTHOUSE_HELM")
}

/// Our images, as `cargo xtask images` writes them.
fn archives() -> Vec<PathBuf> {
    let directory = variable("PILOTHOUSE_IMAGES");
    let entries = std::fs::read_dir(&directory).expect("the images are there");
    let archives: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tar"))
        .collect();
    assert!(!archives.is_empty(), "{} holds no archives; run `cargo xtask images`", directory.display());
    archives
}

fn variable(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    PathBuf::from(value.unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test --step hosted`")))
}
