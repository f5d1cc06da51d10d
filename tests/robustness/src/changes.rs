//! What an operator does that takes a while: it goes on in the background, and faults befall the control plane in the middle of
//! it. Refuses to give up because of them: an operator waits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{ControlPlane, Instance, binary, component, pilothouse};
use process_control::{ChildEnding, Signal, Spawn, capture};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::event::Process;
use crate::faults::open;
use crate::members::etcdctl;
use crate::network::number;

/// An API server that is restarted may wait for etcd, which may wait for all other faults.
const ROLL_LIMIT: Duration = Duration::from_secs(240);
/// Above the patience of all stages of a stop together.
const DOWN_LIMIT: Duration = Duration::from_secs(240);
/// For a member that may stand still or be cut off meanwhile.
const MAINTENANCE_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What goes on.
pub(crate) struct Changes {
    state: PathBuf,
    /// Each gives the promises that it found broken.
    begun: JoinSet<Vec<String>>,
    /// `pilothouse down`, which has not ended yet.
    down: Option<JoinHandle<Result<(), String>>>,
}

impl Changes {
    pub(crate) fn of(state: PathBuf) -> Self {
        Self { state, begun: JoinSet::new(), down: None }
    }

    /// Restarts API servers, one after the other.
    pub(crate) fn roll(&mut self) {
        self.begun.spawn(roll(self.state.clone()));
    }

    /// Stops everything; it is started again as soon as somebody waits here. Nothing if that goes on already.
    pub(crate) fn down(&mut self) {
        let down = Spawn::new(binary("pilothouse"))
            .arguments(["down", "--name", "test"])
            .arguments([Path::new("--state-dir"), &self.state])
            .from_thread_that_outlives_it();
        self.down.get_or_insert_with(|| tokio::spawn(done(down, DOWN_LIMIT)));
    }

    /// Rewrites the database of the member that is there.
    pub(crate) fn defragment(&mut self, member: &str, url: &str) {
        let defragment = etcdctl(&self.state, member, url).arguments([
            "defrag",
            "--command-timeout",
            &format!("{}s", MAINTENANCE_LIMIT.as_secs()),
        ]);
        let name = member.to_owned();
        self.begun.spawn(async move {
            println!("  {name} is defragmented: {:?}", done(defragment, MAINTENANCE_LIMIT * 2).await);
            Vec::new()
        });
    }

    /// Saves what that member has.
    pub(crate) fn snapshot(&mut self, member: &str, url: &str) {
        self.begun.spawn(snapshot(self.state.clone(), member.to_owned(), url.to_owned()));
    }

    /// Waits for the moment; what is down before that is started again.
    pub(crate) async fn until(&mut self, moment: Instant, plane: &mut ControlPlane) {
        if let Some(down) = &mut self.down {
            tokio::select! {
                stopped = down => self.up(stopped, plane).await,
                () = sleep_until(moment) => {}
            }
        }
        sleep_until(moment).await;
    }

    /// Waits until nothing is being stopped, and starts again what is down.
    pub(crate) async fn up_again(&mut self, plane: &mut ControlPlane) {
        if let Some(down) = &mut self.down {
            let stopped = down.await;
            self.up(stopped, plane).await;
        }
    }

    async fn up(&mut self, stopped: Result<Result<(), String>, JoinError>, plane: &mut ControlPlane) {
        self.down = None;
        stopped.expect("it can be waited for").expect("pilothouse down stops everything");
        // It has ended, or `down` would go on.
        let ending = plane.ended().await;
        println!("  all is stopped ({ending:?}), and started again");
        plane.start();
    }

    /// Waits until all of it is done; gives the promises that were broken on the way.
    pub(crate) async fn over(&mut self) -> Vec<String> {
        let mut broken = Vec::new();
        while let Some(ended) = self.begun.join_next().await {
            broken.extend(ended.expect("an operator comes to an end"));
        }
        broken
    }
}

async fn roll(state: PathBuf) -> Vec<String> {
    let servers = ready_servers(&state, None).await;
    for server in servers {
        let all = ready_servers(&state, None).await;
        let Some(supervisor) = open(&all, &server.name, Process::Supervisor) else { continue };
        let _gone = supervisor.signal(Signal::SIGTERM);
        let now = all.into_iter().find(|now| now.name == server.name);
        ready_servers(&state, now.as_ref()).await;
    }
    println!("  all API servers were restarted");
    Vec::new()
}

/// All API servers, as soon as each is ready, and this one has another supervisor than it had.
async fn ready_servers(state: &Path, restarted: Option<&Instance>) -> Vec<Instance> {
    let until = Instant::now() + ROLL_LIMIT;
    loop {
        let (_code, output, _error) = pilothouse(&["status", "-o", "json"], state).await;
        let mut servers: Vec<Instance> = serde_json::from_str(&output).unwrap_or_default();
        servers.retain(|instance| instance.component == "kube-apiserver");
        let as_it_was = |now: &Instance| {
            restarted.is_some_and(|old| now.name == old.name && now.supervisor_pid == old.supervisor_pid)
        };
        if !servers.is_empty() && servers.iter().all(|now| now.ready && !as_it_was(now)) {
            return servers;
        }
        assert!(Instant::now() < until, "API servers are not all ready within {ROLL_LIMIT:?}: {servers:#?}");
        sleep(LOOK_EVERY).await;
    }
}

/// One that is said to be saved can be restored.
async fn snapshot(state: PathBuf, member: String, url: String) -> Vec<String> {
    let file = state.with_extension(format!("{}.db", number()));
    let runtime = state.join("instances").join(&member).join("runtime");
    let save = Spawn::new("/bin/sh")
        .arguments(["-c", "file=$0 && exec \"$@\" > \"$file\""])
        .arguments([&file, &binary("etcd-supervisor")])
        .arguments(["snapshot", "--endpoint", &url])
        .arguments([Path::new("--runtime-directory"), &runtime])
        .from_thread_that_outlives_it();
    let saved = done(save, MAINTENANCE_LIMIT).await;
    println!("  a snapshot of {member} is saved: {saved:?}");
    let mut broken = Vec::new();
    if saved.is_ok() {
        let restored = file.with_extension("restored");
        let restore = Spawn::new(component("etcdutl"))
            .arguments(["snapshot", "restore"])
            .arguments([&file])
            .arguments([Path::new("--data-dir"), &restored])
            .from_thread_that_outlives_it();
        let unusable = done(restore, MAINTENANCE_LIMIT).await.err();
        broken.extend(unusable.map(|why| format!("a snapshot of {member} cannot be restored: {why}")));
        let _gone = std::fs::remove_dir_all(restored);
    }
    let _gone = std::fs::remove_file(file);
    broken
}

/// Whether it ended well; what it said last if not.
async fn done(spawn: Spawn, limit: Duration) -> Result<(), String> {
    let said = capture(&spawn, limit).await.map_err(|error| error.to_string())?;
    if said.ending == ChildEnding::Exited(0) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr);
    Err(format!("{:?}: {}", said.ending, text.lines().last().unwrap_or_default()))
}
