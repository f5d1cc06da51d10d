//! The misbehaving child. Each of its faults is a flag; see `--help`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use misbehaving_child::{Misbehaviour, serve};
use nix::sys::signal::{SigSet, Signal, raise};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

#[derive(Debug, Parser)]
#[command(about = "Does everything that a supervisor must endure")]
struct CommandLine {
    #[command(flatten)]
    misbehaviour: Misbehaviour,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What a process of an orphan's family does.
#[derive(Debug, Subcommand)]
enum Role {
    /// Starts an orphan and ends at once
    Parent { pid_file: std::path::PathBuf, lives: u64 },
    /// Lives on in a session of its own
    Orphan { pid_file: std::path::PathBuf, lives: u64 },
}

fn main() -> Result<ExitCode> {
    let CommandLine { misbehaviour, role } = CommandLine::parse();
    match role {
        None => {}
        Some(Role::Parent { pid_file, lives }) => {
            start_family("orphan", &pid_file, lives)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Role::Orphan { pid_file, lives }) => return live_as_orphan(&pid_file, lives),
    }
    let terminates = take_terminates()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(misbehave(&misbehaviour, terminates))
}

/// Each SIGTERM by a thread of its own: a handler could not be taken back without `unsafe`, and etcd's way to die
/// needs the default.
fn take_terminates() -> Result<mpsc::UnboundedReceiver<()>> {
    let mut terminate = SigSet::empty();
    terminate.add(Signal::SIGTERM);
    terminate.thread_block()?;
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || while terminate.wait().is_ok() && sender.send(()).is_ok() {});
    Ok(receiver)
}

async fn misbehave(
    misbehaviour: &Misbehaviour,
    mut terminate: mpsc::UnboundedReceiver<()>,
) -> Result<ExitCode> {
    let began = Instant::now();
    record(misbehaviour, &format!("started {}", std::process::id()))?;
    leave_orphans(misbehaviour)?;
    let wedges_at = wedges_at(misbehaviour, began)?;
    let ready_at = began + Duration::from_millis(misbehaviour.ready_after);
    let ends_at = misbehaviour.end_after.map(|after| began + Duration::from_millis(after));
    let listener = match &misbehaviour.health_socket {
        Some(path) => {
            drop(std::fs::remove_file(path));
            Some(UnixListener::bind(path).with_context(|| path.display().to_string())?)
        }
        None => None,
    };
    let health = async {
        let Some(listener) = listener else { return std::future::pending().await };
        let state = || {
            let now = Instant::now();
            let wedged = wedges_at.is_some_and(|moment| now >= moment);
            (!wedged).then_some(if now >= ready_at { "ready" } else { "unready" })
        };
        serve(listener, state).await
    };
    tokio::pin!(health);
    let mut drained_at = None;
    let mut terminates = 0;
    loop {
        tokio::select! {
            result = &mut health => result.context("the health socket")?,
            Some(()) = terminate.recv() => {
                terminates += 1;
                record(misbehaviour, &format!("SIGTERM {terminates}"))?;
                if !misbehaviour.ignore_terminate {
                    drained_at.get_or_insert(Instant::now() + Duration::from_millis(misbehaviour.drain));
                }
            }
            () = sleep_until(drained_at.unwrap_or(began)), if drained_at.is_some() => {
                record(misbehaviour, "drained")?;
                if misbehaviour.drain_by_signal {
                    return die_by(Signal::SIGTERM as i32);
                }
                return Ok(exit_code(misbehaviour.drain_exit_code));
            }
            () = sleep_until(ends_at.unwrap_or(began)), if ends_at.is_some() => {
                return match misbehaviour.die_by {
                    Some(signal) => die_by(signal),
                    None => Ok(exit_code(misbehaviour.exit_code)),
                };
            }
        }
    }
}

fn wedges_at(misbehaviour: &Misbehaviour, began: Instant) -> Result<Option<Instant>> {
    let Some(after) = misbehaviour.wedge_after else { return Ok(None) };
    if let Some(path) = &misbehaviour.wedge_once {
        if path.exists() {
            return Ok(None);
        }
        append(path, "wedged once")?;
    }
    Ok(Some(began + Duration::from_millis(after)))
}

fn leave_orphans(misbehaviour: &Misbehaviour) -> Result<()> {
    if let Some(pid_file) = &misbehaviour.orphan {
        start_family("parent", pid_file, 3_600_000)?;
    }
    for _ in 0..misbehaviour.short_orphans {
        start_family("parent", Path::new("/dev/null"), 0)?;
    }
    Ok(())
}

fn start_family(role: &str, pid_file: &Path, lives: u64) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(role)
        .arg(pid_file)
        .arg(lives.to_string())
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start a further process")?;
    if role == "parent" {
        child.wait()?;
    }
    Ok(())
}

fn live_as_orphan(pid_file: &Path, lives: u64) -> Result<ExitCode> {
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGTERM);
    ignored.thread_block()?;
    append(pid_file, &std::process::id().to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async { sleep(Duration::from_millis(lives)).await });
    Ok(ExitCode::SUCCESS)
}

fn die_by(signal: i32) -> Result<ExitCode> {
    let signal = Signal::try_from(signal)?;
    // No core files in somebody's checkout.
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
    SigSet::all().thread_unblock()?;
    raise(signal)?;
    bail!("{signal} did not end me")
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(code.to_le_bytes()[0])
}

fn record(misbehaviour: &Misbehaviour, line: &str) -> Result<()> {
    misbehaviour.record.as_deref().map_or(Ok(()), |path| append(path, line))
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    // One write, so that a reader never sees half a line.
    file.write_all(format!("{line}\n").as_bytes()).with_context(|| path.display().to_string())
}
