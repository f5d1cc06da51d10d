//! A supervisor or service of ours as a process that believes to be a Pod: its flags are those of a Pod, its volumes are
//! directories that outlive it, its address is one of the loopback net. Killed when dropped.

use std::path::PathBuf;
use std::time::Duration;

use end_to_end::{binary, eventually};
use process_control::{Child, ChildEnding, Output, Signal, Spawn};
use serde_json::Value;

use crate::hosting::Hosting;

pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: String,
    program: PathBuf,
    arguments: Vec<String>,
    process: Option<Child>,
    log: PathBuf,
}

impl Pod {
    /// One of `supervisor`, with the flags that every Pod has and `arguments` after these; not running yet.
    pub(crate) fn new(
        hosting: &Hosting,
        supervisor: &str,
        name: &str,
        address: &str,
        arguments: &[String],
    ) -> Self {
        let home = hosting.home(name);
        let flag = |flag: &str, value: &str| [flag.to_owned(), value.to_owned()];
        let in_home = |file: &str| home.join(file).display().to_string();
        let mut all = vec!["run".to_owned()];
        all.extend(flag("--instance-name", name));
        all.extend(flag("--health-address", &format!("{address}:8686")));
        all.extend(flag("--pod-address", address));
        all.extend(flag("--runtime-directory", &in_home("runtime")));
        all.extend(flag("--authority-url", hosting.authority()));
        all.extend(flag("--caller-token-file", &in_home("caller-token")));
        all.extend(flag("--trust-config-map", "demo-trust"));
        all.extend(flag("--management-api-server", &hosting.server()));
        all.extend(flag("--management-credentials", &in_home("credentials")));
        all.extend(flag("--log-format", "text"));
        all.extend_from_slice(arguments);
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            program: binary(supervisor),
            arguments: all,
            process: None,
            log: home.join("log"),
        }
    }

    pub(crate) fn start(&mut self) {
        let spawn = Spawn::new(&self.program)
            .arguments(&self.arguments)
            .hostname(&self.name)
            .output(Output::Append(self.log.clone()))
            .death_signal(Some(Signal::SIGKILL))
            .from_thread_that_outlives_it();
        self.process = Some(spawn.start().unwrap());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.process.as_ref().unwrap().signal(signal).unwrap(), "{} has ended", self.name);
    }

    pub(crate) async fn ended(&mut self, limit: Duration) -> ChildEnding {
        let mut process = self.process.take().unwrap();
        let ended = tokio::time::timeout(limit, process.wait()).await;
        ended.unwrap_or_else(|_late| panic!("{} goes on: {}", self.name, self.tail())).unwrap()
    }

    /// Its /statusz; null while it does not answer.
    pub(crate) async fn status(&self) -> Value {
        match reqwest::get(format!("http://{}:8686/statusz", self.address)).await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_nobody) => Value::Null,
        }
    }

    /// Waits until what it tells contains all of `parts`.
    pub(crate) async fn tells(&self, parts: &[&str], limit: Duration) {
        let what = format!("{} tells {parts:?}", self.name);
        eventually(&what, limit, async || {
            let status = self.status().await;
            let told =
                format!("{} {} {}", status["reason"], status["lastObservation"], status["notReadyBecause"]);
            if parts.iter().all(|part| told.contains(part)) { Ok(()) } else { Err(told + &self.tail()) }
        })
        .await;
    }

    pub(crate) async fn ready(&self, limit: Duration) -> Value {
        eventually(&format!("{} is ready", self.name), limit, async || {
            let status = self.status().await;
            if status["ready"] == true { Ok(status) } else { Err(format!("{status} {}", self.tail())) }
        })
        .await
    }

    pub(crate) fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
        format!("\n{}", lines[lines.len().saturating_sub(12)..].join("\n"))
    }
}
