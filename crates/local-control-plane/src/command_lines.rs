//! The command line of each of our binaries, as the contract between the rooms has it.
//! Pure. Refuses defaults that hide something: what differs between Pods and one machine is always given.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;

use naming_contract::Component;

use crate::plan::{
    APISERVER_DRAIN_BUDGET, Blueprint, CONTROLLER_DRAIN_BUDGET, ETCD_DRAIN_BUDGET, ETCD_HOLD_LIMIT, LOOPBACK,
    count, front_url,
};
use crate::ports::PortUse;

/// The arguments of an instance's process, without its program.
pub(crate) fn arguments(blueprint: &Blueprint<'_>, component: Component, ordinal: u32) -> Vec<String> {
    let mut line = Line::new(blueprint, component, ordinal);
    match component {
        Component::CertificateAuthority => certificate_authority(&mut line),
        Component::Etcd => etcd(&mut line),
        Component::KubeApiserver => kube_apiserver(&mut line),
        Component::KubeControllerManager => kube_controller_manager(&mut line),
        Component::KubeScheduler | Component::CloudControllerManager => leader_elected(&mut line),
        Component::ClusterBootstrap => cluster_bootstrap(&mut line),
        // Not planned: whoever has a machine starts its kubelet.
        Component::Node => {}
    }
    line.child();
    line.arguments
}

/// Seconds in which an API server that stops still serves: the front has seen it unready long before (0.5 s).
const SHUTDOWN_DELAY: u64 = 1;
/// Seconds for open watches of an API server that stops.
const WATCH_GRACE: u64 = 5;
/// Share of requests after which a client connects anew and may get another API server; pointless with a single one.
const GOAWAY_CHANCE: &str = "0.001";

fn certificate_authority(line: &mut Line<'_>) {
    let paths = line.blueprint.paths;
    let name = line.name.clone();
    line.flag("--instance-name", name);
    line.path("--state-directory", &paths.authority());
    line.path("--callers-directory", &paths.callers());
    line.path("--publish-directory", &paths.trust());
    line.flag("--listen-address", line.address(PortUse::Secure));
    line.flag("--health-address", line.address(PortUse::Health));
    let settings = line.blueprint.settings;
    line.repeated("--service-subnet", &settings.service_subnets);
    line.repeated("--certificate-name", settings.advertise_address.as_slice());
    line.repeated("--certificate-name", &settings.certificate_names);
    line.repeated("--lifetime", &line.blueprint.extras.lifetimes);
    line.path("--wanted-keys-file", &paths.wanted_keys());
    line.path("--kubeconfig", &paths.kubeconfig());
    for component in Component::ALL.into_iter().filter(|known| *known != Component::CertificateAuthority) {
        for ordinal in 0..count(settings, component) {
            let health = address(line.blueprint, component, ordinal, PortUse::Health);
            line.flag("--planned-instance", format!("{}=http://{health}", component.instance(ordinal)));
        }
    }
    let overlap = &line.blueprint.extras.service_account_key_overlap;
    if !overlap.is_empty() {
        line.flag("--service-account-key-overlap", overlap);
    }
    let overlap = &line.blueprint.extras.certificate_authority_overlap;
    if !overlap.is_empty() {
        line.flag("--certificate-authority-overlap", overlap);
    }
    line.logs();
}

fn etcd(line: &mut Line<'_>) {
    line.common();
    let blueprint = line.blueprint;
    line.path("--data-directory", &blueprint.paths.data(&line.name));
    line.path("--cluster-record", &blueprint.paths.cluster_record());
    for ordinal in 0..blueprint.settings.etcd_members {
        let name = Component::Etcd.instance(ordinal);
        let peer = address(blueprint, Component::Etcd, ordinal, PortUse::EtcdPeer);
        let client = address(blueprint, Component::Etcd, ordinal, PortUse::Secure);
        line.flag("--member", format!("{name}=https://{peer},https://{client}"));
        if name != line.name {
            let health = address(blueprint, Component::Etcd, ordinal, PortUse::Health);
            line.flag("--peer-health", format!("{name}=http://{health}"));
        }
    }
    line.flag("--listen-address", LOOPBACK);
    line.flag("--http-port", line.address(PortUse::EtcdHttp).port());
    line.supervision(ETCD_DRAIN_BUDGET);
    line.flag("--hold-limit", ETCD_HOLD_LIMIT);
}

fn kube_apiserver(line: &mut Line<'_>) {
    line.common();
    let blueprint = line.blueprint;
    for ordinal in 0..blueprint.settings.etcd_members {
        let client = address(blueprint, Component::Etcd, ordinal, PortUse::Secure);
        line.flag("--etcd-endpoint", format!("https://{client}"));
    }
    line.path("--version-record", &blueprint.paths.version_record());
    line.serving_api_servers();
    line.serving();
    // Where its twin finds it; what clients outside use is told by cluster-bootstrap.
    line.flag("--advertise-address", LOOPBACK);
    line.repeated("--service-subnet", &blueprint.settings.service_subnets);
    line.flag("--shutdown-delay", SHUTDOWN_DELAY);
    line.flag("--watch-grace", WATCH_GRACE);
    if blueprint.settings.api_servers > 1 {
        line.flag("--goaway-chance", GOAWAY_CHANCE);
    }
    line.supervision(APISERVER_DRAIN_BUDGET);
}

fn kube_controller_manager(line: &mut Line<'_>) {
    leader_elected(line);
    let settings = line.blueprint.settings;
    line.repeated("--pod-subnet", &settings.pod_subnets);
    line.repeated("--service-subnet", &settings.service_subnets);
    line.flag("--cluster-name", line.blueprint.name);
}

fn leader_elected(line: &mut Line<'_>) {
    line.common();
    let blueprint = line.blueprint;
    line.flag("--api-server", front_url(blueprint.settings));
    line.serving_api_servers();
    line.serving();
    line.supervision(CONTROLLER_DRAIN_BUDGET);
}

fn cluster_bootstrap(line: &mut Line<'_>) {
    line.common();
    let settings = line.blueprint.settings;
    line.flag("--api-server", front_url(settings));
    if let Some(address) = settings.advertise_address {
        line.flag("--endpoint-address", address);
        line.flag("--endpoint-port", settings.port);
    }
}

fn address(blueprint: &Blueprint<'_>, component: Component, ordinal: u32, port_use: PortUse) -> SocketAddr {
    SocketAddr::new(LOOPBACK, blueprint.block.port(component, ordinal, port_use))
}

/// A command line in the making.
struct Line<'a> {
    blueprint: &'a Blueprint<'a>,
    component: Component,
    ordinal: u32,
    name: String,
    arguments: Vec<String>,
}

impl<'a> Line<'a> {
    fn new(blueprint: &'a Blueprint<'a>, component: Component, ordinal: u32) -> Self {
        let name = component.instance(ordinal);
        Self { blueprint, component, ordinal, name, arguments: vec!["run".to_owned()] }
    }

    fn flag(&mut self, flag: &str, value: impl Display) {
        self.arguments.extend([flag.to_owned(), value.to_string()]);
    }

    fn path(&mut self, flag: &str, path: &Path) {
        self.flag(flag, path.display());
    }

    fn repeated(&mut self, flag: &str, values: &[impl Display]) {
        for value in values {
            self.flag(flag, value);
        }
    }

    fn address(&self, port_use: PortUse) -> SocketAddr {
        address(self.blueprint, self.component, self.ordinal, port_use)
    }

    fn common(&mut self) {
        let paths = self.blueprint.paths;
        let authority = address(self.blueprint, Component::CertificateAuthority, 0, PortUse::Secure);
        let name = self.name.clone();
        self.flag("--instance-name", &name);
        self.flag("--health-address", self.address(PortUse::Health));
        self.path("--runtime-directory", &paths.runtime(&name));
        self.flag("--authority-url", format!("https://{authority}"));
        self.path("--caller-token-file", &paths.caller_token(&name));
        self.path("--trust-directory", &paths.trust());
        self.path("--restart-lock-directory", &paths.restart_locks());
        self.logs();
    }

    fn logs(&mut self) {
        for (flag, value) in [
            ("--log-format", &self.blueprint.extras.log_format),
            ("--log-level", &self.blueprint.extras.log_level),
        ] {
            if !value.is_empty() {
                self.flag(flag, value);
            }
        }
    }

    fn serving(&mut self) {
        self.flag("--bind-address", LOOPBACK);
        self.flag("--secure-port", self.address(PortUse::Secure).port());
    }

    fn serving_api_servers(&mut self) {
        for ordinal in 0..count(self.blueprint.settings, Component::KubeApiserver) {
            let server = address(self.blueprint, Component::KubeApiserver, ordinal, PortUse::Secure);
            self.flag("--serving-api-server", format!("https://{server}"));
        }
    }

    fn supervision(&mut self, drain_budget: u64) {
        self.flag("--drain-budget", drain_budget);
        for ordinal in 0..count(self.blueprint.settings, self.component) {
            if ordinal == self.ordinal {
                continue;
            }
            let health = address(self.blueprint, self.component, ordinal, PortUse::Health);
            self.flag("--replica-health", format!("http://{health}"));
        }
        self.path("--termination-message-path", &self.blueprint.paths.termination_message(&self.name));
    }

    /// The upstream binary after `--`, with what the user adds.
    fn child(&mut self) {
        if !self.component.has_child() {
            return;
        }
        let settings = self.blueprint.settings;
        let program = match (self.component, &settings.cloud_controller_manager) {
            (Component::CloudControllerManager, Some(program)) => program.clone(),
            _ => settings.components.join(self.component.name()),
        };
        self.arguments.extend(["--".to_owned(), program.display().to_string()]);
        let extra =
            self.blueprint.extras.arguments.iter().filter(|(component, _)| *component == self.component);
        self.arguments.extend(extra.map(|(_, argument)| argument.clone()));
    }
}
