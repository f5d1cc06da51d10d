//! A network that is slow: packets to and from some ports leave by a device (TUN) whose other end is held here, and are given
//! back to the kernel when their time has come, in order. Connections do not break by that. Refuses netem, which does the same
//! and is not in every kernel.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

use crate::network::{ended, number, run};

/// The longest packet of IP; as loopback, which the connections were made for.
const LONGEST: i32 = 65_535;

/// It is as fast as ever when this is dropped; what is under way then is lost, and sent again by TCP.
pub struct Slow {
    number: String,
    carrier: JoinHandle<()>,
}

impl Slow {
    /// Packets of these ports take so long.
    ///
    /// # Panics
    /// Where the kernel has no TUN.
    #[must_use]
    pub fn new(ports: impl IntoIterator<Item = u16>, packet: Duration) -> Self {
        let number = number().to_string();
        let device = format!("slow{number}");
        let tun = Tun::builder().name(&device).mtu(LONGEST).up().build();
        let tun = tun.expect("a TUN device").pop().expect("one was asked for");
        // Addresses of this machine come out of it, loopback's, and the way back is another.
        for (interface, setting, value) in [
            ("all", "rp_filter", "0"),
            (&*device, "rp_filter", "0"),
            (&*device, "accept_local", "1"),
            (&*device, "route_localnet", "1"),
        ] {
            let file = format!("/proc/sys/net/ipv4/conf/{interface}/{setting}");
            let written = File::options().write(true).open(&file);
            written.and_then(|mut file| file.write_all(value.as_bytes())).expect("a setting of the network");
        }
        run(&["ip", "route", "add", "default", "dev", &device, "table", &number], "");
        run(&["ip", "rule", "add", "pref", &number, "fwmark", &number, "lookup", &number], "");
        let ports = ports.into_iter().map(|port| port.to_string()).collect::<Vec<_>>().join(", ");
        let marked = |end: &str| format!("tcp {end} {{ {ports} }} meta mark set {number}");
        let rules = [marked("sport"), marked("dport")].join("\n");
        let chain = format!("chain output {{ type route hook output priority 0\n{rules}\n}}");
        run(&["nft", "--file", "-"], &format!("table ip {device} {{\n{chain}\n}}\n"));
        Self { number, carrier: tokio::spawn(carry(tun, packet)) }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // They go with their network at the latest; a second panic would end the run before anything is cleaned up.
        let _gone = ended(&["nft", "delete", "table", "ip", &format!("slow{}", self.number)], "");
        let _gone = ended(&["ip", "rule", "del", "pref", &self.number], "");
        self.carrier.abort();
    }
}

async fn carry(tun: Tun, takes: Duration) {
    let (send, mut under_way) = mpsc::unbounded_channel();
    let take = async {
        let mut packet = vec![0; LONGEST as usize];
        while let Ok(length) = tun.recv(&mut packet).await {
            let _carried = send.send((Instant::now() + takes, packet[..length].to_vec()));
        }
    };
    let give = async {
        while let Some((due, packet)) = under_way.recv().await {
            sleep_until(due).await;
            // One that the kernel does not take is lost, as in any network.
            let _lost = tun.send(&packet).await;
        }
    };
    tokio::join!(take, give);
}
