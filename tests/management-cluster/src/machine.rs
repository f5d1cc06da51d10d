//! One machine from outside: started, ordered about, entered, killed.
//! Refuses to know what it is for.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use process_control::{Output, ProcessIdentity, Signal, Spawn};

use crate::command::{Line, Ran};
use crate::control;
use crate::error::{ClusterError, Result};
use crate::layout::{Layout, MachineLayout};
use crate::options::find;
use crate::specification::{MachineSpecification, read_json};

/// Namespaces, mounts and a socket take milliseconds; this is for a machine under full load.
const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) layout: MachineLayout,
}

impl Machine {
    pub(crate) fn new(layout: &Layout, name: &str) -> Self {
        Self { name: name.to_owned(), layout: layout.machine(name) }
    }

    /// Starts its first process, from the binary `init`, and waits until it takes orders.
    pub(crate) async fn start(&self, init: &Path, specification: &MachineSpecification) -> Result<()> {
        let layout = &self.layout;
        for directory in [layout.logs(), layout.configuration()] {
            durable_files::create_private_directory(&directory)?;
        }
        // Of an earlier life.
        for stale in [layout.control_socket(), layout.identity()] {
            let _absent = std::fs::remove_file(stale);
        }
        specification.write(&layout.specification())?;
        // --kill-child: who kills what `unshare` left waiting ends the machine too.
        let child = Spawn::new(find("unshare")?)
            .arguments(["--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--"])
            .arguments([init.as_os_str(), OsStr::new("init"), layout.specification().as_os_str()])
            .output(Output::Append(layout.init_log()))
            .own_session()
            .death_signal(None)
            .from_thread_that_outlives_it()
            .start()
            .map_err(|source| ClusterError::Start { machine: self.name.clone(), source: source.into() })?;
        // It outlives us; dropping it would kill it.
        std::mem::forget(child);
        let started = async {
            while self.order("status").await.is_err() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(START_LIMIT, started).await.is_err() {
            self.order("status").await?;
        }
        Ok(())
    }

    /// Whether its first process lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.identity().is_ok_and(|identity| identity.is_alive().unwrap_or(false))
    }

    /// The pid of its first process, as the host numbers it.
    pub(crate) fn pid(&self) -> Result<u32> {
        let identity = self.identity()?;
        if identity.is_alive()? {
            Ok(identity.pid)
        } else {
            Err(ClusterError::Node { node: self.name.clone(), problem: "does not run".to_owned() })
        }
    }

    fn identity(&self) -> Result<ProcessIdentity> {
        read_json(&self.layout.identity())
    }

    /// Kills its first process, and with it all others: sudden death. Nothing happens when it is dead.
    pub(crate) async fn kill(&self) -> Result<()> {
        let Ok(identity) = self.identity() else { return Ok(()) };
        let Some(process) = identity.open()? else { return Ok(()) };
        let failed = || ClusterError::path("kill", self.layout.identity());
        process.signal(Signal::SIGKILL).map_err(failed())?;
        process.ended().await.map_err(failed())
    }

    /// Gives an order and returns the answer.
    pub(crate) async fn order(&self, order: &str) -> Result<String> {
        let socket = self.layout.control_socket();
        match control::order(&socket, order).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(answer)) => {
                Err(ClusterError::Refused { machine: self.name.clone(), request: order.to_owned(), answer })
            }
            Err(source) => Err(ClusterError::NoAnswer {
                machine: self.name.clone(),
                socket,
                log: self.layout.init_log(),
                source,
            }),
        }
    }

    /// A command inside all its namespaces, to be completed with arguments.
    pub(crate) fn inside(&self, program: impl AsRef<OsStr>) -> Result<Line> {
        self.within(&["--mount", "--uts", "--ipc", "--net", "--pid"], program)
    }

    /// A command in its network alone.
    pub(crate) fn in_network(&self, program: impl AsRef<OsStr>) -> Result<Line> {
        self.within(&["--net"], program)
    }

    fn within(&self, namespaces: &[&str], program: impl AsRef<OsStr>) -> Result<Line> {
        let pid = self.pid()?;
        Ok(Line::system("nsenter")?
            .arguments(["--target", &pid.to_string()])
            .arguments(namespaces)
            .arguments([OsStr::new("--"), program.as_ref()]))
    }

    /// Runs a program inside to its end.
    pub(crate) async fn execute(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Ran> {
        self.inside(program)?.arguments(arguments).run().await
    }
}
