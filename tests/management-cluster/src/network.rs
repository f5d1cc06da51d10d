//! The links between machines: a bridge in the wire, one cable to each node, routes to every node's Pods.
//! Refuses the host's network: each link is made in two machines' networks.

use std::fmt::Write as _;

use crate::command::Line;
use crate::error::Result;
use crate::layout::{NodeNumber, WIRE_ADDRESS, WIRE_PREFIX};
use crate::machine::Machine;

const BRIDGE: &str = "wire0";

/// Makes the bridge, and a route to each node's Pods.
pub(crate) async fn prepare_wire(wire: &Machine, nodes: &[NodeNumber]) -> Result<()> {
    let mut batch = format!(
        "link set lo up\nlink add {BRIDGE} type bridge\naddress add {WIRE_ADDRESS}/{WIRE_PREFIX} dev {BRIDGE}\n\
         link set {BRIDGE} up\n"
    );
    routes(&mut batch, nodes);
    ip(wire, "bridge", &batch).await
}

/// Plugs a node in.
pub(crate) async fn connect(
    wire: &Machine,
    node: &Machine,
    number: NodeNumber,
    all: &[NodeNumber],
    policies_enforced: bool,
) -> Result<()> {
    let port = format!("port-{}", number.0);
    unplug(wire, &port).await?;
    let (node_pid, wire_pid) = (node.pid()?.to_string(), wire.pid()?.to_string());
    Line::system("ip")?
        .arguments(["link", "add", "eth0", "netns", &node_pid, "type", "veth"])
        .arguments(["peer", "name", &port, "netns", &wire_pid])
        .run()
        .await?;
    ip(wire, &port, &format!("link set {port} master {BRIDGE}\nlink set {port} up\n")).await?;
    let mut batch = format!(
        "link set lo up\naddress add {}/{WIRE_PREFIX} dev eth0\nlink set eth0 up\nroute add default via {WIRE_ADDRESS}\n",
        number.address()
    );
    if policies_enforced {
        // The plugins give it to this end of every Pod's pair of interfaces, so probes come from it. Cilium lets the node's own
        // connections in by a mark and by their address, and knows only addresses on the cable.
        let _ = writeln!(batch, "address add {}/32 dev eth0", number.pod_gateway());
    }
    let others: Vec<_> = all.iter().copied().filter(|other| *other != number).collect();
    routes(&mut batch, &others);
    ip(node, "network", &batch).await
}

/// The kernel takes a dead machine's network away a moment after its processes; this end of its cable may still be there.
async fn unplug(wire: &Machine, port: &str) -> Result<()> {
    let links = wire.in_network("ip")?.arguments(["-oneline", "link", "show"]).run().await?;
    if links.output.contains(&format!(": {port}@")) {
        // It may just have gone by itself.
        let _gone = wire.in_network("ip")?.arguments(["link", "delete", port]).run().await;
    }
    Ok(())
}

fn routes(batch: &mut String, nodes: &[NodeNumber]) {
    for node in nodes {
        // Writing to a String cannot fail. `onlink` is not needed: all are neighbours.
        let _ = writeln!(batch, "route add {} via {}", node.pod_subnet(), node.address());
    }
}

/// `name` is the batch's own: nodes are plugged into the wire at the same time.
async fn ip(machine: &Machine, name: &str, batch: &str) -> Result<()> {
    let file = machine.layout.configuration().join(format!("{name}.ip"));
    durable_files::write_private(&file, batch.as_bytes())?;
    machine.in_network("ip")?.arguments(["-batch".as_ref(), file.as_os_str()]).run().await?;
    Ok(())
}
