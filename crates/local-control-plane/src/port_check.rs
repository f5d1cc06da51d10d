//! Whether the ports of a plan are free, and who has those that are not.
//! Refuses to take a port: between this look and a listener's bind somebody else may; then the listener tells.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixListener;

use crate::plan::Plan;
use crate::ports::PortBlock;

/// A port that somebody else listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortTaken {
    /// The address that is wanted.
    pub address: SocketAddr,
    /// Who wants it: an instance, or the front.
    pub wanted_by: String,
    /// The process that has it, if `/proc` tells.
    pub holder: Option<String>,
    /// What can be done about it.
    pub remedy: &'static str,
}

impl fmt::Display for PortTaken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = self.holder.as_deref().unwrap_or("another process");
        write!(
            formatter,
            "{} is wanted for {} and taken by {holder}; {}",
            self.address, self.wanted_by, self.remedy
        )
    }
}

impl std::error::Error for PortTaken {}

/// The first port of the plan that is taken.
pub(crate) fn first_taken(plan: &Plan) -> Option<PortTaken> {
    let front = plan.front.iter().map(|address| (*address, "the API server", FRONT_REMEDY));
    let instances = plan.instances.iter().flat_map(|instance| {
        instance.listeners.iter().map(|(_, address)| (*address, instance.name.as_str(), INSTANCE_REMEDY))
    });
    front.chain(instances).find(|(address, _, _)| !is_free(*address)).map(|(address, wanted_by, remedy)| {
        PortTaken { address, wanted_by: wanted_by.to_owned(), holder: holder(address.port()), remedy }
    })
}

/// Keeps a block for this process until it ends: two that choose at the same moment choose different ones. It is an
/// abstract Unix socket, which belongs to the network namespace as ports do and vanishes with the process.
#[derive(Debug)]
pub(crate) struct Reservation {
    _socket: UnixListener,
}

impl Reservation {
    /// Reserves a block; none if somebody else has it.
    pub(crate) fn take(block: PortBlock) -> Option<Self> {
        let name = format!("pilothouse-port-block-{}", block.ports().next()?);
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).ok()?;
        UnixListener::bind_addr(&address).ok().map(|socket| Self { _socket: socket })
    }
}

/// The first wholly free block of those that no neighbour has, and that nobody else is choosing now.
pub(crate) fn free_block(name: &str, neighbours: &[PortBlock]) -> Option<(PortBlock, Reservation)> {
    PortBlock::candidates(name)
        .filter(|block| !neighbours.iter().any(|neighbour| neighbour.overlaps(*block)))
        .filter_map(|block| Reservation::take(block).map(|reservation| (block, reservation)))
        .find(|(block, _)| block.ports().all(|port| is_free(SocketAddr::new(crate::plan::LOOPBACK, port))))
}

const FRONT_REMEDY: &str = "end that process, or give another --port";
const INSTANCE_REMEDY: &str = "end that process: the ports of a control plane were chosen when it was made";

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// Who listens on a port, as far as we may look.
fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let holds = descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()));
        holds.then(|| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} (process id {pid})", name.trim())
        })
    })
}

/// The inodes of the sockets that listen on a port, from `/proc/net/tcp`: column 2 is the local address in hexadecimal
/// digits, column 4 the state (0A: listening), column 10 the inode.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.get(1).is_some_and(|local| local.ends_with(&suffix)))
        .filter(|columns| columns.get(3) == Some(&"0A"))
        .filter_map(|columns| columns.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LOOPBACK;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!is_free(address));
        let holder = holder(address.port()).unwrap();
        assert!(holder.contains(&format!("process id {}", std::process::id())), "{holder}");
        drop(listener);
        assert!(is_free(address));
    }

    #[test]
    fn a_block_with_a_taken_port_and_a_neighbours_block_are_passed_over() {
        let blocks: Vec<PortBlock> = PortBlock::candidates("port-check-test").collect();
        let last_port = blocks[0].ports().last().unwrap();
        let _held = TcpListener::bind((LOOPBACK, last_port));
        let (found, _reservation) = free_block("port-check-test", &[blocks[1]]).unwrap();
        assert!(found != blocks[0] && found != blocks[1]);
    }

    #[test]
    fn two_that_choose_at_the_same_moment_choose_different_blocks() {
        let (first, reservation) = free_block("port-reservation-test", &[]).unwrap();
        let (second, _reservation) = free_block("port-reservation-test", &[]).unwrap();
        assert_ne!(first, second);
        drop(reservation);
        assert!(Reservation::take(first).is_some(), "it is free again once nobody has it");
    }

    #[test]
    fn the_message_names_port_instance_holder_and_remedy() {
        let taken = PortTaken {
            address: "127.0.0.1:6443".parse().unwrap(),
            wanted_by: "the API server".into(),
            holder: Some("nginx (process id 7)".into()),
            remedy: FRONT_REMEDY,
        };
        assert_eq!(
            taken.to_string(),
            "127.0.0.1:6443 is wanted for the API server and taken by nginx (process id 7); \
             end that process, or give another --port"
        );
    }
}
