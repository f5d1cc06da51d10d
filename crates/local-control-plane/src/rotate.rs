//! Asking a running control plane for another key or other CAs: writes the number that the certificate-authority reads.
//! Refuses a second wish while the first is under way, and to rotate anything itself.

use std::time::Duration;

use certificates::{Rotated, WantedKeys};
use durable_files::{FileError, read_limited, write_private};
use health_endpoints::{HealthClient, HealthClientError};
use naming_contract::Component;

use crate::cluster_name::ClusterName;
use crate::paths::StatePaths;
use crate::plan::Plan;
use crate::state_directory::{StateError, read_manifest};

/// The status of a process on this machine comes from its memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The file of numbers is one line, in bytes.
const LARGEST: u64 = 4 * 1024;

/// Why no rotation begins.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// There is no such control plane.
    #[error(transparent)]
    State(#[from] StateError),
    /// It does not say which key it uses.
    #[error("the certificate-authority does not answer; does the control plane run?")]
    Silent(#[from] HealthClientError),
    /// It is of another version.
    #[error(
        "the certificate-authority does not tell which {} is in use ({what}); it is of another version, start it again with `pilothouse up`",
        what.one()
    )]
    Untold {
        /// Of which rotation.
        what: Rotated,
    },
    /// One rotation at a time.
    #[error("a rotation is under way: {stage}{}", waits_for.as_ref().map_or_else(String::new, |what| format!("; it waits for {what}")))]
    UnderWay {
        /// Where it stands.
        stage: String,
        /// For whom or what it waits.
        waits_for: Option<String>,
    },
    /// The file of numbers cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Asks for the next key or CAs; gives their number.
pub async fn rotate(paths: &StatePaths, name: &ClusterName, what: Rotated) -> Result<u64, RotateError> {
    let manifest = read_manifest(paths, name)?;
    let plan = Plan::recorded(&manifest, paths);
    let health = HealthClient::new(ANSWER_LIMIT)?;
    let mut told = Vec::new();
    for instance in plan.select(Component::CertificateAuthority.name()) {
        told = health.status(&instance.health_url()).await?.rotations;
    }
    let rotation = told.into_iter().find(|rotation| rotation.key_set == what.name());
    let rotation = rotation.ok_or(RotateError::Untold { what })?;
    if rotation.under_way {
        return Err(RotateError::UnderWay { stage: rotation.stage, waits_for: rotation.waits_for });
    }
    let path = paths.wanted_keys();
    let wanted: WantedKeys = match read_limited(&path, LARGEST) {
        // What cannot be read was not written by us: the certificate-authority says so, and the key in use counts.
        Ok(content) => serde_json::from_slice(&content).unwrap_or_default(),
        Err(error) if error.is_not_found() => WantedKeys::default(),
        Err(error) => return Err(error.into()),
    };
    let number = rotation.key + 1;
    // Numbers cannot fail to serialize.
    let content = serde_json::to_vec(&wanted.with(what, number)).unwrap_or_default();
    write_private(&path, &content)?;
    Ok(number)
}
