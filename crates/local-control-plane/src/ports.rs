//! One block of consecutive ports for each control plane, and the fixed place of every listener in it.
//! Pure: whether a port is free is asked of the caller. Refuses to move a block that was once recorded.

use naming_contract::Component;
use serde::{Deserialize, Serialize};

use crate::settings::{MOST_API_SERVERS, MOST_CONTROLLERS};

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortUse {
    /// Our health endpoints.
    Health,
    /// TLS: the component's own endpoint.
    Secure,
    /// etcd, peers.
    EtcdPeer,
    /// etcd, HTTP health and metrics.
    EtcdHttp,
}

/// The ports of one control plane: 64 consecutive ones from `first`. The front's port is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortBlock {
    first: u16,
}

impl PortBlock {
    /// Every block there can be, the one a name prefers first.
    pub fn candidates(name: &str) -> impl Iterator<Item = Self> {
        // FNV-1a: a name prefers the same block on every machine and with every compiler.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let preferred = (hash % u64::from(BLOCKS)) as u16;
        (0..BLOCKS).map(move |step| Self { first: LOWEST + (preferred + step) % BLOCKS * SIZE })
    }

    /// Every port of the block.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        self.first..self.first + SIZE
    }

    /// Whether two blocks share a port.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first.abs_diff(other.first) < SIZE
    }

    /// The port of an instance for a use. Ordinals stay below the numbers that settings allow.
    #[must_use]
    pub fn port(self, component: Component, ordinal: u32, port_use: PortUse) -> u16 {
        let offset = match component {
            Component::CertificateAuthority => 0,
            Component::ClusterBootstrap => 2,
            Component::Etcd => 4,
            Component::KubeApiserver => 24,
            Component::KubeControllerManager => 40,
            Component::KubeScheduler => 48,
            Component::CloudControllerManager => 56,
            // Listens on its own machine; the block's end, which nobody is given.
            Component::Node => SIZE,
        };
        let stride = if component == Component::Etcd { 4 } else { 2 };
        let place = match port_use {
            PortUse::Health => 0,
            PortUse::Secure => 1,
            PortUse::EtcdPeer => 2,
            PortUse::EtcdHttp => 3,
        };
        self.first + offset + ordinal as u16 * stride + place
    }
}

/// Ports in a block: 2 + 2 + 5×4 + 8×2 + 3 × 4×2, so every instance that settings allow has its place.
const SIZE: u16 = 64;
/// Below the ephemeral range (from 32768) and below node ports (from 30000), above what services usually take.
const LOWEST: u16 = 20_000;
const HIGHEST: u16 = 29_999;
const BLOCKS: u16 = (HIGHEST - LOWEST + 1) / SIZE;

const _EVERY_INSTANCE_FITS: () =
    assert!(4 + 5 * 4 + MOST_API_SERVERS * 2 + 3 * MOST_CONTROLLERS * 2 == SIZE as u32);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_two_listeners_share_a_port_and_all_lie_in_the_block() {
        let block = PortBlock::candidates("local").next().unwrap();
        let mut seen = HashSet::new();
        let most = |component| match component {
            Component::CertificateAuthority | Component::ClusterBootstrap => 1,
            Component::Etcd => 5,
            Component::KubeApiserver => MOST_API_SERVERS,
            _ => MOST_CONTROLLERS,
        };
        for component in Component::ALL {
            let uses: &[PortUse] = match component {
                Component::Etcd => &[PortUse::Health, PortUse::Secure, PortUse::EtcdPeer, PortUse::EtcdHttp],
                _ => &[PortUse::Health, PortUse::Secure],
            };
            for ordinal in 0..most(component) {
                for port_use in uses {
                    let port = block.port(component, ordinal, *port_use);
                    assert!(block.ports().any(|known| known == port));
                    assert!(seen.insert(port), "{component} {ordinal} {port_use:?}");
                }
            }
        }
        assert_eq!(seen.len(), usize::from(SIZE));
    }

    proptest! {
        #[test]
        fn every_block_is_a_candidate_once_and_below_the_node_ports(name in "[a-z][a-z0-9-]{0,39}") {
            let blocks: Vec<_> = PortBlock::candidates(&name).collect();
            let firsts: HashSet<_> = blocks.iter().map(|block| block.first).collect();
            prop_assert_eq!(firsts.len(), usize::from(BLOCKS));
            prop_assert!(blocks.iter().all(|block| block.ports().all(|port| (LOWEST..=HIGHEST).contains(&port))));
        }
    }
}
