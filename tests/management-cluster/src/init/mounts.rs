//! What a machine sees of the file system: its own disks, fresh scratch directories, its own /proc.
//! Refuses to change a mount of the host: it runs in a mount namespace of its own.

use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::error::{ClusterError, Result};
use crate::specification::MachineSpecification;

const NOTHING: Option<&str> = None;

pub(super) fn make(specification: &MachineSpecification) -> Result<()> {
    let hostname = &specification.hostname;
    nix::unistd::sethostname(hostname)
        .map_err(|errno| ClusterError::path("set the hostname", hostname)(errno.into()))?;
    // Nothing of ours may reach the host, nor hold on to what the host unmounts.
    on(Path::new("/"), mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SLAVE, NOTHING))?;
    for (disk, inside) in &specification.disks {
        create(disk)?;
        on(inside, mount(Some(disk), inside, NOTHING, MsFlags::MS_BIND, NOTHING))?;
    }
    for inside in &specification.scratch {
        on(inside, mount(Some("tmpfs"), inside, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")))?;
    }
    on(Path::new("/proc"), mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), NOTHING))?;
    for (index, (file, content)) in specification.pinned.iter().enumerate() {
        let stand_in = Path::new("/run").join(format!("pinned-{index}"));
        durable_files::write_public(&stand_in, content.as_bytes())?;
        if file.exists() {
            on(file, mount(Some(&stand_in), file, NOTHING, MsFlags::MS_BIND, NOTHING))?;
        }
    }
    for (file, content) in &specification.network_settings {
        put(file, content)?;
    }
    // kubelet mounts volumes that containers must see.
    on(Path::new("/"), mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SHARED, NOTHING))
}

fn on(path: &Path, outcome: nix::Result<()>) -> Result<()> {
    outcome.map_err(|errno| ClusterError::path("mount on", path)(errno.into()))
}

fn create(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(ClusterError::path("create", directory))
}

/// The kernel's files are written in place.
fn put(file: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut open| open.write_all(content.as_bytes()))
        .map_err(ClusterError::path("write", file))
}
