//! Processes that a killed `pilothouse` left behind: found by their pid files and ended in the order of a stop.
//! Refuses to end anything whose identity is not exactly the recorded one.

use std::time::Duration;

use naming_contract::Component;
use process_control::{ProcessHandle, Signal};

use crate::paths::StatePaths;
use crate::pid_file::PidFile;
use crate::plan::STOP_STAGES;

/// A process that a pid file tells of and that lives.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) instance: String,
    component: Option<Component>,
    handle: ProcessHandle,
}

/// Every living process that a pid file tells of, except `pilothouse` itself.
pub(crate) fn find(paths: &StatePaths) -> Vec<Leftover> {
    let Ok(entries) = std::fs::read_dir(paths.run()) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .filter(|instance| instance != crate::paths::SELF)
        .filter_map(|instance| {
            let handle = PidFile::read(paths, &instance)?.process.open().ok().flatten()?;
            let component = component_of(&instance);
            Some(Leftover { instance, component, handle })
        })
        .collect()
}

/// Ends them stage by stage; `tell` hears of every process that is waited for.
pub(crate) async fn end(leftovers: Vec<Leftover>, paths: &StatePaths, mut tell: impl FnMut(&str)) {
    let mut remaining = leftovers;
    for stage in STOP_STAGES {
        let (now, later): (Vec<_>, Vec<_>) = remaining.into_iter().partition(|leftover| {
            // What no component is known for goes first: nothing of ours depends on it.
            leftover.component.is_none_or(|component| stage.components.contains(&component))
        });
        remaining = later;
        for leftover in &now {
            tell(&format!(
                "{}: still running as process {}; it is stopped",
                leftover.instance,
                leftover.handle.pid()
            ));
            signal(leftover, Signal::SIGTERM);
        }
        for leftover in now {
            wait_or_kill(&leftover, stage.patience).await;
            PidFile::remove(paths, &leftover.instance);
        }
    }
}

async fn wait_or_kill(leftover: &Leftover, patience: Duration) {
    if tokio::time::timeout(patience, leftover.handle.ended()).await.is_ok() {
        return;
    }
    tracing::warn!(instance = leftover.instance, ?patience, "leftover did not end in time and is killed");
    signal(leftover, Signal::SIGKILL);
    // Only a process in an uninterruptible sleep survives this, and nothing could be done about it.
    let _gone = tokio::time::timeout(Duration::from_secs(5), leftover.handle.ended()).await;
}

fn signal(leftover: &Leftover, signal: Signal) {
    if let Err(error) = leftover.handle.signal(signal) {
        tracing::error!(instance = leftover.instance, %signal, %error, "signal not sent");
    }
}

fn component_of(instance: &str) -> Option<Component> {
    let (name, _ordinal) = instance.rsplit_once('-')?;
    Component::ALL.into_iter().find(|component| component.name() == name)
}

#[cfg(test)]
mod tests {
    use process_control::{Child, ProcessIdentity, Spawn};
    use tempfile::TempDir;

    use super::*;

    fn sleeper() -> Child {
        Spawn::new("/bin/sleep").arguments(["600"]).from_thread_that_outlives_it().start().unwrap()
    }

    fn remember(paths: &StatePaths, instance: &str, process: ProcessIdentity) {
        PidFile { process, restarts: 0, ready: false }.write(paths, instance).unwrap();
    }

    #[tokio::test]
    async fn exactly_the_recorded_processes_are_ended() {
        let state = TempDir::new().unwrap();
        let paths = StatePaths::new(state.path().to_owned());
        durable_files::create_private_directory(&paths.run()).unwrap();
        let (mut etcd, mut apiserver, stranger) = (sleeper(), sleeper(), sleeper());
        remember(&paths, "etcd-0", etcd.identity().unwrap());
        remember(&paths, "kube-apiserver-0", apiserver.identity().unwrap());
        let mut recycled = stranger.identity().unwrap();
        recycled.start_time -= 1;
        remember(&paths, "kube-scheduler-0", recycled);
        remember(&paths, crate::paths::SELF, ProcessIdentity::own().unwrap());

        let mut told = Vec::new();
        let ended = end(find(&paths), &paths, |line| told.push(line.to_owned()));
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
        etcd.wait().await.unwrap();
        apiserver.wait().await.unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("kube-apiserver-0") && told[1].starts_with("etcd-0"), "{told:?}");
        assert!(stranger.identity().unwrap().is_alive().unwrap());
        assert!(PidFile::read(&paths, "etcd-0").is_none());
    }
}
