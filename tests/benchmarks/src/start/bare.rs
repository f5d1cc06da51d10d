//! The floor: the very same binaries, flags and certificates that Pilothouse used, all started at once by nobody in
//! particular, without supervisors. Their certificates are there already, which ours have to make.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use end_to_end::{ControlPlane, Instance};
use mutual_tls::TlsFiles;
use process_control::{Child, Output, Signal, Spawn};
use tokio::time::Instant;

use super::cost::{self, Cost};
use super::pilothouse::{until_leases_held, until_ready};
use crate::sample::Start;

/// A stopped control plane whose children can be started bare.
pub(crate) struct Template {
    plane: ControlPlane,
    children: Vec<BareChild>,
    servers: Vec<String>,
}

/// One child as its supervisor started it.
struct BareChild {
    name: String,
    command: Vec<String>,
    data: Option<PathBuf>,
}

impl Template {
    /// Starts a control plane, measures what it costs, remembers its children and stops it.
    pub(crate) async fn take(idle_seconds: u64) -> Result<(Self, Cost)> {
        let mut plane = ControlPlane::ready(&[]).await;
        let instances = plane.status().await.map_err(anyhow::Error::msg)?;
        let cost = cost::measure(&instances, Duration::from_secs(idle_seconds)).await?;
        let mut children =
            instances.iter().filter(|it| it.pid.is_some()).map(remember).collect::<Result<Vec<_>>>()?;
        let servers = children.iter().filter_map(BareChild::api_server).collect::<Vec<_>>();
        ensure!(!servers.is_empty(), "no kube-apiserver among {} children", children.len());
        plane.stop().await;
        let members = children.iter().filter_map(BareChild::etcd_member).collect::<Vec<_>>();
        ensure!(!members.is_empty(), "no etcd among {} children", children.len());
        for child in &mut children {
            child.talk_to(&servers[0], &members.join(","))?;
        }
        Ok((Self { plane, children, servers }, cost))
    }

    /// Starts all children on empty data and measures; ends them afterwards.
    pub(crate) async fn start(&self) -> Result<Start> {
        for data in self.children.iter().filter_map(|child| child.data.as_ref()) {
            std::fs::remove_dir_all(data).with_context(|| format!("cannot empty {}", data.display()))?;
        }
        let state = self.plane.state_directory();
        let began = Instant::now();
        let start = |child: &BareChild| child.start(&state);
        let mut running = self.children.iter().map(start).collect::<Result<Vec<Child>>>()?;
        let authority = state.join("trust/cluster.crt");
        let api_ready = until_ready(began, &self.servers, &authority).await?;
        // Administrators are bound by cluster-bootstrap, which the floor lacks; its own leaf is of system:masters.
        let leaf = state.join("instances/cluster-bootstrap-0/runtime/certificates/cluster-bootstrap-client");
        let files = TlsFiles { authority, certificate: leaf.join("tls.crt"), key: leaf.join("tls.key") };
        let client = mutual_tls::kubernetes_client(&self.servers[0], None, &files)?;
        let leases_held = until_leases_held(began, &client).await?;
        for child in &mut running {
            child.signal(Signal::SIGKILL).context("cannot end a bare child")?;
            child.wait().await?;
        }
        Ok(Start { api_ready, leases_held })
    }
}

impl BareChild {
    /// Its log goes beside what Pilothouse wrote, and with it.
    fn start(&self, state: &Path) -> Result<Child> {
        Spawn::new(&self.command[0])
            .arguments(&self.command[1..])
            .output(Output::Append(state.join(format!("bare-{}.log", self.name))))
            // The benchmark's thread lives as long as the process.
            .from_thread_that_outlives_it()
            .start()
            .with_context(|| format!("cannot start {}", self.name))
    }

    /// Fronts are Pilothouse's: the floor's controllers talk to one API server directly, as kubeadm's do, and its API servers
    /// to the members of etcd.
    fn talk_to(&mut self, server: &str, members: &str) -> Result<()> {
        for argument in &mut self.command {
            let Some((flag, value)) = argument.split_once('=') else { continue };
            if flag == "--etcd-servers" {
                *argument = format!("{flag}={members}");
            } else if flag.ends_with("kubeconfig") {
                *argument = format!("{flag}={}", directly(value, server)?.display());
            }
        }
        Ok(())
    }

    /// Where clients reach this member of etcd, from its own flags.
    fn etcd_member(&self) -> Option<String> {
        let urls = |argument: &String| argument.strip_prefix("--advertise-client-urls=").map(str::to_owned);
        self.command.iter().find_map(urls)
    }

    /// The URL of an API server, from its own flags.
    fn api_server(&self) -> Option<String> {
        if !self.name.starts_with("kube-apiserver") {
            return None;
        }
        let port = self.command.iter().find_map(|argument| argument.strip_prefix("--secure-port="))?;
        Some(format!("https://127.0.0.1:{port}"))
    }
}

/// A kubeconfig beside this one, which is JSON, that names `server` itself.
fn directly(kubeconfig: &str, server: &str) -> Result<PathBuf> {
    let text = std::fs::read_to_string(kubeconfig).with_context(|| format!("cannot read {kubeconfig}"))?;
    let read = serde_json::from_str(&text).with_context(|| format!("cannot understand {kubeconfig}"));
    let mut document: serde_json::Value = read?;
    document["clusters"][0]["cluster"]["server"] = server.into();
    let direct = PathBuf::from(format!("{kubeconfig}.bare"));
    durable_files::write_private(&direct, document.to_string().as_bytes())?;
    Ok(direct)
}

fn remember(instance: &Instance) -> Result<BareChild> {
    let pid = instance.pid.context("it has a child")?;
    let command = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("cmdline"))?;
    let command: Vec<String> = command.split_terminator('\0').map(str::to_owned).collect();
    ensure!(!command.is_empty(), "{} has no command line", instance.name);
    let data = command.iter().find_map(|argument| argument.strip_prefix("--data-dir=")).map(PathBuf::from);
    Ok(BareChild { name: instance.name.clone(), command, data })
}
