//! helm as the tenant runs it.
//! Refuses to hide what helm says: a failed expectation prints all of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use process_control::{ChildEnding, Spawn, capture};
use tokio::time::Instant;

/// The chart under test, from this checkout.
#[must_use]
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/hosted-control-plane")
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Told {
    /// Whether it ended with 0.
    pub succeeded: bool,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
    /// How long it ran.
    pub took: Duration,
}

/// One of the helm binaries with one kubeconfig.
pub struct Helm {
    binary: PathBuf,
    kubeconfig: PathBuf,
    directory: tempfile::TempDir,
}

impl Helm {
    /// `binary` acts with `kubeconfig`; its caches go into a directory of its own.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, kubeconfig: &Path) -> Self {
        Self {
            binary: binary.into(),
            kubeconfig: kubeconfig.to_owned(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs helm; `limit` is how long it may take before that is a failed test.
    pub async fn run(&self, arguments: &[impl AsRef<str>], limit: Duration) -> Told {
        let began = Instant::now();
        let mut spawn = Spawn::new(self.binary.clone())
            .arguments(arguments.iter().map(AsRef::as_ref))
            .from_thread_that_outlives_it();
        for (name, value) in [
            ("KUBECONFIG", self.kubeconfig.as_path()),
            ("HELM_CACHE_HOME", self.directory.path()),
            ("HELM_CONFIG_HOME", self.directory.path()),
            ("HELM_DATA_HOME", self.directory.path()),
        ] {
            spawn = spawn.environment(name, value);
        }
        let captured = capture(&spawn, limit).await.expect("helm ends in time");
        Told {
            succeeded: captured.ending == ChildEnding::Exited(0),
            output: String::from_utf8_lossy(&captured.stdout).into_owned(),
            errors: String::from_utf8_lossy(&captured.stderr).into_owned(),
            took: began.elapsed(),
        }
    }

    /// Runs helm and panics with what it said if it fails.
    pub async fn succeeds(&self, arguments: &[impl AsRef<str>], limit: Duration) -> Told {
        let told = self.run(arguments, limit).await;
        let line: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        assert!(told.succeeded, "helm {}: {}{}", line.join(" "), told.output, told.errors);
        told
    }
}
