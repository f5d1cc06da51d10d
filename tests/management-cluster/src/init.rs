//! The first process of a machine: makes its namespaces its own, keeps its services, takes orders at a socket.
//! When it ends, however, the kernel ends everything of the machine: that is how a node dies.

mod front;
mod mounts;
mod services;

use std::path::Path;
use std::rc::Rc;

use nix::sched::CloneFlags;
use process_control::{InstalledSignals, ProcessIdentity};
use tokio::task::LocalSet;

use crate::control;
use crate::error::{ClusterError, Result};
use crate::specification::{MachineSpecification, write_json};
pub(crate) use services::Services;

/// Runs as process 1 of a fresh process namespace until it is told to stop. Blocks; `main` has nothing else to do.
pub fn run(specification: &Path) -> Result<()> {
    let specification = MachineSpecification::read(specification)?;
    let installed = InstalledSignals::install().map_err(|error| failed(&specification, error))?;
    // Bound while this is still the host's network; a socket stays in the network that it was made in.
    let front = specification.front.map(front::bind).transpose()?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNET).map_err(|error| failed(&specification, error))?;
    write_json(&specification.identity, &own_identity(&specification)?)?;
    mounts::make(&specification)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClusterError::path("make a runtime for", &specification.hostname))?;
    let serve = async {
        let signals = installed.attend().map_err(|error| failed(&specification, error))?;
        let services = Rc::new(Services::new(&specification));
        if let Some(front) = front {
            tokio::task::spawn_local(front.keep()?);
        }
        let listener = control::listen(&specification.control_socket)?;
        tokio::select! {
            never = control::answer_for_ever(listener, services) => match never {},
            _ = signals.stop_asked() => Ok(()),
        }
    };
    LocalSet::new().block_on(&runtime, serve)
}

/// As the host sees us: /proc is still the host's.
fn own_identity(specification: &MachineSpecification) -> Result<ProcessIdentity> {
    let own = std::fs::read_link("/proc/self").map_err(ClusterError::path("read", "/proc/self"))?;
    let pid = own.to_str().and_then(|text| text.parse().ok()).unwrap_or_default();
    ProcessIdentity::of(pid)?
        .ok_or_else(|| failed(specification, std::io::Error::from(std::io::ErrorKind::NotFound)))
}

fn failed(
    specification: &MachineSpecification,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ClusterError {
    ClusterError::Start { machine: specification.hostname.clone(), source: source.into() }
}
