//! The kube client over mutual TLS, with the timeouts that a supervisor needs.
//! Refuses kubeconfigs and in-cluster guesses: server and files are arguments.

use std::path::Path;
use std::time::Duration;

use kube::config::{AuthInfo, Config};

use crate::files::{TlsError, TlsFiles};

/// A client of `server` (https URL) with the identity in `files`; its certificate is checked for `server_name` instead of
/// the URL's host, if there is one. Connecting ends after 2 s, a read after 5 s.
pub fn kubernetes_client(
    server: &str,
    server_name: Option<&str>,
    files: &TlsFiles,
) -> Result<kube::Client, TlsError> {
    let identity = AuthInfo {
        client_certificate: Some(files.certificate.display().to_string()),
        client_key: Some(files.key.display().to_string()),
        ..AuthInfo::default()
    };
    client(server, server_name, &files.authority, identity, Some(Duration::from_secs(5)))
}

/// A client of `server` (https URL) that shows the token in `token`, reading it anew as it is replaced. Connecting ends
/// after 2 s. Reads are not bounded, since a watch may have nothing to tell for minutes: bound single calls.
pub fn bearer_client(server: &str, authority: &Path, token: &Path) -> Result<kube::Client, TlsError> {
    let identity = AuthInfo { token_file: Some(token.display().to_string()), ..AuthInfo::default() };
    client(server, None, authority, identity, None)
}

fn client(
    server: &str,
    server_name: Option<&str>,
    authority: &Path,
    identity: AuthInfo,
    read_timeout: Option<Duration>,
) -> Result<kube::Client, TlsError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::Kubernetes {
        server: server.to_owned(),
        source,
    };
    let url: http::Uri = server.parse().map_err(|error| failed(Box::new(error)))?;
    let mut configuration = Config::new(url);
    configuration.root_cert = Some(
        rustls_pki_types::pem::PemObject::pem_slice_iter(&crate::files::read(authority)?)
            .map(|certificate: Result<rustls_pki_types::CertificateDer<'static>, _>| {
                certificate.map(|certificate| certificate.to_vec())
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| TlsError::Pem {
                origin: authority.display().to_string(),
                wanted: "certificate",
                source,
            })?,
    );
    configuration.tls_server_name = server_name.map(str::to_owned);
    configuration.connect_timeout = Some(Duration::from_secs(2));
    configuration.read_timeout = read_timeout;
    configuration.write_timeout = Some(Duration::from_secs(5));
    configuration.auth_info = identity;
    // Whoever waits repeats by itself, and says what it saw; kube would repeat 429, 503 and 504 in silence.
    configuration.default_retry = false;
    kube::Client::try_from(configuration).map_err(|error| failed(Box::new(error)))
}
