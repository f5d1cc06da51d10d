//! A network between members of etcd that loses packets, on the node of one of them. Their clients reach all of them.
//! Refuses to stay: who makes it bad mends it, or the nodes go.

use end_to_end::packets_dropped;
use naming_contract::ports;

use crate::pods::PodView;
use crate::scene::{Scene, node_of};

const TABLE: &str = "between-members";

/// From its making until it is mended.
#[derive(Debug)]
#[must_use = "it stays bad until it is mended"]
pub struct BadNetwork {
    node: u8,
}

impl BadNetwork {
    /// From now on so many of hundred packets between `member` and its peers are lost where they leave and reach its node; with
    /// 100 it is cut off.
    pub async fn around(scene: &Scene<'_>, member: &PodView, percent: u32) -> Self {
        let (node, address) = (node_of(member), member.address.as_deref().expect("a Pod that runs"));
        let nft = async |line: &str| {
            scene.cluster.node_exec(node, "nft", line.split(' ')).await.unwrap();
        };
        nft(&format!("add table inet {TABLE}")).await;
        nft(&format!("add chain inet {TABLE} forward {{ type filter hook forward priority 0 ; }}")).await;
        for (end, port) in [("saddr", "sport"), ("saddr", "dport"), ("daddr", "sport"), ("daddr", "dport")] {
            let which = format!("ip {end} {address} tcp {port} {}", ports::ETCD_PEER);
            nft(&format!("add rule inet {TABLE} forward {which} {}", packets_dropped(percent))).await;
        }
        Self { node }
    }

    /// No packet is lost any more.
    pub async fn mend(self, scene: &Scene<'_>) {
        scene.cluster.node_exec(self.node, "nft", ["delete", "table", "inet", TABLE]).await.unwrap();
    }
}
