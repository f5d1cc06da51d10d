//! `pilothouse status` as an operator runs it against the management cluster.
//! Refuses to read more of a row than programs may rely on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{Rotation, binary};
use process_control::{ChildEnding, Spawn, capture};
use serde::Deserialize;

use crate::release::Release;

/// A look takes milliseconds; with Pods on a dead node its own 5 s.
const LIMIT: Duration = Duration::from_secs(30);

/// One row of `pilothouse status -o json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRow {
    /// The Pod, or the workload that lacks one.
    pub name: String,
    /// Its component.
    pub component: String,
    /// The supervisor's state, or Kubernetes' word.
    pub state: String,
    /// Whether it serves its purpose.
    pub ready: bool,
    /// Why not.
    pub reason: String,
    /// Whether it leads.
    pub leader: Option<bool>,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// What only its component knows.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    /// etcd's data.
    pub data_directory: Option<PathBuf>,
    /// What its present wait last saw.
    pub last_observation: Option<String>,
    /// What a certificate-authority says of shared keys.
    #[serde(default)]
    pub rotations: Vec<Rotation>,
}

/// What the command told.
#[derive(Debug)]
pub struct Status {
    /// Its exit code.
    pub code: i32,
    /// The rows, if there are any.
    pub rows: Vec<StatusRow>,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Status {
    /// Looks at a release with somebody's kubeconfig.
    pub async fn of(release: &Release<'_>, kubeconfig: &Path) -> Self {
        Self::told(release.name(), release.namespace(), kubeconfig, &["--output=json"]).await
    }

    /// Looks with arguments of one's own.
    pub async fn told(release: &str, namespace: &str, kubeconfig: &Path, more: &[&str]) -> Self {
        let kubeconfig = kubeconfig.display().to_string();
        let line =
            ["status", "--release", release, "--namespace", namespace, "--kubeconfig", kubeconfig.as_str()];
        let spawn = Spawn::new(binary("pilothouse"))
            .arguments(line.iter().chain(more))
            .from_thread_that_outlives_it();
        let captured = capture(&spawn, LIMIT).await.expect("`pilothouse status` ends in time");
        let ChildEnding::Exited(code) = captured.ending else { panic!("{captured:?}") };
        let output = String::from_utf8(captured.stdout).unwrap();
        Self {
            code,
            rows: serde_json::from_str(&output).unwrap_or_default(),
            output,
            errors: String::from_utf8(captured.stderr).unwrap(),
        }
    }

    /// The row of this name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&StatusRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The rotation of each set, as the replica says that is furthest behind.
    #[must_use]
    pub fn rotations(&self) -> BTreeMap<String, Rotation> {
        let mut furthest_behind: BTreeMap<String, Rotation> = BTreeMap::new();
        for told in self.rows.iter().flat_map(|row| &row.rotations) {
            let known = furthest_behind.entry(told.key_set.clone()).or_insert_with(|| told.clone());
            if (told.generation, !told.under_way) < (known.generation, !known.under_way) {
                *known = told.clone();
            }
        }
        furthest_behind
    }

    /// Rows that are not ready, in short.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let rows = self.rows.iter().filter(|row| !row.ready);
        rows.map(|row| format!("{} {}: {}", row.name, row.state, row.reason)).collect()
    }
}
