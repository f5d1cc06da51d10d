//! The log files of instances: rotated in place when they grow, printed and followed for people.
//! Refuses to interpret a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::paths::{SELF, StatePaths};
use crate::plan::Plan;

/// A log is rotated beyond this many bytes; one older log is kept.
const LARGEST: u64 = 10 * 1024 * 1024;
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Rotates for ever.
pub(crate) async fn keep_rotating(plan: &Plan, paths: &StatePaths) {
    loop {
        for name in plan.instances.iter().map(|instance| instance.name.as_str()).chain([SELF]) {
            if let Err(error) = rotate_if_large(&paths.log(name), &paths.rotated_log(name), LARGEST) {
                tracing::warn!(instance = name, %error, "log not rotated");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Copies and truncates, since supervisors and children hold the file open and append. What is written between the copy
/// and the truncation is lost: some lines in ten million bytes, against processes that would have to reopen. Where the disk
/// is too full for a copy all lines are lost: the log would take what is left of it, and etcd needs that more.
fn rotate_if_large(log: &Path, rotated: &Path, largest: u64) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(metadata) if metadata.len() > largest => {
            let full = match fs::copy(log, rotated) {
                Ok(_) => None,
                Err(error) if is_disk_full(&error) => {
                    // Half of a copy would keep the space.
                    let _gone = fs::remove_file(rotated);
                    Some(error)
                }
                Err(error) => return Err(error),
            };
            OpenOptions::new().write(true).open(log)?.set_len(0)?;
            if let Some(error) = full {
                // Only now is there space for this line.
                let (log, bytes) = (log.display(), metadata.len());
                tracing::warn!(%log, bytes, %error, "log emptied: the disk is too full to keep its older lines");
            }
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Which logs to print, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// A component, an instance, or `pilothouse`.
    pub of: String,
    /// Whether to go on as lines come.
    pub follow: bool,
    /// How many lines of each log to begin with; all without.
    pub tail: Option<usize>,
}

/// Why logs cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Neither component nor instance.
    #[error("there is no {of} in this control plane; there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        of: String,
        /// What could be.
        known: Vec<String>,
    },
    /// A log cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Prints logs, each line with its instance in front when there are several. Ends when `output` is closed.
pub async fn print_logs(
    plan: &Plan,
    paths: &StatePaths,
    request: &LogRequest,
    output: &mut dyn Write,
) -> Result<(), LogError> {
    let mut names: Vec<String> =
        plan.select(&request.of).iter().map(|instance| instance.name.clone()).collect();
    if request.of == SELF {
        names.push(SELF.to_owned());
    }
    if names.is_empty() {
        let mut known: Vec<String> =
            plan.instances.iter().map(|instance| instance.component.name().to_owned()).collect();
        known.dedup();
        known.push(SELF.to_owned());
        return Err(LogError::Unknown { of: request.of.clone(), known });
    }
    let several = names.len() > 1;
    let mut logs: Vec<Log> = names
        .into_iter()
        .map(|name| Log {
            path: paths.log(&name),
            prefix: if several { format!("[{name}] ") } else { String::new() },
            offset: 0,
        })
        .collect();
    for log in &mut logs {
        if let Some(lines) = request.tail {
            log.skip_to_last(lines)?;
        }
    }
    loop {
        for log in &mut logs {
            if !log.print_new(output)? {
                return Ok(());
            }
        }
        if !request.follow || output.flush().is_err() {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

/// The last lines of a file, for error messages; empty when there is none.
pub(crate) fn tail(path: &Path, from: u64, lines: usize) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
        file.take(TAIL_BYTES).read_to_end(&mut text)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Enough for the last lines of any log.
const TAIL_BYTES: u64 = 64 * 1024;

struct Log {
    path: PathBuf,
    prefix: String,
    offset: u64,
}

impl Log {
    /// Prints the whole lines after the offset; false when nobody reads any more.
    fn print_new(&mut self, output: &mut dyn Write) -> Result<bool, LogError> {
        let Some(mut reader) = self.open()? else { return Ok(true) };
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(|source| self.unreadable(source))?;
            if !line.ends_with(b"\n") {
                return Ok(true);
            }
            self.offset += length as u64;
            let written = output.write_all(self.prefix.as_bytes()).and_then(|()| output.write_all(&line));
            if written.is_err() {
                return Ok(false);
            }
        }
    }

    fn skip_to_last(&mut self, lines: usize) -> Result<(), LogError> {
        let Some(reader) = self.open()? else { return Ok(()) };
        let mut starts = vec![0_u64];
        for line in reader.split(b'\n') {
            let length = line.map_err(|source| self.unreadable(source))?.len() as u64 + 1;
            starts.push(starts.last().copied().unwrap_or_default() + length);
        }
        // The last start is where the next line will be.
        self.offset = starts[(starts.len() - 1).saturating_sub(lines)];
        Ok(())
    }

    /// A reader at the offset; at the beginning if the log was rotated. None while there is no log.
    fn open(&mut self) -> Result<Option<BufReader<File>>, LogError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.unreadable(source)),
        };
        let length = file.metadata().map_err(|source| self.unreadable(source))?.len();
        if length < self.offset {
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(|source| self.unreadable(source))?;
        Ok(Some(BufReader::new(file)))
    }

    fn unreadable(&self, source: io::Error) -> LogError {
        LogError::Unreadable { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests;
