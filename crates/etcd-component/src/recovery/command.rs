//! `etcd-supervisor recover`: leaves a request on the volume of a running supervisor, prints its answer, and waits until a
//! confirmed one is carried out. Refuses to touch anything else: the supervisor owns the volume.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use cluster_record::random_identifier;
use durable_files::{FileError, FileLock, copy_private};
use etcd_membership::recovery::RecoveryRequest;
use tokio::time::{Instant, sleep};

use super::files::{Answer, Asked, Stand};
use crate::volume::{VolumeError, VolumeFiles};

/// A supervisor looks every second, and asks everybody for at most some seconds; its own data may have to be read.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// A large database on a slow disk.
const WORK_LIMIT: Duration = Duration::from_secs(1200);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Refused, or not carried out.
const EXIT_REFUSED: u8 = 1;

/// What the command was told.
#[derive(Debug, Clone)]
pub struct RecoverCommand {
    /// The volume of the member that shall be the new cluster.
    pub data_directory: PathBuf,
    /// What is asked for.
    pub request: RecoveryRequest,
    /// Where the snapshot comes from.
    pub snapshot: Option<Snapshot>,
    /// How many revisions are skipped.
    pub bump_revision: u64,
    /// Whether to do it; else only the plan is told.
    pub confirmed: bool,
}

/// Where a snapshot comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// A file.
    File(PathBuf),
    /// Standard input: a Pod has no other way in.
    StandardInput,
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot read the snapshot {}", path.display())]
    Snapshot {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no volume of an etcd-supervisor; name its directory with --data-directory", path.display())]
    NoVolume { path: PathBuf },
    #[error(
        "no etcd-supervisor runs on {}; start it, so that it can ask the other members and carry the recovery out",
        path.display()
    )]
    NobodyRuns { path: PathBuf },
    #[error(
        "the supervisor did not answer within {ANSWER_LIMIT:?}; nothing was changed; its log or /statusz says what it waits for"
    )]
    NoAnswer,
    #[error(
        "the recovery is not done after {WORK_LIMIT:?}; it goes on; the supervisor's log and /statusz tell how far it is"
    )]
    NotDone,
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl RecoverCommand {
    /// Does it; gives the exit code: 0 when the plan is allowed or was carried out, 1 when not.
    pub async fn carry_out(self) -> u8 {
        match self.ask_and_wait().await {
            Ok(code) => code,
            Err(error) => {
                telemetry::tell(&format!("etcd-supervisor recover: {}", telemetry::error_chain(&error)));
                EXIT_REFUSED
            }
        }
    }

    async fn ask_and_wait(self) -> Result<u8, CommandError> {
        let files = VolumeFiles::new(self.data_directory.clone());
        self.somebody_runs(&files)?;
        let nonce = random_identifier();
        if let Some(snapshot) = &self.snapshot {
            copy_snapshot(snapshot, &files.recovery_snapshot(&nonce))?;
        }
        let asked = Asked {
            nonce: nonce.clone(),
            request: self.request,
            bump_revision: self.bump_revision,
            confirmed: self.confirmed,
        };
        files.write_recovery_request(&asked)?;
        let mut withdrawal = Withdrawal { files: &files, nonce: &nonce, wanted: true };
        let answer = answer(&files, &nonce, ANSWER_LIMIT, |_| true).await?.ok_or(CommandError::NoAnswer)?;
        tell(&answer.text)?;
        match answer.stand {
            Stand::Refused => return Ok(EXIT_REFUSED),
            Stand::Planned => {
                tell("\nNothing was changed. The same command with --yes does it.\n")?;
                return Ok(0);
            }
            Stand::Going | Stand::InPlace | Stand::Serves => withdrawal.wanted = false,
        }
        tell("\nGoing on; ending this command does not stop it.\n")?;
        let ended = |answer: &Answer| matches!(answer.stand, Stand::Refused | Stand::Serves);
        let answer = answer_that(&files, &nonce, ended).await?;
        if answer.stand == Stand::Refused {
            tell(&answer.text)?;
            return Ok(EXIT_REFUSED);
        }
        tell(&format!("Done: {}. The other members join by themselves.\n", answer.text))?;
        Ok(0)
    }

    fn somebody_runs(&self, files: &VolumeFiles) -> Result<(), CommandError> {
        let path = || self.data_directory.clone();
        let lock = self.data_directory.join("lock");
        if !lock.exists() {
            return Err(CommandError::NoVolume { path: path() });
        }
        match files.lock_as_it_is() {
            Ok(_nobodys) => Err(CommandError::NobodyRuns { path: path() }),
            Err(FileError::Locked { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl VolumeFiles {
    fn lock_as_it_is(&self) -> Result<FileLock, FileError> {
        FileLock::acquire(&self.root.join("lock"))
    }
}

/// Takes back what nobody took up, also when the command is interrupted.
struct Withdrawal<'a> {
    files: &'a VolumeFiles,
    nonce: &'a str,
    wanted: bool,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        let taken_up = |it: &Self| {
            it.files.recovery_mark().is_ok_and(|mark| mark.is_some_and(|mark| mark.asked.nonce == it.nonce))
        };
        if !self.wanted || taken_up(self) {
            return;
        }
        // What is left is removed by the next recovery.
        let _left = self.files.remove_recovery_request();
        let _left = std::fs::remove_file(self.files.recovery_snapshot(self.nonce));
    }
}

fn copy_snapshot(from: &Snapshot, to: &std::path::Path) -> Result<(), CommandError> {
    let mut source: Box<dyn Read> = match from {
        Snapshot::StandardInput => Box::new(io::stdin().lock()),
        Snapshot::File(path) => Box::new(
            File::open(path).map_err(|source| CommandError::Snapshot { path: path.clone(), source })?,
        ),
    };
    copy_private(to, &mut source)?;
    Ok(())
}

async fn answer_that(
    files: &VolumeFiles,
    nonce: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Result<Answer, CommandError> {
    answer(files, nonce, WORK_LIMIT, wanted).await?.ok_or(CommandError::NotDone)
}

async fn answer(
    files: &VolumeFiles,
    nonce: &str,
    limit: Duration,
    wanted: impl Fn(&Answer) -> bool,
) -> Result<Option<Answer>, CommandError> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        let found = files.recovery_answer()?.filter(|answer| answer.nonce == nonce);
        if let Some(answer) = found.filter(|answer| wanted(answer)) {
            return Ok(Some(answer));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

fn tell(text: &str) -> Result<(), CommandError> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(CommandError::Output)
}
