//! The etcd client with the timeouts that a supervisor needs.
//! Refuses to retry: a look that fails is repeated by whoever waits.

use std::net::SocketAddr;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use crate::files::{TlsError, TlsFiles};

/// Connects to `endpoints` (https URLs) with the identity in `files`. Each request ends after 5 s at the latest,
/// connecting after 2 s; a connection without an answer to a ping for 5 s is given up.
pub async fn etcd_client(endpoints: &[String], files: &TlsFiles) -> Result<Client, TlsError> {
    connect(endpoints, tls(files)?).await
}

/// The same for the member at `address`, of several that are called `name`: its certificate is checked for the name.
pub async fn etcd_client_of_one(
    name: &str,
    address: SocketAddr,
    files: &TlsFiles,
) -> Result<Client, TlsError> {
    connect(&[format!("https://{address}")], tls(files)?.domain_name(name)).await
}

fn tls(files: &TlsFiles) -> Result<TlsOptions, TlsError> {
    let material = files.read()?;
    Ok(TlsOptions::new()
        .ca_certificate(Certificate::from_pem(material.authority_pem))
        .identity(Identity::from_pem(material.certificate_pem, material.key_pem)))
}

async fn connect(endpoints: &[String], tls: TlsOptions) -> Result<Client, TlsError> {
    let options = ConnectOptions::new()
        .with_tls(tls)
        .with_connect_timeout(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(5))
        .with_keep_alive(Duration::from_secs(5), Duration::from_secs(5))
        .with_keep_alive_while_idle(true);
    Client::connect(endpoints, Some(options))
        .await
        .map_err(|source| TlsError::Etcd { endpoints: endpoints.join(","), source })
}
