//! How each fault is done to the processes of a running control plane.
//! Refuses to signal a pid that may be somebody else's by now.

use std::path::Path;
use std::time::Duration;

use end_to_end::{ControlPlane, Instance, eventually};
use process_control::{ProcessHandle, ProcessIdentity, Signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::plan::{Fault, Process};

/// Whoever is to lose his data waits so long until all members have theirs.
const WHOLE_LIMIT: Duration = Duration::from_secs(120);
/// A process that is just being started again.
const THERE_LIMIT: Duration = Duration::from_secs(30);

/// Processes that are frozen for now; they go on when this is dropped.
#[derive(Default)]
pub(crate) struct Frozen(JoinSet<()>);

impl Frozen {
    /// Waits until all go on again.
    pub(crate) async fn over(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

/// Goes on when it is dropped.
struct Stopped(ProcessHandle);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _gone = self.0.signal(Signal::SIGCONT);
    }
}

pub(crate) async fn befall(plane: &ControlPlane, fault: &Fault, frozen: &mut Frozen) {
    match fault {
        Fault::Kill(victims) => {
            let instances = instances(plane).await;
            let handles: Vec<ProcessHandle> =
                victims.iter().filter_map(|(name, process)| open(&instances, name, *process)).collect();
            for handle in handles {
                let _gone = handle.signal(Signal::SIGKILL);
            }
        }
        Fault::Freeze { instance, process, lasts } => {
            let Some(handle) = open(&instances(plane).await, instance, *process) else { return };
            let _gone = handle.signal(Signal::SIGSTOP);
            let (stopped, lasts) = (Stopped(handle), *lasts);
            frozen.0.spawn(async move {
                sleep(lasts).await;
                drop(stopped);
            });
        }
        Fault::Stop(instance) => {
            if let Some(handle) = open(&instances(plane).await, instance, Process::Supervisor) {
                let _gone = handle.signal(Signal::SIGTERM);
            }
        }
        Fault::LoseVolume(member) => lose_volume(plane, member, frozen).await,
    }
}

/// Together with its processes, as a volume goes with its node.
async fn lose_volume(plane: &ControlPlane, member: &str, frozen: &mut Frozen) {
    frozen.over().await;
    let is_etcd = |instance: &&Instance| instance.component == "etcd";
    let all = |instances: &[Instance]| instances.iter().filter(is_etcd).all(|instance| instance.ready);
    let instances = plane.until("all members of etcd have their data", WHOLE_LIMIT, all).await;
    let data = instances.iter().find(|instance| instance.name == *member);
    let data =
        data.and_then(|instance| instance.data_directory.clone()).expect("etcd tells where its data is");
    for process in [Process::Supervisor, Process::Child] {
        if let Some(handle) = open(&instances, member, process) {
            let _gone = handle.signal(Signal::SIGKILL);
            handle.ended().await.expect("its end can be waited for");
        }
    }
    empty(&data, &plane.state_directory().with_extension("lost"));
}

/// At once for who is started again meanwhile: deleting takes longer than a start.
fn empty(directory: &Path, graveyard: &Path) {
    std::fs::create_dir_all(graveyard).expect("a directory for what is lost");
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let _gone = std::fs::rename(entry.path(), graveyard.join(entry.file_name()));
    }
    std::fs::remove_dir_all(graveyard).expect("what is lost can be deleted");
}

async fn instances(plane: &ControlPlane) -> Vec<Instance> {
    eventually("the status can be read", THERE_LIMIT, async || plane.status().await).await
}

/// None for a process that is not there: it died of an earlier fault, or there is none.
fn open(instances: &[Instance], name: &str, process: Process) -> Option<ProcessHandle> {
    let instance = instances.iter().find(|instance| instance.name == name)?;
    let pid = match process {
        Process::Child => instance.pid,
        Process::Supervisor => instance.supervisor_pid,
    };
    ProcessIdentity::of(pid?).ok()??.open().ok()?
}
