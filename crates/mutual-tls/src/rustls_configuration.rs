//! rustls configurations and the reqwest client over them, all with the one installed provider.
//! Refuses system roots: peers are checked against the given bundle and nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{TlsError, TlsFiles, read};

/// Makes aws-lc-rs the provider of the process; the first act of every `main` that speaks TLS.
pub fn install_provider() {
    // An error means that it is installed already, which is what is wanted.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A client that trusts `authority` and, if given an identity, shows it.
pub fn client_configuration(authority: &Path, identity: Option<&TlsFiles>) -> Result<ClientConfig, TlsError> {
    let origin = authority.display().to_string();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&read(authority)?, &origin)? {
        roots.add(certificate).map_err(|source| TlsError::Rustls { origin: origin.clone(), source })?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(files) => {
            let origin = files.certificate.display().to_string();
            let chain = certificates(&read(&files.certificate)?, &origin)?;
            let key = private_key(&read(&files.key)?, &files.key.display().to_string())?;
            builder.with_client_auth_cert(chain, key).map_err(|source| TlsError::Rustls { origin, source })
        }
    }
}

/// A server that shows this certificate and asks clients for none.
pub fn server_configuration(certificate_pem: &[u8], key_pem: &[u8]) -> Result<ServerConfig, TlsError> {
    let origin = "the serving certificate";
    let chain = certificates(certificate_pem, origin)?;
    let key = private_key(key_pem, "the serving key")?;
    let mut configuration = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Rustls { origin: origin.to_owned(), source })?;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(configuration)
}

/// An HTTPS client that trusts `authority`, shows the identity if there is one, follows no redirect and uses no proxy.
/// `timeout` bounds a whole request; connecting may take half of it.
pub fn http_client(
    authority: &Path,
    identity: Option<&TlsFiles>,
    timeout: Duration,
) -> Result<reqwest::Client, TlsError> {
    http_client_builder(authority, identity, timeout)?.build().map_err(TlsError::Http)
}

/// The same, but whoever is asked for by `name` is asked at `address`, of several behind that name: requests and the
/// server's certificate are about the name. The port of a request is that of its URL.
pub fn http_client_of_one(
    authority: &Path,
    identity: Option<&TlsFiles>,
    timeout: Duration,
    name: &str,
    address: SocketAddr,
) -> Result<reqwest::Client, TlsError> {
    http_client_builder(authority, identity, timeout)?.resolve(name, address).build().map_err(TlsError::Http)
}

fn http_client_builder(
    authority: &Path,
    identity: Option<&TlsFiles>,
    timeout: Duration,
) -> Result<reqwest::ClientBuilder, TlsError> {
    let configuration = client_configuration(authority, identity)?;
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(configuration)
        .timeout(timeout)
        .connect_timeout(timeout / 2)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy())
}

fn certificates(pem: &[u8], origin: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { origin: origin.to_owned(), wanted: "certificate", source };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(failed(rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn private_key(pem: &[u8], origin: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| TlsError::Pem {
        origin: origin.to_owned(),
        wanted: "private key",
        source,
    })
}
