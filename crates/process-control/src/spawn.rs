//! What to start and how; a builder that ends in a running [`Child`].
//! Refuses a thread that may end before the child: the death signal is tied to the thread that spawns.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::before_exec::{OwnHostname, Plan, Step, read_failed_step};
use crate::{Child, orphans};

/// Where the child's standard output and standard error go. Its standard input is always empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// To ours.
    #[default]
    Inherit,
    /// To the end of this file, made with mode 0600.
    Append(PathBuf),
    /// Nowhere.
    Nothing,
}

/// A child to be started. It gets a process group of its own, so that Ctrl-C in a terminal reaches only us, an
/// empty signal mask, default dispositions, and SIGKILL when the thread that spawned it ends.
#[derive(Debug, Clone)]
pub struct Spawn {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    withheld_environment: Vec<String>,
    working_directory: Option<PathBuf>,
    output: Output,
    hostname: Option<String>,
    death_signal: Option<Signal>,
    own_session: bool,
    from_any_thread: bool,
}

/// Why a child could not be started. None is running then.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program cannot be executed, or no process could be made.
    #[error("cannot execute {program}", program = program.display())]
    Execute {
        /// The program's path.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Neither privileges nor user namespaces: start it again without a hostname of its own.
    #[error("cannot give a process the hostname {hostname}: UTS namespaces are not allowed here")]
    Hostname {
        /// The hostname that was asked for.
        hostname: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The file for its output cannot be opened.
    #[error("cannot open {path} for the output of a process", path = path.display())]
    OutputFile {
        /// The file's path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Session, death signal, pipe or pidfd.
    #[error("cannot set up a process for {program}", program = program.display())]
    SetUp {
        /// The program's path.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The death signal would hit the child when this thread ends.
    #[error("refused to start {program} from a thread that may end before it", program = program.display())]
    Thread {
        /// The program's path.
        program: PathBuf,
    },
}

impl SpawnError {
    /// Whether another try with the same files and settings cannot succeed.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        use nix::libc::{EACCES, EISDIR, ELIBBAD, ELOOP, ENAMETOOLONG, ENOENT, ENOEXEC, ENOTDIR, EPERM};
        match self {
            Self::Execute { source, .. } => matches!(
                source.raw_os_error(),
                Some(EACCES | EISDIR | ELIBBAD | ELOOP | ENAMETOOLONG | ENOENT | ENOEXEC | ENOTDIR | EPERM)
            ),
            Self::Hostname { .. } | Self::Thread { .. } => true,
            Self::OutputFile { .. } | Self::SetUp { .. } => false,
        }
    }

    /// Whether there is no such file, which shells tell by exit code 127 (126 for everything else).
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl Spawn {
    /// Starts `program`, a path: nothing is searched for in `PATH`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            withheld_environment: Vec::new(),
            working_directory: None,
            output: Output::default(),
            hostname: None,
            death_signal: Some(Signal::SIGKILL),
            own_session: false,
            from_any_thread: false,
        }
    }

    /// Adds arguments. Never a secret: everybody can read them.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable on top of the inherited environment.
    #[must_use]
    pub fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Does not pass on inherited variables whose names begin so.
    #[must_use]
    pub fn withhold_environment(mut self, prefix: &str) -> Self {
        self.withheld_environment.push(prefix.to_owned());
        self
    }

    /// Starts it in this directory instead of ours.
    #[must_use]
    pub fn working_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.working_directory = Some(directory.into());
        self
    }

    /// Where its output goes; to ours by default.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Gives it a hostname of its own, at most 64 bytes, in a UTS namespace of its own (within a user namespace
    /// with the same ids when we lack the privilege).
    #[must_use]
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = Some(hostname.into());
        self
    }

    /// The signal it gets when the thread that spawned it ends; none lets it outlive us.
    #[must_use]
    pub fn death_signal(mut self, signal: Option<Signal>) -> Self {
        self.death_signal = signal;
        self
    }

    /// Makes it the leader of a session of its own, without a terminal: for what runs on in the background.
    #[must_use]
    pub fn own_session(mut self) -> Self {
        self.own_session = true;
        self
    }

    /// Allows to spawn from another thread than the main one. The caller answers for that thread to outlive the
    /// child; tokio's blocking threads do not (they end after 10 s of idleness).
    #[must_use]
    pub fn from_thread_that_outlives_it(mut self) -> Self {
        self.from_any_thread = true;
        self
    }

    /// The program that will be started.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it and returns once exec has succeeded. Must run in a tokio runtime with I/O.
    pub fn start(&self) -> Result<Child, SpawnError> {
        let (stdout, stderr) = self.open_output()?;
        self.start_with(stdout, stderr)
    }

    pub(crate) fn start_with(&self, stdout: Stdio, stderr: Stdio) -> Result<Child, SpawnError> {
        if self.death_signal.is_some() && !self.from_any_thread && !is_main_thread() {
            return Err(SpawnError::Thread { program: self.program.clone() });
        }
        tokio::runtime::Handle::try_current().map_err(|error| self.set_up_error(io::Error::other(error)))?;
        let (told, tells) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .map_err(|errno| self.set_up_error(errno.into()))?;
        let mut command = self.command(tells);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let pid = orphans::know(|| command.spawn().map(|child| child.id().cast_signed()))
            .map_err(|source| self.explain(read_failed_step(told.as_fd()), source))?;
        Child::adopt(pid).map_err(|source| {
            // Not reaped yet, so the pid is still its own; forgotten, it is reaped as an orphan.
            let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
            orphans::forget(pid);
            self.set_up_error(source)
        })
    }

    fn command(&self, failed_step: OwnedFd) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for (name, _value) in std::env::vars_os() {
            let name_bytes = name.as_encoded_bytes();
            if self.withheld_environment.iter().any(|prefix| name_bytes.starts_with(prefix.as_bytes())) {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.working_directory {
            command.current_dir(directory);
        }
        if !self.own_session {
            command.process_group(0);
        }
        let plan = Plan {
            death_signal: self.death_signal,
            own_session: self.own_session,
            hostname: self.hostname.as_deref().map(OwnHostname::new),
            parent: nix::unistd::getpid(),
            failed_step,
        };
        // SAFETY: `carry_out` makes async-signal-safe calls only; all it needs was allocated here.
        unsafe { command.pre_exec(move || plan.carry_out()) };
        command
    }

    fn open_output(&self) -> Result<(Stdio, Stdio), SpawnError> {
        match &self.output {
            Output::Inherit => Ok((Stdio::inherit(), Stdio::inherit())),
            Output::Nothing => Ok((Stdio::null(), Stdio::null())),
            Output::Append(path) => {
                let error = |source| SpawnError::OutputFile { path: path.clone(), source };
                let file =
                    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(error)?;
                let second = file.try_clone().map_err(error)?;
                Ok((file.into(), second.into()))
            }
        }
    }

    fn explain(&self, step: Option<Step>, source: io::Error) -> SpawnError {
        match (step, &self.hostname) {
            (Some(Step::Hostname), Some(hostname)) => {
                SpawnError::Hostname { hostname: hostname.clone(), source }
            }
            (Some(_), _) => self.set_up_error(source),
            (None, _) => SpawnError::Execute { program: self.program.clone(), source },
        }
    }

    fn set_up_error(&self, source: io::Error) -> SpawnError {
        SpawnError::SetUp { program: self.program.clone(), source }
    }
}

fn is_main_thread() -> bool {
    nix::unistd::gettid() == nix::unistd::getpid()
}
