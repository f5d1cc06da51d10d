//! One question to a binary: some flags and `--version`, which every upstream binary parses before it answers.
//! Refuses to wait for ever: an answer takes 50 to 100 ms; after 30 s it is asked again.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use durable_files::FileIdentity;
use naming_contract::environment;
use process_control::{CaptureError, Spawn, capture};

use crate::complaint::complaint;
use crate::{BinaryError, Checked};

/// A first read of a 100 MB binary from a slow disk takes some seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// An upstream binary and what it already answered.
#[derive(Debug)]
pub struct UpstreamBinary {
    program: PathBuf,
    accepted: RefCell<Option<Accepted>>,
}

/// What the binary took. The guess is what was rendered before its version was known.
#[derive(Debug)]
struct Accepted {
    file: FileIdentity,
    guess: Vec<String>,
    checked: Checked,
}

/// What a binary said to `<argv> --version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It took the flags; this is what it printed as its version.
    Version(String),
    /// It refused, with this complaint.
    Refusal(String),
}

impl UpstreamBinary {
    /// A binary that was not asked yet.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, accepted: RefCell::new(None) }
    }

    /// Its path.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Asks with these flags. Trouble of the system is waited out; a binary that cannot be executed is an error.
    pub async fn ask(&self, argv: &[String], progress: &dyn Progress) -> Result<Answer, BinaryError> {
        let arguments: Vec<OsString> =
            argv.iter().map(OsString::from).chain([OsString::from("--version")]).collect();
        let pace = Pace { look_limit: LIMIT * 2, ..Pace::default() };
        wait_for(&mut Asking { program: &self.program, arguments: &arguments }, pace, progress).await
    }

    /// What this binary, if it is unchanged, took before when the guess was the same.
    pub(crate) fn took_before(&self, guess: &[String]) -> Option<Checked> {
        let known = self.accepted.borrow();
        let accepted = known.as_ref()?;
        let same = accepted.guess == guess && FileIdentity::of(&self.program)? == accepted.file;
        same.then(|| accepted.checked.clone())
    }

    pub(crate) fn remember(&self, guess: Vec<String>, checked: Checked) {
        *self.accepted.borrow_mut() =
            FileIdentity::of(&self.program).map(|file| Accepted { file, guess, checked });
    }
}

struct Asking<'a> {
    program: &'a Path,
    arguments: &'a [OsString],
}

impl Condition for Asking<'_> {
    type Output = Result<Answer, BinaryError>;

    fn awaits(&self) -> String {
        format!("an answer from {} --version", self.program.display())
    }

    async fn look(&mut self) -> Sighting<Self::Output> {
        let spawn = Spawn::new(self.program)
            .arguments(self.arguments)
            .withhold_environment(environment::PREFIX)
            // It ends by itself; a death signal would tie it to the main thread.
            .death_signal(None);
        match capture(&spawn, LIMIT).await {
            Ok(captured) if captured.ending == process_control::ChildEnding::Exited(0) => {
                let printed = String::from_utf8_lossy(&captured.stdout).trim().to_owned();
                Sighting::Holds(Ok(Answer::Version(printed)))
            }
            Ok(captured) => {
                let printed = String::from_utf8_lossy(&captured.stderr);
                Sighting::Holds(Ok(Answer::Refusal(complaint(&printed))))
            }
            Err(source @ CaptureError::Spawn(_)) if is_permanent(&source) => {
                Sighting::Holds(Err(BinaryError::Run { program: self.program.to_owned(), source }))
            }
            Err(temporary) => Sighting::NotYet(temporary.to_string()),
        }
    }
}

fn is_permanent(error: &CaptureError) -> bool {
    matches!(error, CaptureError::Spawn(spawn) if spawn.is_permanent())
}
