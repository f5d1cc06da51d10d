//! How each event is made to befall a running control plane.
//! Refuses to signal a pid that may be somebody else's by now.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use certificates::Rotated;
use end_to_end::{ControlPlane, Instance, eventually};
use process_control::{ProcessHandle, ProcessIdentity, Signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::changes::Changes;
use crate::clock::Clock;
use crate::event::{Event, Process};
use crate::network::Wrong;
use crate::plan::SMALL;
use crate::slow_network::Slow;
use crate::small_volume::SmallVolume;

/// Whoever is to lose his data waits so long until all members have theirs.
const WHOLE_LIMIT: Duration = Duration::from_secs(120);
/// A process that is just being started again.
const THERE_LIMIT: Duration = Duration::from_secs(30);

/// What goes wrong for a while; it is over when this is dropped.
#[derive(Default)]
pub(crate) struct Passing(JoinSet<()>);

impl Passing {
    /// Waits until all of it is over.
    pub(crate) async fn over(&mut self) {
        while self.0.join_next().await.is_some() {}
    }

    fn add(&mut self, wrong: impl Send + 'static, lasts: Duration) {
        self.0.spawn(async move {
            sleep(lasts).await;
            drop(wrong);
        });
    }
}

/// Goes on when it is dropped.
struct Stopped(ProcessHandle);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _gone = self.0.signal(Signal::SIGCONT);
    }
}

/// What events are made with.
pub(crate) struct Means {
    /// Where the members of etcd listen for each other, by name.
    pub(crate) peer_ports: BTreeMap<String, u16>,
    /// Where they listen for clients, by name.
    pub(crate) client_urls: BTreeMap<String, String>,
    /// The volume of [`SMALL`].
    pub(crate) small: SmallVolume,
    /// What our processes go by, in plans that set it.
    pub(crate) clock: Option<Clock>,
}

/// Gives what is being replaced from now on.
pub(crate) async fn befall(
    plane: &mut ControlPlane,
    event: &Event,
    means: &Means,
    passing: &mut Passing,
    changes: &mut Changes,
) -> Option<Rotated> {
    let Means { peer_ports, client_urls, small, clock } = means;
    match event {
        Event::Kill(victims) => {
            let instances = instances(plane).await;
            let handles: Vec<ProcessHandle> =
                victims.iter().filter_map(|(name, process)| open(&instances, name, *process)).collect();
            for handle in handles {
                let _gone = handle.signal(Signal::SIGKILL);
            }
        }
        Event::Freeze { instance, process, lasts } => {
            let handle = open(&instances(plane).await, instance, *process)?;
            let _gone = handle.signal(Signal::SIGSTOP);
            passing.add(Stopped(handle), *lasts);
        }
        Event::Stop(instance) => {
            if let Some(handle) = open(&instances(plane).await, instance, Process::Supervisor) {
                let _gone = handle.signal(Signal::SIGTERM);
            }
        }
        Event::LoseVolume(member) => {
            passing.over().await;
            changes.up_again(plane).await;
            let elsewhere = plane.state_directory().with_extension("lost");
            let graveyard = if member == SMALL { small.graveyard() } else { elsewhere };
            lose_volume(plane, member, |data| empty(data, &graveyard)).await;
        }
        Event::FillVolume { lasts, .. } => passing.add(small.fill(), *lasts),
        Event::SlowVolume { writes, lasts, .. } => passing.add(small.slow(*writes), *lasts),
        Event::Standstill { instances: still, lasts } => {
            let running = instances(plane).await;
            for handle in still.iter().flat_map(|name| both(&running, name)) {
                let _gone = handle.signal(Signal::SIGSTOP);
                passing.add(Stopped(handle), *lasts);
            }
        }
        Event::CutOff { member, lasts } => passing.add(Wrong::lossy(&[peer_ports[member]], 100), *lasts),
        Event::Isolate { member, lasts } => {
            let running = instances(plane).await;
            let processes: Vec<u32> = both(&running, member).iter().map(ProcessHandle::pid).collect();
            let others = peer_ports.iter().filter(|(name, _)| *name != member);
            let others: Vec<u16> = others.map(|(_, port)| *port).collect();
            let directory = plane.state_directory().with_extension("cut");
            passing.add(Wrong::cut(&processes, peer_ports[member], &others, &directory), *lasts);
        }
        Event::Loss { percent, lasts } => {
            let ports: Vec<u16> = peer_ports.values().copied().collect();
            passing.add(Wrong::lossy(&ports, *percent), *lasts);
        }
        Event::Delay { packet, lasts } => {
            passing.add(Slow::new(peer_ports.values().copied(), *packet), *lasts);
        }
        Event::ClockAhead { ahead, lasts } => {
            let clock = clock.as_ref().expect("a plan that sets it has one");
            passing.add(clock.ahead(*ahead), *lasts);
        }
        Event::Rotate(what) => {
            let (code, output, error) = plane.command(&["rotate", subcommand(*what)]).await;
            println!("  {code}: {}", [output, error].concat().trim());
            return (code == 0).then_some(*what);
        }
        Event::RollApiServers => changes.roll(),
        Event::DownAndUp => changes.down(),
        Event::Defragment(member) => changes.defragment(member, &client_urls[member]),
        Event::Snapshot(member) => changes.snapshot(member, &client_urls[member]),
    }
    None
}

/// The processes of an instance that are there.
fn both(instances: &[Instance], name: &str) -> Vec<ProcessHandle> {
    let open = |process| open(instances, name, process);
    [Process::Supervisor, Process::Child].into_iter().filter_map(open).collect()
}

fn subcommand(what: Rotated) -> &'static str {
    match what {
        Rotated::ServiceAccount => "service-account-key",
        Rotated::Encryption => "encryption-key",
        Rotated::CertificateAuthorities => "certificate-authorities",
    }
}

/// Gives [`SMALL`] a small volume in the place of the one it has, whose data it loses by that.
pub(crate) async fn small_volume(plane: &ControlPlane) -> SmallVolume {
    let root = plane.state_directory().with_extension("small");
    let mut small = None;
    lose_volume(plane, SMALL, |data| small = Some(SmallVolume::over(data, root.clone()))).await;
    plane.until_ready(WHOLE_LIMIT).await;
    small.expect("it was lost")
}

/// Together with its processes, as a volume goes with its node.
async fn lose_volume(plane: &ControlPlane, member: &str, lose: impl FnOnce(&Path)) {
    let is_etcd = |instance: &&Instance| instance.component == "etcd";
    let all = |instances: &[Instance]| instances.iter().filter(is_etcd).all(|instance| instance.ready);
    let instances = plane.until("all members of etcd have their data", WHOLE_LIMIT, all).await;
    let data = instances.iter().find(|instance| instance.name == *member);
    let data =
        data.and_then(|instance| instance.data_directory.clone()).expect("etcd tells where its data is");
    for handle in both(&instances, member) {
        let _gone = handle.signal(Signal::SIGKILL);
        handle.ended().await.expect("its end can be waited for");
    }
    lose(&data);
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
pub(crate) fn open(instances: &[Instance], name: &str, process: Process) -> Option<ProcessHandle> {
    let instance = instances.iter().find(|instance| instance.name == name)?;
    let pid = match process {
        Process::Child => instance.pid,
        Process::Supervisor => instance.supervisor_pid,
    };
    ProcessIdentity::of(pid?).ok()??.open().ok()?
}
