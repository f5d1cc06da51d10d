//! The machine that carries the control plane and the bridge: `pilothouse up` and what keeps the volume pools.
//! Refuses to be a node.

use std::net::{Ipv4Addr, SocketAddr};

use crate::error::Result;
use crate::layout::{Layout, SERVICE_SUBNET, WIRE, WIRE_ADDRESS};
use crate::machine::Machine;
use crate::network;
use crate::options::{Options, SYSTEM_PATH};
use crate::registry::Record;
use crate::specification::{Front, MachineSpecification, ServiceSpecification};

/// `pilothouse up`.
pub(crate) const CONTROL_PLANE: &str = "control-plane";
/// Our own volume keeper.
pub(crate) const VOLUME_KEEPER: &str = "volumes";

/// Starts the machine and its bridge; none of its services.
pub(crate) async fn boot(
    machine: &Machine,
    layout: &Layout,
    options: &Options,
    record: &Record,
) -> Result<()> {
    machine.start(&record.init(), &specification(machine, layout, options, record)).await?;
    network::prepare_wire(machine, &record.numbers()).await
}

pub(crate) fn machine(layout: &Layout) -> Machine {
    Machine::new(layout, WIRE)
}

fn specification(
    machine: &Machine,
    layout: &Layout,
    options: &Options,
    record: &Record,
) -> MachineSpecification {
    let here = |address: Ipv4Addr| SocketAddr::new(address.into(), record.port);
    MachineSpecification {
        hostname: format!("{}-{WIRE}", record.name),
        identity: machine.layout.identity(),
        control_socket: machine.layout.control_socket(),
        logs: machine.layout.logs(),
        disks: Vec::new(),
        scratch: vec!["/run".into()],
        pinned: Vec::new(),
        network_settings: vec![("/proc/sys/net/ipv4/ip_forward".into(), "1".to_owned())],
        front: Some(Front { listen: here(Ipv4Addr::LOCALHOST), forward: here(Ipv4Addr::LOCALHOST) }),
        services: vec![control_plane(layout, options, record), volume_keeper(layout, record)],
    }
}

fn control_plane(layout: &Layout, options: &Options, record: &Record) -> ServiceSpecification {
    let (members, replicas) = options.control_plane;
    let flag = |name: &str, value: &dyn std::fmt::Display| [format!("--{name}"), value.to_string()];
    let mut arguments = vec!["up".to_owned()];
    for [name, value] in [
        flag("name", &record.name),
        flag("state-dir", &layout.control_plane().display()),
        flag("components", &record.binaries.components.display()),
        flag("etcd", &members),
        flag("api-servers", &replicas),
        flag("controller-managers", &replicas),
        flag("schedulers", &replicas),
        flag("port", &record.port),
        flag("advertise-address", &WIRE_ADDRESS),
        flag("service-subnet", &SERVICE_SUBNET),
    ] {
        arguments.extend([name, value]);
    }
    if let Some(monitor) = options.node_monitor {
        let toleration = monitor.toleration.as_secs();
        arguments.extend([
            format!(
                "--kube-controller-manager-argument=--node-monitor-grace-period={}s",
                monitor.grace_period.as_secs()
            ),
            "--kube-controller-manager-argument=--node-monitor-period=1s".to_owned(),
            format!("--kube-apiserver-argument=--default-not-ready-toleration-seconds={toleration}"),
            format!("--kube-apiserver-argument=--default-unreachable-toleration-seconds={toleration}"),
        ]);
    }
    ServiceSpecification::new(CONTROL_PLANE, record.binaries.ours.join("pilothouse"), arguments)
        .environment("PATH", SYSTEM_PATH)
}

fn volume_keeper(layout: &Layout, record: &Record) -> ServiceSpecification {
    let arguments = ["volumes".to_owned(), layout.root.display().to_string()];
    ServiceSpecification::new(VOLUME_KEEPER, record.init(), arguments).environment("PATH", SYSTEM_PATH)
}
