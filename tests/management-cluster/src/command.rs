//! Running programs to their end, with errors that show the line and what it said.
//! Refuses shells.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process_control::{ChildEnding, Spawn, capture};

use crate::error::{ClusterError, Result};
use crate::options::{SYSTEM_PATH, find};

/// What a command that ended well wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub complaints: String,
}

/// A program with its arguments, to be run to its end.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    program: PathBuf,
    arguments: Vec<std::ffi::OsString>,
    environment: Vec<(String, String)>,
    limit: Duration,
}

impl Line {
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            limit: Duration::from_secs(60),
        }
    }

    /// A program of the machine.
    pub(crate) fn system(program: &str) -> Result<Self> {
        Ok(Self::new(find(program)?))
    }

    pub(crate) fn arguments(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it; an error unless it ends with 0.
    pub(crate) async fn run(self) -> Result<Ran> {
        let mut spawn = Spawn::new(&self.program)
            .arguments(&self.arguments)
            .environment("PATH", SYSTEM_PATH)
            // capture() waits for its end, and gives up the child when it is given up itself.
            .from_thread_that_outlives_it();
        for (name, value) in &self.environment {
            spawn = spawn.environment(name, value);
        }
        let captured = capture(&spawn, self.limit)
            .await
            .map_err(|source| ClusterError::Command { line: self.text(), source })?;
        let output = String::from_utf8_lossy(&captured.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&captured.stderr).into_owned();
        match captured.ending {
            ChildEnding::Exited(0) => Ok(Ran { output, complaints }),
            ending => Err(ClusterError::Failed {
                line: self.text(),
                ending: format!("{ending:?}"),
                said: tail(&format!("{output}{complaints}")),
            }),
        }
    }

    fn text(&self) -> String {
        let mut text = self.program.display().to_string();
        for argument in &self.arguments {
            text.push(' ');
            text.push_str(&argument.to_string_lossy());
        }
        text
    }
}

fn tail(said: &str) -> String {
    const LONGEST: usize = 2000;
    let said = said.trim();
    let from = said.len().saturating_sub(LONGEST);
    let from = (from..said.len()).find(|index| said.is_char_boundary(*index)).unwrap_or(said.len());
    said[from..].to_owned()
}

/// Runs kubectl with a kubeconfig; `components` is the directory it lies in.
pub async fn kubectl(
    components: &Path,
    kubeconfig: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Ran> {
    Line::new(components.join("kubectl"))
        .arguments([OsStr::new("--kubeconfig"), kubeconfig.as_os_str()])
        .arguments(arguments)
        .limit(Duration::from_secs(180))
        .run()
        .await
}
