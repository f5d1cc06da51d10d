//! One supervised child in a directory of its own; whatever happens, its processes end with the test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use conditions::{Condition, Pace, Sighting, Silent, wait_for};
use health_endpoints::{State, StatusDocument};
use misbehaving_child::{Misbehaviour, SupervisorArguments};
use process_control::{Child, ChildEnding, Output, ProcessIdentity, Signal, Spawn};
use tempfile::TempDir;

/// Wide enough for two busy cores; only a failing test waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What to run; `start` fills in the paths.
pub(crate) struct Run {
    pub(crate) directory: TempDir,
    pub(crate) program: PathBuf,
    pub(crate) child: Misbehaviour,
    pub(crate) supervisor: SupervisorArguments,
}

impl Run {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(directory.path().join(name));
        Self {
            program: env!("CARGO_BIN_EXE_misbehaving-child").into(),
            child: Misbehaviour {
                record: path("record"),
                health_socket: path("health"),
                ..Misbehaviour::default()
            },
            supervisor: SupervisorArguments {
                status: path("status"),
                ended_record: path("ended"),
                termination_message: path("termination"),
                child_socket: path("health"),
                ..SupervisorArguments::short()
            },
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn start(self) -> Supervised {
        self.start_below(&[])
    }

    /// Starts it by a wrapping command: `unshare …`.
    pub(crate) fn start_below(self, wrapper: &[&str]) -> Supervised {
        let supervisor = env!("CARGO_BIN_EXE_test-supervisor");
        let mut line: Vec<String> = wrapper.iter().map(|&argument| argument.to_owned()).collect();
        line.push(supervisor.to_owned());
        line.extend(self.supervisor.arguments());
        line.push("--".into());
        line.push(self.program.display().to_string());
        line.extend(self.child.arguments());
        let process = Spawn::new(&line[0])
            .arguments(&line[1..])
            .environment("PILOTHOUSE_SOMETHING", "for the supervisor alone")
            .output(Output::Append(self.path("log")))
            // The thread of the test: it waits for everything that it started.
            .from_thread_that_outlives_it()
            .start()
            .unwrap();
        Supervised { directory: self.directory, process }
    }
}

/// A running test supervisor.
pub(crate) struct Supervised {
    directory: TempDir,
    pub(crate) process: Child,
}

impl Supervised {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn terminate(&self) {
        assert!(self.process.signal(Signal::SIGTERM).unwrap());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.process.signal(signal).unwrap());
    }

    /// What the file holds now; nothing if it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// How often the child's record or another file holds this line.
    pub(crate) fn count(&self, name: &str, line: &str) -> usize {
        self.read(name).lines().filter(|found| *found == line).count()
    }

    pub(crate) fn status(&self) -> Option<StatusDocument> {
        serde_json::from_str(&self.read("status")).ok()
    }

    /// The child's process as long as it lives.
    pub(crate) fn child(&self) -> ProcessIdentity {
        let pid = self.status().and_then(|status| status.pid).expect("a child");
        ProcessIdentity::of(pid).unwrap().expect("a living child")
    }

    pub(crate) async fn until_state(&self, state: State) -> StatusDocument {
        self.until_status(&format!("the state {state}"), |status| status.state == state).await
    }

    pub(crate) async fn until_status(
        &self,
        what: &str,
        holds: impl Fn(&StatusDocument) -> bool,
    ) -> StatusDocument {
        self.until(what, || self.status().filter(|status| holds(status))).await
    }

    pub(crate) async fn until_line(&self, name: &str, line: &str) {
        self.until(&format!("the line {line:?} in {name}"), || (self.count(name, line) > 0).then_some(()))
            .await;
    }

    /// Waits until `look` finds something.
    pub(crate) async fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        let pace =
            Pace { first: Duration::from_millis(5), longest: Duration::from_millis(25), ..Pace::default() };
        let mut condition = Found { what, look };
        tokio::time::timeout(DEADLINE, wait_for(&mut condition, pace, &Silent))
            .await
            .unwrap_or_else(|_| panic!("{what} did not come true within {DEADLINE:?}\n{}", self.account()))
    }

    /// The supervisor's own ending.
    pub(crate) async fn ending(&mut self) -> ChildEnding {
        let ending = tokio::time::timeout(DEADLINE, self.process.wait()).await;
        ending
            .unwrap_or_else(|_| panic!("the supervisor did not end within {DEADLINE:?}\n{}", self.account()))
            .unwrap()
    }

    /// Everything that helps to understand a failure.
    pub(crate) fn account(&self) -> String {
        ["status", "record", "ended", "log"].map(|name| format!("--- {name}\n{}\n", self.read(name))).concat()
    }
}

struct Found<'a, F> {
    what: &'a str,
    look: F,
}

impl<T, F: FnMut() -> Option<T>> Condition for Found<'_, F> {
    type Output = T;

    fn awaits(&self) -> String {
        self.what.to_owned()
    }

    async fn look(&mut self) -> Sighting<T> {
        (self.look)().map_or_else(|| Sighting::NotYet("not yet".into()), Sighting::Holds)
    }
}

pub(crate) fn touch(path: &Path) {
    std::fs::File::create(path).unwrap();
}

/// Waits until this very process is gone.
pub(crate) async fn until_gone(process: &ProcessIdentity) {
    let Some(handle) = process.open().unwrap() else { return };
    tokio::time::timeout(DEADLINE, handle.ended())
        .await
        .unwrap_or_else(|_| panic!("{process:?} still lives"))
        .unwrap();
}
