//! What an upstream component shows to somebody who comes now, beside the leaf that its supervisor keeps on disk.
//! Refuses connections that are open already: only a new handshake tells whether a component has taken up its leaf.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certificates::bundle_certificates;
use naming_contract::files;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::Instance;
use crate::wait::eventually;

/// Components look at their files at each handshake, or are told by the kernel that they changed.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(3);

/// A TLS port of a component.
#[derive(Debug, Clone)]
pub struct Listener {
    what: String,
    address: SocketAddr,
    certificate: PathBuf,
    bundle: PathBuf,
}

impl Listener {
    /// All TLS ports of a child, as its own arguments tell them; none of a service.
    #[must_use]
    pub fn all_of(instance: &Instance, state_directory: &Path) -> Vec<Self> {
        if instance.pid.is_none() {
            return Vec::new();
        }
        let flag =
            |name| instance.child_flag(name).unwrap_or_else(|| panic!("{} without --{name}", instance.name));
        let listener = |what: &str, address: &str, certificate, bundle| Self {
            what: format!("{} ({what})", instance.name),
            address: address.parse().expect("ADDRESS:PORT"),
            certificate: PathBuf::from(flag(certificate)),
            bundle: state_directory.join(files::TRUST).join(bundle),
        };
        if instance.component != "etcd" {
            let address = format!("{}:{}", flag("bind-address"), flag("secure-port"));
            return vec![listener("secure port", &address, "tls-cert-file", files::CLUSTER_BUNDLE)];
        }
        [
            ("listen-client-urls", "cert-file", files::ETCD_BUNDLE),
            ("listen-client-http-urls", "cert-file", files::ETCD_BUNDLE),
            ("listen-peer-urls", "peer-cert-file", files::ETCD_PEER_BUNDLE),
        ]
        .map(|(urls, certificate, bundle)| {
            listener(urls, flag(urls).trim_start_matches("https://"), certificate, bundle)
        })
        .into()
    }

    /// Makes a new handshake and sees the very leaf that lies on disk, not expired; panics if it is another for longer
    /// than a component needs to take it up.
    pub async fn shows_what_lies_on_disk(&self) {
        eventually(&format!("{} shows its present leaf", self.what), TAKEN_UP_WITHIN, async || {
            let on_disk = std::fs::read(&self.certificate).map_err(|error| error.to_string())?;
            let on_disk = bundle_certificates(&on_disk).map_err(|error| error.to_string())?;
            let shown = self.shown().await?;
            if shown == on_disk[0] { Ok(()) } else { Err("it shows another".to_owned()) }
        })
        .await;
    }

    /// The leaf that it shows, checked for its CA, its time and its address.
    async fn shown(&self) -> Result<Vec<u8>, String> {
        // Without an identity: a server shows its leaf before it looks at ours.
        let configuration = mutual_tls::client_configuration(&self.bundle, None)
            .map_err(|error| telemetry::error_chain(&error))?;
        let connector = TlsConnector::from(Arc::new(configuration));
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        let name = ServerName::from(self.address.ip());
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(chain.first().ok_or("it shows no certificate")?.to_vec())
    }
}
