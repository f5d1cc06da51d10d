//! Runs a short-lived command to its end and returns what it wrote, both within limits.
//! Refuses to leave anything behind: a command that takes too long is killed.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe::Receiver;

use crate::{ChildEnding, Spawn, SpawnError, WaitError};

/// What a command wrote and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub ending: ChildEnding,
    /// Its standard output, cut off after [`LONGEST_OUTPUT`].
    pub stdout: Vec<u8>,
    /// Its standard error, cut off likewise.
    pub stderr: Vec<u8>,
}

/// Why a command could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Its ending is unknown.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Its output could not be read.
    #[error("cannot read what {program} writes", program = program.display())]
    Read {
        /// The program's path.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It did not end in time and was killed.
    #[error("{program} did not end within {limit:?}", program = program.display())]
    Limit {
        /// The program's path.
        program: PathBuf,
        /// How long it was given.
        limit: Duration,
    },
}

/// Most bytes kept of each stream: `kube-apiserver --help` writes some 100 KiB.
const LONGEST_OUTPUT: u64 = 1024 * 1024;

/// Runs `spawn` to its end, within `limit`; its [`crate::Output`] is not used. Dropping the future kills it.
pub async fn capture(spawn: &Spawn, limit: Duration) -> Result<Captured, CaptureError> {
    let read_error = |source| CaptureError::Read { program: spawn.program().to_owned(), source };
    let (mut stdout, stdout_end) = pipe().map_err(read_error)?;
    let (mut stderr, stderr_end) = pipe().map_err(read_error)?;
    let mut child = spawn.start_with(stdout_end, stderr_end)?;
    let mut written = (Vec::new(), Vec::new());
    let run = async {
        tokio::try_join!(
            read_up_to_limit(&mut stdout, &mut written.0),
            read_up_to_limit(&mut stderr, &mut written.1)
        )
        .map_err(read_error)?;
        Ok::<_, CaptureError>(child.wait().await?)
    };
    let ending = tokio::time::timeout(limit, run)
        .await
        .map_err(|_elapsed| CaptureError::Limit { program: spawn.program().to_owned(), limit })??;
    Ok(Captured { ending, stdout: written.0, stderr: written.1 })
}

fn pipe() -> io::Result<(Receiver, Stdio)> {
    let (reads, writes) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((Receiver::from_owned_fd(reads)?, writes.into()))
}

async fn read_up_to_limit(stream: &mut Receiver, into: &mut Vec<u8>) -> io::Result<()> {
    AsyncReadExt::take(&mut *stream, LONGEST_OUTPUT).read_to_end(into).await?;
    // Read on, so that a talkative command is not stopped by a full pipe.
    discard(stream).await
}

async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0_u8; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
