//! Upstream's etcdutl, one method per act. It is looked for beside etcd and nowhere else.
//! Refuses to touch a database that an etcd uses: who calls has ended it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_membership::recovery::SnapshotContent;
use naming_contract::environment;
use process_control::{CaptureError, ChildEnding, Spawn, capture};
use serde::Deserialize;

const VERSION_LIMIT: Duration = Duration::from_secs(30);
/// It copies and reads the whole database: 8 GiB, the largest that etcd advises, from a slow disk.
const WORK_LIMIT: Duration = Duration::from_secs(600);

/// Why etcdutl did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EtcdutlError {
    #[error("there is no {}", program.display())]
    Missing { program: PathBuf },
    #[error(transparent)]
    Run(#[from] CaptureError),
    #[error("{} {action} failed: {complaint}", program.display())]
    Failed { program: PathBuf, action: &'static str, complaint: String },
}

/// The binary.
pub(crate) struct Etcdutl {
    program: PathBuf,
}

/// What a restored data directory belongs to.
pub(crate) struct NewCluster<'a> {
    pub(crate) name: &'a str,
    pub(crate) peer_url: &'a str,
    pub(crate) token: &'a str,
    pub(crate) bump_revision: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    revision: i64,
    total_key: u64,
    total_size: u64,
}

impl Etcdutl {
    /// The one beside `etcd`.
    pub(crate) fn beside(etcd: &Path) -> Self {
        Self { program: etcd.with_file_name("etcdutl") }
    }

    /// Its first line about itself.
    pub(crate) async fn version(&self) -> Result<String, EtcdutlError> {
        let printed = self.run("version", &["version".to_owned()], VERSION_LIMIT).await?;
        Ok(printed.lines().next().unwrap_or_default().to_owned())
    }

    /// What a snapshot file holds.
    pub(crate) async fn status(&self, snapshot: &Path) -> Result<SnapshotContent, EtcdutlError> {
        let action = "snapshot status";
        let arguments = ["snapshot", "status", &snapshot.display().to_string(), "--write-out=json"];
        let printed = self.run(action, &arguments.map(str::to_owned), WORK_LIMIT).await?;
        let status: Status =
            serde_json::from_str(printed.trim()).map_err(|error| self.failed(action, error.to_string()))?;
        Ok(SnapshotContent { revision: status.revision, keys: status.total_key, bytes: status.total_size })
    }

    /// Makes `into`, which must not exist, the data directory of a new cluster's only member. `sealed`: the file ends with
    /// its hash, which is checked; a member's own database has none.
    pub(crate) async fn restore(
        &self,
        database: &Path,
        sealed: bool,
        into: &Path,
        cluster: &NewCluster<'_>,
    ) -> Result<(), EtcdutlError> {
        let mut arguments: Vec<String> = ["snapshot", "restore"].map(str::to_owned).into_iter().collect();
        arguments.push(database.display().to_string());
        arguments.push(format!("--data-dir={}", into.display()));
        arguments.push(format!("--name={}", cluster.name));
        arguments.push(format!("--initial-cluster={}={}", cluster.name, cluster.peer_url));
        arguments.push(format!("--initial-advertise-peer-urls={}", cluster.peer_url));
        arguments.push(format!("--initial-cluster-token={}", cluster.token));
        if cluster.bump_revision > 0 {
            arguments.push(format!("--bump-revision={}", cluster.bump_revision));
            // Whoever watches from an old revision is told to list again, instead of missing what was lost.
            arguments.push("--mark-compacted".to_owned());
        }
        if !sealed {
            arguments.push("--skip-hash-check".to_owned());
        }
        self.run("snapshot restore", &arguments, WORK_LIMIT).await.map(drop)
    }

    async fn run(
        &self,
        action: &'static str,
        arguments: &[String],
        limit: Duration,
    ) -> Result<String, EtcdutlError> {
        let spawn = Spawn::new(&self.program)
            .arguments(arguments)
            .withhold_environment(environment::PREFIX)
            .withhold_environment(environment::ETCD_PREFIX);
        let captured = match capture(&spawn, limit).await {
            Ok(captured) => captured,
            Err(CaptureError::Spawn(error)) if error.is_missing() => {
                return Err(EtcdutlError::Missing { program: self.program.clone() });
            }
            Err(error) => return Err(error.into()),
        };
        if captured.ending == ChildEnding::Exited(0) {
            return Ok(String::from_utf8_lossy(&captured.stdout).into_owned());
        }
        let printed = String::from_utf8_lossy(&captured.stderr);
        let complaint =
            printed.lines().rev().find(|line| line.starts_with("Error:")).or(printed.lines().last());
        Err(self.failed(action, complaint.unwrap_or("it said nothing").to_owned()))
    }

    fn failed(&self, action: &'static str, complaint: String) -> EtcdutlError {
        EtcdutlError::Failed { program: self.program.clone(), action, complaint }
    }
}
