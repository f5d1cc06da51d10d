//! From settings to processes: every instance with its name, ports and command line, in the order of their start.
//! Pure. Refuses to know whether anything of it exists or runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use naming_contract::Component;

use crate::cluster_name::ClusterName;
use crate::command_lines;
use crate::manifest::Manifest;
use crate::paths::StatePaths;
use crate::ports::{PortBlock, PortUse};
use crate::settings::Settings;

/// What is given anew at each `up` and not remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// Arguments for the upstream binaries, beside ours.
    pub arguments: Vec<(Component, String)>,
    /// `PROFILE=DURATION`, passed on to the certificate-authority.
    pub lifetimes: Vec<String>,
    /// How long an old service-account key stays trusted, passed on to the certificate-authority; empty: its default.
    pub service_account_key_overlap: String,
    /// How long a new CA is known before it signs and an old one is trusted afterwards, passed on likewise.
    pub certificate_authority_overlap: String,
    /// `text` or `json`, for the logs of all processes.
    pub log_format: String,
    /// What all processes log: a level or filters.
    pub log_level: String,
}

/// What all command lines are made from.
#[derive(Debug, Clone)]
pub struct Blueprint<'a> {
    /// The control plane's name.
    pub name: &'a ClusterName,
    /// What it consists of.
    pub settings: &'a Settings,
    /// Its ports.
    pub block: PortBlock,
    /// Its state directory.
    pub paths: &'a StatePaths,
    /// Where our own binaries lie.
    pub supervisors: &'a Path,
    /// What is not remembered.
    pub extras: &'a Extras,
}

/// One process of ours, with or without a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name, which is also its hostname.
    pub name: String,
    /// What it is.
    pub component: Component,
    /// Which of its kind, from 0.
    pub ordinal: u32,
    /// Where it listens, health first; all on loopback.
    pub listeners: Vec<(PortUse, SocketAddr)>,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments. Nothing secret: argv is public.
    pub arguments: Vec<String>,
    /// An etcd member's data directory.
    pub data_directory: Option<PathBuf>,
}

/// A whole control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of their start.
    pub instances: Vec<Instance>,
    /// Where the front listens.
    pub front: Vec<SocketAddr>,
    /// The API server as clients on this machine reach it.
    pub server: String,
}

/// A group of components that stop together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopStage {
    /// Which components.
    pub components: &'static [Component],
    /// How long they get before they are killed; longer than their own budgets, so that normally they decide.
    pub patience: Duration,
}

/// The order of an orderly stop: nobody loses what it depends on before it has ended.
pub const STOP_STAGES: [StopStage; 4] = [
    StopStage {
        components: &[
            Component::ClusterBootstrap,
            Component::CloudControllerManager,
            Component::KubeControllerManager,
            Component::KubeScheduler,
        ],
        patience: Duration::from_secs(CONTROLLER_DRAIN_BUDGET + MARGIN),
    },
    StopStage {
        components: &[Component::KubeApiserver],
        patience: Duration::from_secs(APISERVER_DRAIN_BUDGET + MARGIN),
    },
    StopStage {
        components: &[Component::Etcd],
        patience: Duration::from_secs(ETCD_HOLD_LIMIT + ETCD_DRAIN_BUDGET + MARGIN),
    },
    StopStage { components: &[Component::CertificateAuthority], patience: Duration::from_secs(MARGIN) },
];

/// Seconds for a leader-elected child; they end at once or after the 10 s of their own shutdown limit.
pub(crate) const CONTROLLER_DRAIN_BUDGET: u64 = 15;
/// Seconds for kube-apiserver: its delay, its watch grace, and requests that need not be waited for on one machine.
pub(crate) const APISERVER_DRAIN_BUDGET: u64 = 30;
/// Seconds for etcd: 7 for open streams and 7 for handing leadership over, and some more.
pub(crate) const ETCD_DRAIN_BUDGET: u64 = 20;
/// Seconds that an etcd stop may be held back; kubelet's place is taken by us, so minutes help nobody.
pub(crate) const ETCD_HOLD_LIMIT: u64 = 20;
/// Seconds that a supervisor gets beyond the budget of its child.
const MARGIN: u64 = 5;

impl Plan {
    /// Lays out the whole control plane.
    #[must_use]
    pub fn new(blueprint: &Blueprint<'_>) -> Self {
        let settings = blueprint.settings;
        let instances = Component::ALL
            .into_iter()
            .flat_map(|component| (0..count(settings, component)).map(move |ordinal| (component, ordinal)))
            .map(|(component, ordinal)| instance(blueprint, component, ordinal))
            .collect();
        let mut front = vec![SocketAddr::new(LOOPBACK, settings.port)];
        front.extend(settings.advertise_address.map(|address| SocketAddr::new(address, settings.port)));
        Self { instances, front, server: front_url(settings) }
    }

    /// The plan of a control plane that another `pilothouse` may be running: names and listeners are right, programs and
    /// arguments are those of an `up` without extras.
    #[must_use]
    pub fn recorded(manifest: &Manifest, paths: &StatePaths) -> Self {
        Self::new(&Blueprint {
            name: &manifest.name,
            settings: &manifest.settings,
            block: manifest.port_block,
            paths,
            supervisors: Path::new(""),
            extras: &Extras::default(),
        })
    }

    /// The instances of a component, or the one of that name; empty if there is none.
    #[must_use]
    pub fn select(&self, component_or_instance: &str) -> Vec<&Instance> {
        self.instances
            .iter()
            .filter(|instance| {
                instance.name == component_or_instance || instance.component.name() == component_or_instance
            })
            .collect()
    }
}

impl Instance {
    /// The address of its health endpoints.
    #[must_use]
    pub fn health(&self) -> SocketAddr {
        self.listener(PortUse::Health)
    }

    /// The base URL of its health endpoints.
    #[must_use]
    pub fn health_url(&self) -> String {
        format!("http://{}", self.health())
    }

    /// Where it listens for a use; port 0 if it has no such listener.
    #[must_use]
    pub fn listener(&self, port_use: PortUse) -> SocketAddr {
        self.listeners
            .iter()
            .find(|(known, _)| *known == port_use)
            .map_or(SocketAddr::new(LOOPBACK, 0), |(_, address)| *address)
    }
}

/// The address of everything but the front's second listener.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn front_url(settings: &Settings) -> String {
    format!("https://{LOOPBACK}:{}", settings.port)
}

pub(crate) fn count(settings: &Settings, component: Component) -> u32 {
    match component {
        Component::CertificateAuthority | Component::ClusterBootstrap => 1,
        Component::Etcd => settings.etcd_members,
        Component::KubeApiserver => settings.api_servers,
        Component::KubeControllerManager => settings.controller_managers,
        Component::KubeScheduler => settings.schedulers,
        Component::CloudControllerManager => settings.cloud_controller_managers(),
        Component::Node => 0,
    }
}

fn instance(blueprint: &Blueprint<'_>, component: Component, ordinal: u32) -> Instance {
    let uses: &[PortUse] = match component {
        Component::Etcd => &[PortUse::Health, PortUse::Secure, PortUse::EtcdPeer, PortUse::EtcdHttp],
        Component::ClusterBootstrap => &[PortUse::Health],
        _ => &[PortUse::Health, PortUse::Secure],
    };
    let listeners = uses
        .iter()
        .map(|port_use| {
            let port = blueprint.block.port(component, ordinal, *port_use);
            (*port_use, SocketAddr::new(LOOPBACK, port))
        })
        .collect();
    let name = component.instance(ordinal);
    Instance {
        program: blueprint.supervisors.join(component.supervisor()),
        arguments: command_lines::arguments(blueprint, component, ordinal),
        data_directory: (component == Component::Etcd).then(|| blueprint.paths.data(&name)),
        name,
        component,
        ordinal,
        listeners,
    }
}

#[cfg(test)]
mod tests;
