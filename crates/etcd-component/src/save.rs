//! `etcd-supervisor snapshot`: all that a member has, to standard output, as `etcdctl snapshot save` writes it to a file: images
//! have neither a shell nor tar by which a file could leave a Pod. Refuses terminals, and to end well with less than the whole.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use certificates::{Authority, Profile};
use component_runtime::Paths;
use etcd_membership::{EtcdError, MemberClient};
use tokio::io::AsyncWriteExt as _;

use crate::snapshot::Pieces;

/// Nothing was written, or not all of it.
const EXIT_FAILED: u8 = 1;

/// What the command was told.
#[derive(Debug, Clone)]
pub struct SaveCommand {
    /// Where the certificates of the member's supervisor are.
    pub runtime_directory: PathBuf,
    /// The member's client URL.
    pub endpoint: String,
}

#[derive(Debug, thiserror::Error)]
enum SaveError {
    #[error("standard output is a terminal; send it to a file: … snapshot > backup.db")]
    Terminal,
    #[error("{}", .0.told())]
    Etcd(EtcdError),
    #[error("{endpoint}: {why}; what was written is worth nothing")]
    NotWhole { endpoint: String, why: String },
    #[error("cannot write to standard output; what was written is worth nothing")]
    Output(#[source] io::Error),
}

impl SaveCommand {
    /// Does it; gives the exit code: 0 when the whole was written.
    pub async fn carry_out(self) -> u8 {
        match Box::pin(self.save()).await {
            Ok(bytes) => {
                telemetry::tell(&format!("etcd-supervisor snapshot: {bytes} bytes, whole"));
                0
            }
            Err(error) => {
                telemetry::tell(&format!("etcd-supervisor snapshot: {}", telemetry::error_chain(&error)));
                EXIT_FAILED
            }
        }
    }

    async fn save(self) -> Result<u64, SaveError> {
        if io::stdout().is_terminal() {
            return Err(SaveError::Terminal);
        }
        let files = Paths::new(self.runtime_directory).leaf(Profile::EtcdMemberClient, Authority::Etcd);
        let member = MemberClient::new(&self.endpoint, &files).await.map_err(SaveError::Etcd)?;
        let mut snapshot = member.snapshot().await.map_err(SaveError::Etcd)?;
        let (mut output, mut pieces) = (tokio::io::stdout(), Pieces::default());
        while let Some(piece) = snapshot.next().await.map_err(SaveError::Etcd)? {
            pieces.add(&piece);
            output.write_all(&piece).await.map_err(SaveError::Output)?;
        }
        output.flush().await.map_err(SaveError::Output)?;
        pieces.ended().map_err(|why| SaveError::NotWhole { endpoint: self.endpoint, why })
    }
}
