//! A whole control plane under `pilothouse up`, in a directory of its own; gone when dropped, also when a test fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process_control::{Child, Output, Signal, Spawn, capture};
use serde::Deserialize;
use tempfile::TempDir;

use crate::environment::{binary, components};
use crate::leftovers::processes_of;
use crate::nobody::Nobody;
use crate::ports::free_port;
use crate::wait::eventually;

/// How long a start may take on two busy cores.
const START_LIMIT: Duration = Duration::from_secs(120);

/// One row of `pilothouse status -o json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The instance's name.
    pub name: String,
    /// Its component.
    pub component: String,
    /// Its supervisor's state.
    pub state: String,
    /// Why it is in that state.
    pub reason: String,
    /// What the present wait last saw.
    #[serde(default)]
    pub last_observation: Option<String>,
    /// Whether it serves its purpose.
    #[serde(default)]
    pub ready: bool,
    /// Whether it leads; null where nobody does.
    #[serde(default)]
    pub leader: Option<bool>,
    /// The child's pid.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The supervisor's pid.
    #[serde(default)]
    pub supervisor_pid: Option<u32>,
    /// Restarts of the child.
    #[serde(default)]
    pub restarts: u32,
    /// Where its health endpoints are.
    pub endpoint: String,
    /// etcd's data.
    #[serde(default)]
    pub data_directory: Option<PathBuf>,
    /// What only its component knows.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    /// What a certificate-authority says of keys and CAs.
    #[serde(default)]
    pub rotations: Vec<Rotation>,
}

/// How far the replacement of a key, or of all CAs, is; told by a certificate-authority.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Of what.
    pub key_set: String,
    /// The number of the key, or of the CAs, in use.
    pub key: u64,
    /// What is handed out.
    pub generation: u64,
    /// Whether it has not ended.
    pub under_way: bool,
    /// Where it stands.
    pub stage: String,
    /// Whom it waits for.
    #[serde(default)]
    pub waits_for: Option<String>,
}

impl Rotation {
    /// By what is replaced.
    #[must_use]
    pub fn told_by(instances: Vec<Instance>) -> BTreeMap<String, Self> {
        let told = instances.into_iter().flat_map(|instance| instance.rotations);
        told.map(|rotation| (rotation.key_set.clone(), rotation)).collect()
    }
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    directory: TempDir,
    port: u16,
    components: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    nobody: Option<Nobody>,
    process: Option<Child>,
}

impl ControlPlane {
    /// Starts one with the default sizes and waits until everything is ready.
    pub async fn ready(arguments: &[&str]) -> Self {
        let plane = Self::starting(arguments);
        plane.until_ready(START_LIMIT).await;
        plane
    }

    /// Starts one and does not wait.
    #[must_use]
    pub fn starting(arguments: &[&str]) -> Self {
        let mut plane = Self::planned(arguments);
        plane.start();
        plane
    }

    /// One that [`Self::start`] will start; there is no state directory yet.
    #[must_use]
    pub fn planned(arguments: &[&str]) -> Self {
        Self {
            directory: TempDir::with_prefix("pilothouse-test-").expect("a temporary directory"),
            port: free_port(),
            components: components(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: Vec::new(),
            nobody: None,
            process: None,
        }
    }

    /// The environment of the next [`Self::start`], on top of ours; its supervisors inherit it.
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.environment = environment.iter().map(owned).collect();
    }

    /// Other upstream binaries for the next [`Self::start`].
    pub fn set_components(&mut self, directory: &Path) {
        directory.clone_into(&mut self.components);
    }

    /// Lets a user without privileges run it from the next [`Self::start`] on; panics unless we are root.
    pub fn give_to_nobody(&mut self) {
        let nobody = Nobody::with_binaries();
        Nobody::owns(self.directory.path());
        nobody.binaries().clone_into(&mut self.components);
        self.nobody = Some(nobody);
    }

    /// Other arguments for the next [`Self::start`].
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Starts `pilothouse up` (again) on the same state directory.
    pub fn start(&mut self) {
        let state = self.state_directory();
        let spawn = match &self.nobody {
            None => Spawn::new(binary("pilothouse")),
            Some(nobody) => {
                Nobody::runs(&nobody.binaries().join("pilothouse")).environment("HOME", self.directory.path())
            }
        };
        let spawn = spawn
            .arguments(["up", "--name", "test", "--log-format", "text"])
            .arguments([Path::new("--state-dir"), &state])
            .arguments([Path::new("--components"), &self.components])
            .arguments(["--port", &self.port.to_string()])
            .arguments(&self.arguments);
        let spawn = self
            .environment
            .iter()
            .fold(spawn, |spawn, (name, value)| spawn.environment(name, value))
            .output(Output::Append(self.directory.path().join("up.log")))
            .death_signal(Some(Signal::SIGTERM))
            // The test's own thread lives as long as the test; it is not the process' main thread.
            .from_thread_that_outlives_it();
        self.process = Some(spawn.start().expect("pilothouse up starts"));
    }

    /// The state directory.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The port of the front.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The admin kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state_directory().join("kubeconfig")
    }

    /// What `pilothouse up` printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("up.log")).unwrap_or_default()
    }

    /// Runs `pilothouse SUBCOMMAND … --name test --state-dir …`; exit code, standard output, standard error.
    pub async fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        pilothouse(arguments, &self.state_directory()).await
    }

    /// All instances, or why they cannot be told.
    pub async fn status(&self) -> Result<Vec<Instance>, String> {
        let (_code, output, error) = self.command(&["status", "-o", "json"]).await;
        serde_json::from_str(&output).map_err(|problem| format!("{problem}: {output} {error}"))
    }

    /// What the certificate-authority tells, by what is replaced; nothing while it is away.
    pub async fn rotations(&self) -> BTreeMap<String, Rotation> {
        Rotation::told_by(self.status().await.unwrap_or_default())
    }

    /// One instance; panics if there is none.
    pub async fn instance(&self, name: &str) -> Instance {
        let instances = self.status().await.expect("the status can be read");
        instances
            .into_iter()
            .find(|instance| instance.name == name)
            .unwrap_or_else(|| panic!("no instance {name}"))
    }

    /// Waits until `pilothouse status` says that all is ready; panics with the end of the log if it does not.
    pub async fn until_ready(&self, limit: Duration) {
        eventually("everything ready", limit, async || {
            let (code, table, error) = self.command(&["status"]).await;
            if code == 0 { Ok(()) } else { Err(Screen(format!("{table}{error}\n{}", tail(&self.output())))) }
        })
        .await;
    }

    /// Waits until the instances satisfy `wanted`.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&[Instance]) -> bool,
    ) -> Vec<Instance> {
        eventually(what, limit, async || {
            let instances = self.status().await.map_err(Screen)?;
            if wanted(&instances) { Ok(instances) } else { Err(Screen(format!("{instances:#?}"))) }
        })
        .await
    }

    /// The pid of `pilothouse up`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map(Child::pid).expect("pilothouse up runs")
    }

    /// Stops it in order with SIGTERM and waits for its end; gives its ending.
    pub async fn stop(&mut self) -> process_control::ChildEnding {
        let process = self.process.as_ref().expect("pilothouse up runs");
        assert!(process.signal(Signal::SIGTERM).expect("it can be signalled"), "it has ended already");
        self.ended().await
    }

    /// Waits for the end of `pilothouse up`, which nobody here asks for.
    pub async fn ended(&mut self) -> process_control::ChildEnding {
        let mut process = self.process.take().expect("pilothouse up runs");
        tokio::time::timeout(Duration::from_secs(120), process.wait())
            .await
            .unwrap_or_else(|_elapsed| panic!("pilothouse up did not end: {}", tail(&self.output())))
            .expect("it can be waited for")
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The supervisors die with `pilothouse up` in order when it can; what a failed test left is killed.
        drop(self.process.take());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let left = processes_of(&self.state_directory());
            if left.is_empty() {
                break;
            }
            for (pid, _line) in left {
                let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            }
            assert!(tokio::time::Instant::now() < deadline, "processes cannot be killed");
            std::thread::yield_now();
        }
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test tells what the control plane said")]
            {
                eprintln!("--- end of the output of pilothouse up\n{}", tail(&self.output()));
                for entry in std::fs::read_dir(self.state_directory().join("instances"))
                    .into_iter()
                    .flatten()
                    .flatten()
                {
                    let log = std::fs::read_to_string(entry.path().join("log")).unwrap_or_default();
                    eprintln!("--- end of the log of {}\n{}", entry.file_name().display(), tail(&log));
                }
            }
        }
    }
}

/// Runs the `pilothouse` command on a state directory.
pub async fn pilothouse(arguments: &[&str], state_directory: &Path) -> (i32, String, String) {
    let spawn = Spawn::new(binary("pilothouse"))
        .arguments(arguments)
        .arguments(["--name", "test"])
        .arguments([Path::new("--state-dir"), state_directory])
        .from_thread_that_outlives_it();
    let captured = capture(&spawn, Duration::from_secs(60)).await.expect("pilothouse runs");
    let code = match captured.ending {
        process_control::ChildEnding::Exited(code) => code,
        process_control::ChildEnding::Signalled(signal) => 128 + signal,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (code, text(&captured.stdout), text(&captured.stderr))
}

/// Prints as it is, not quoted: what a person would see on the screen.
struct Screen(String);

impl std::fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "\n{}", self.0)
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| line.chars().take(300).collect()).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
