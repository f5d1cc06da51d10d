//! Whether the API servers that serve now already carry a name that was learnt late: asked of each by a TLS handshake.
//! Refuses to say yes for one that does not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certificates::LeafName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A handshake inside a cluster takes milliseconds.
const LIMIT: Duration = Duration::from_secs(3);

/// What the API servers showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    /// Every one that is listed carries the name; perhaps none is listed, and those to come will get it.
    ByAll,
    /// One does not, or does not say.
    NotBy(SocketAddr),
}

/// Asks every address that `replicas` (`host:port`) resolves to for `name`.
pub(super) async fn carried(replicas: &str, name: &LeafName, bundle_pem: &str) -> Carried {
    // No such name: no API server is ready.
    let Ok(listed) = tokio::net::lookup_host(replicas).await else { return Carried::ByAll };
    for address in listed {
        if !shows(address, name, bundle_pem).await {
            return Carried::NotBy(address);
        }
    }
    Carried::ByAll
}

async fn shows(address: SocketAddr, name: &LeafName, bundle_pem: &str) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle_pem.as_bytes()).flatten() {
        if roots.add(certificate).is_err() {
            return false;
        }
    }
    let Ok(name) = ServerName::try_from(name.to_string()) else { return false };
    let configuration = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let handshake = async {
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(configuration)).connect(name, stream).await
    };
    matches!(tokio::time::timeout(LIMIT, handshake).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server whose certificate carries `names`, by a CA of its own; gives its address and the CA's bundle.
    async fn server(names: &[&str]) -> (String, String) {
        mutual_tls::install_provider();
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(parameters, authority_key);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let configuration =
            mutual_tls::server_configuration(leaf.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _refused_by_the_client = acceptor.accept(stream).await;
            }
        });
        (address, authority.pem())
    }

    #[tokio::test]
    async fn a_name_is_carried_when_every_listed_server_shows_it() {
        let (address, bundle) = server(&["api.example.com", "203.0.113.9"]).await;
        let (_, foreign) = server(&["api.example.com"]).await;
        for name in ["203.0.113.9", "api.example.com"] {
            assert_eq!(carried(&address, &name.parse().unwrap(), &bundle).await, Carried::ByAll);
        }
        let not = Carried::NotBy(address.parse().unwrap());
        assert_eq!(carried(&address, &"203.0.113.10".parse().unwrap(), &bundle).await, not);
        assert_eq!(carried(&address, &"203.0.113.9".parse().unwrap(), &foreign).await, not);
        let nobody = "no-such-name.invalid:6443";
        assert_eq!(carried(nobody, &"203.0.113.9".parse().unwrap(), &bundle).await, Carried::ByAll);
    }
}
