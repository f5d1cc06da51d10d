//! A machine's services: started when asked for, started again when they end, stopped in an orderly way.
//! Refuses to know what they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use process_control::{Child, Output, Signal, Spawn};
use tokio::sync::{Notify, watch};

use crate::specification::{MachineSpecification, ServiceSpecification};

/// As systemd would for kubelet.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// `pilothouse` stops a control plane within this; what takes longer is killed.
const STOP_LIMIT: Duration = Duration::from_secs(90);

pub(crate) struct Services {
    logs: PathBuf,
    all: BTreeMap<String, Service>,
}

struct Service {
    specification: ServiceSpecification,
    running: RefCell<Option<Running>>,
}

struct Running {
    stop: Rc<Notify>,
    pid: Rc<RefCell<Option<u32>>>,
    ended: watch::Receiver<bool>,
}

impl Services {
    pub(super) fn new(specification: &MachineSpecification) -> Self {
        let all = specification.services.iter().map(|service| {
            (service.name.clone(), Service { specification: service.clone(), running: RefCell::default() })
        });
        Self { logs: specification.logs.clone(), all: all.collect() }
    }

    /// Keeps a service from now on; nothing changes when it is kept already.
    pub(crate) fn start(&self, name: &str) -> Result<(), String> {
        let service = self.find(name)?;
        if service.running.borrow().is_some() {
            return Ok(());
        }
        let (stop, pid) = (Rc::new(Notify::new()), Rc::new(RefCell::new(None)));
        let (tell_end, ended) = watch::channel(false);
        let keep = keep(
            spawn(&service.specification, self.logs.join(format!("{name}.log"))),
            Rc::clone(&stop),
            Rc::clone(&pid),
        );
        tokio::task::spawn_local(async move {
            keep.await;
            tell_end.send_replace(true);
        });
        *service.running.borrow_mut() = Some(Running { stop, pid, ended });
        Ok(())
    }

    /// Stops a service and waits for its end.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), String> {
        let service = self.find(name)?;
        let running = service.running.borrow_mut().take();
        let Some(mut running) = running else { return Ok(()) };
        running.stop.notify_one();
        let _its_task_is_gone = running.ended.wait_for(|ended| *ended).await;
        Ok(())
    }

    /// One line a service: its name and its pid, in the machine's own numbers.
    pub(crate) fn status(&self) -> String {
        self.all.iter().fold(String::new(), |text, (name, service)| {
            let pid = service.running.borrow().as_ref().and_then(|running| *running.pid.borrow());
            format!("{text}{name} {}\n", pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()))
        })
    }

    fn find(&self, name: &str) -> Result<&Service, String> {
        self.all.get(name).ok_or_else(|| format!("there is no service {name:?}"))
    }
}

fn spawn(service: &ServiceSpecification, log: PathBuf) -> Spawn {
    let mut spawn = Spawn::new(&service.program).arguments(&service.arguments).output(Output::Append(log));
    for (name, value) in &service.environment {
        spawn = spawn.environment(name, value);
    }
    spawn
}

async fn keep(spawn: Spawn, stop: Rc<Notify>, pid: Rc<RefCell<Option<u32>>>) {
    loop {
        if let Ok(mut child) = spawn.start() {
            pid.replace(Some(child.pid()));
            tokio::select! {
                _ = child.wait() => {}
                () = stop.notified() => return end(child).await,
            }
            pid.replace(None);
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_AFTER) => {}
            () = stop.notified() => return,
        }
    }
}

async fn end(mut child: Child) {
    let _already_ended = child.signal(Signal::SIGTERM);
    if tokio::time::timeout(STOP_LIMIT, child.wait()).await.is_err() {
        let _already_ended = child.signal(Signal::SIGKILL);
        let _ending = child.wait().await;
    }
}
