//! The keeper with real processes that stand for supervisors: they sleep, crash, refuse their settings or ignore SIGTERM.

use naming_contract::Component;
use tempfile::TempDir;
use tokio::task::{JoinHandle, LocalSet};

use super::*;
use crate::ports::PortUse;

/// For everything that must happen; a busy machine is no failure.
const LIMIT: Duration = Duration::from_secs(30);

struct Kept {
    _state: TempDir,
    paths: StatePaths,
    views: Views,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

const NAME: &str = "etcd-0";

fn keeping(program: &str, arguments: &[&str], patience: Duration) -> Kept {
    mutual_tls::install_provider();
    let state = TempDir::new().unwrap();
    let paths = StatePaths::new(state.path().to_owned());
    for directory in [paths.run(), paths.instance(NAME)] {
        durable_files::create_private_directory(&directory).unwrap();
    }
    let instance = Instance {
        name: NAME.into(),
        component: Component::Etcd,
        ordinal: 0,
        // Nobody listens there; an instance without endpoints is not judged for the first 30 s.
        listeners: vec![(PortUse::Health, "127.0.0.1:1".parse().unwrap())],
        program: program.into(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        data_directory: None,
    };
    let views = Views::new(std::slice::from_ref(&instance));
    let stop = CancellationToken::new();
    let around = Surroundings {
        paths: paths.clone(),
        views: views.clone(),
        client: HealthClient::new(Duration::from_secs(1)).unwrap(),
    };
    let keeper = keep(Rc::new(instance), around, Stop { asked: stop.clone(), patience });
    Kept { _state: state, paths, views, stop, keeper: tokio::task::spawn_local(keeper) }
}

impl Kept {
    async fn until<T>(&self, seen: impl Fn(&crate::views::View) -> Option<T>) -> T {
        let mut changes = self.views.changes();
        let waiting = async {
            loop {
                if let Some(found) = self.views.view(NAME).as_ref().and_then(&seen) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("seen in time")
    }

    async fn pid(&self) -> u32 {
        self.until(|view| if let Process::Alive { pid } = view.process { Some(pid) } else { None }).await
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.keeper).await.expect("ended in time").unwrap();
        assert_eq!(self.views.view(NAME).unwrap().process, Process::Ended);
        assert!(PidFile::read(&self.paths, NAME).is_none());
    }
}

fn signal_process(pid: u32, signal: Signal) {
    let identity = ProcessIdentity::of(pid).unwrap().unwrap();
    assert!(identity.open().unwrap().unwrap().signal(signal).unwrap());
}

#[tokio::test]
async fn a_process_runs_under_its_own_hostname_and_is_stopped_when_asked() {
    LocalSet::new()
        .run_until(async {
            let kept = keeping("/bin/sh", &["-c", "hostname; exec sleep 600"], LIMIT);
            let pid = kept.pid().await;
            assert_eq!(PidFile::read_living(&kept.paths, NAME).unwrap().process.pid, pid);
            let log = kept.paths.log(NAME);
            let named = async {
                while std::fs::read_to_string(&log).unwrap_or_default() != "etcd-0\n" {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(LIMIT, named).await.expect("hostname logged in time");
            kept.stop().await;
        })
        .await;
}

#[tokio::test]
async fn what_was_killed_is_started_again_and_counted() {
    LocalSet::new()
        .run_until(async {
            let kept = keeping("/bin/sleep", &["600"], LIMIT);
            let first = kept.pid().await;
            signal_process(first, Signal::SIGKILL);
            let because = kept
                .until(|view| match &view.process {
                    Process::BackingOff { because, .. } => Some(because.clone()),
                    _ => None,
                })
                .await;
            assert_eq!(because, "ended by signal SIGKILL");
            let second = kept
                .until(|view| match view.process {
                    Process::Alive { pid } if pid != first => Some(view.supervisor_restarts),
                    _ => None,
                })
                .await;
            assert_eq!(second, 1);
            assert_eq!(PidFile::read(&kept.paths, NAME).unwrap().restarts, 1);
            kept.stop().await;
        })
        .await;
}

#[test]
fn a_child_that_panicked_is_no_refused_setting() {
    let refused = |code, understood| told(Ok(ChildEnding::Exited(code)), None, understood).refused_settings;
    assert!(refused(78, true) && refused(78, false) && refused(2, false));
    assert!(!refused(2, true), "its supervisor ran, and passed on how its child ended");
}

#[tokio::test]
async fn refused_settings_and_missing_programs_are_told_apart_from_crashes() {
    LocalSet::new()
        .run_until(async {
            for (program, arguments, refused) in [
                ("/bin/sh", &["-c", "exit 78"][..], true),
                ("/bin/sh", &["-c", "exit 2"], true),
                ("/bin/sh", &["-c", "exit 1"], false),
                ("/no/such/program", &[], true),
            ] {
                let kept = keeping(program, arguments, LIMIT);
                let found = kept
                    .until(|view| match &view.process {
                        Process::BackingOff { refused_settings, .. } => Some(*refused_settings),
                        _ => None,
                    })
                    .await;
                assert_eq!(found, refused, "{program} {arguments:?}");
                kept.stop().await;
            }
        })
        .await;
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_when_patience_ends() {
    LocalSet::new()
        .run_until(async {
            let script = "trap '' TERM; echo deaf; exec sleep 600";
            let kept = keeping("/bin/sh", &["-c", script], Duration::from_millis(300));
            kept.pid().await;
            let log = kept.paths.log(NAME);
            let deaf = async {
                while std::fs::read_to_string(&log).unwrap_or_default() != "deaf\n" {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(LIMIT, deaf).await.expect("deaf in time");
            let began = Instant::now();
            kept.stop().await;
            assert!(began.elapsed() >= Duration::from_millis(300));
        })
        .await;
}
