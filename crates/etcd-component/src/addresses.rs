//! The member's own addresses: where etcd listens and where its supervisor reaches it.
//! Refuses names: a member is asked on its own machine without DNS.

use std::net::SocketAddr;

use component_runtime::RuntimeError;

use crate::{EtcdConfiguration, KnownMember};

/// Where one member listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) peer: SocketAddr,
    pub(crate) client: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Addresses {
    pub(crate) fn of(me: &KnownMember, configuration: &EtcdConfiguration) -> Result<Self, RuntimeError> {
        let at = |port| SocketAddr::new(configuration.listen_address, port);
        Ok(Self {
            peer: at(port_of(&me.peer_url)?),
            client: at(port_of(&me.client_url)?),
            http: at(configuration.http_port),
        })
    }

    pub(crate) fn all(&self) -> [SocketAddr; 3] {
        [self.peer, self.client, self.http]
    }
}

/// The URL at which `address` listens.
pub(crate) fn listen_url(address: SocketAddr) -> String {
    format!("https://{address}")
}

/// The URL at which the supervisor beside reaches `address`.
pub(crate) fn local_url(address: SocketAddr) -> String {
    format!("https://{}", preflight::reached_at(address.ip(), address.port()))
}

fn port_of(url: &str) -> Result<u16, RuntimeError> {
    authority(url).and_then(|authority| authority.rsplit_once(':')?.1.parse().ok()).ok_or_else(|| {
        RuntimeError::setting(format!("{url} is no URL of the form https://HOST:PORT"), "correct --member")
    })
}

/// `HOST:PORT` of a URL.
pub(crate) fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    Some(rest.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use cluster_record::RecordStore;

    use super::*;
    use crate::MemberSource;

    #[test]
    fn ports_come_from_the_members_urls() {
        let member = |peer: &str| KnownMember {
            name: "etcd-0".into(),
            peer_url: peer.into(),
            client_url: "https://[::1]:2379/".into(),
            health_url: None,
        };
        let configuration = EtcdConfiguration {
            data_directory: "/data".into(),
            cluster_record: RecordStore::file("/record"),
            members: MemberSource::Listed(vec![]),
            listen_address: "0.0.0.0".parse().unwrap(),
            http_port: 2381,
            quota_backend_bytes: None,
            defragmentation: None,
            update_settle: etcd_membership::USUAL_SETTLE,
        };
        let addresses = Addresses::of(&member("https://etcd-0.etcd:2380"), &configuration).unwrap();
        assert_eq!(addresses.all().map(|address| address.port()), [2380, 2379, 2381]);
        assert_eq!(listen_url(addresses.client), "https://0.0.0.0:2379");
        assert_eq!(local_url(addresses.client), "https://127.0.0.1:2379");
        for wrong in ["etcd-0:2380", "https://etcd-0", "https://etcd-0:x"] {
            let error = Addresses::of(&member(wrong), &configuration).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("--member"), "{error}");
        }
    }
}
