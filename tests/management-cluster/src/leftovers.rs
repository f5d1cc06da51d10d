//! Removing a cluster, or what a killed run left of one: machines, cgroups, files.
//! Refuses to kill a process that is not the first one of a machine in this very directory.

use std::fs;
use std::path::Path;

use process_control::{ProcessIdentity, Signal};

use crate::cgroups;
use crate::error::{ClusterError, Result};
use crate::layout::Layout;

/// Removes everything of the cluster `name` in `directory`. Nothing happens when there is nothing.
pub async fn remove(directory: &Path, name: &str) -> Result<()> {
    let layout = Layout::new(directory);
    end_machines(&layout).await?;
    cgroups::remove(&cgroups::of_cluster(name)).await?;
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ClusterError::path("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

/// Every process whose command line says that it is the first of a machine here: `… init DIRECTORY/machines/…`.
/// Records are not asked: a run that was killed may not have written them.
async fn end_machines(layout: &Layout) -> Result<()> {
    let machines = layout.machine("").root;
    // Until none is left: what was being started when the others were killed may have come since.
    loop {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").map_err(ClusterError::path("read", "/proc"))?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if is_first_process(&entry.path(), &machines)
                && let Some(identity) = ProcessIdentity::of(pid)?
                && let Some(process) = identity.open()?
            {
                found.push(process);
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            let failed = || ClusterError::path("kill", format!("/proc/{}", process.pid()));
            process.signal(Signal::SIGKILL).map_err(failed())?;
            process.ended().await.map_err(failed())?;
        }
    }
}

fn is_first_process(process: &Path, machines: &Path) -> bool {
    let Ok(line) = fs::read(process.join("cmdline")) else { return false };
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    words
        .windows(2)
        .any(|pair| pair[0] == b"init" && Path::new(&*String::from_utf8_lossy(pair[1])).starts_with(machines))
}

/// The same where nothing can be awaited. What it cannot remove the next run does.
pub(crate) fn remove_blocking(directory: &Path, name: &str) {
    let (directory, name) = (directory.to_owned(), name.to_owned());
    // A thread of its own: the one that drops may be inside a runtime.
    let removal = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            let _left_to_the_next_run = runtime.block_on(remove(&directory, &name));
        }
    });
    let _panicked = removal.join();
}
