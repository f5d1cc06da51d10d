//! The etcd client with the timeouts that a supervisor needs.
//! Refuses to retry: a look that fails is repeated by whoever waits.

use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use crate::files::{TlsError, TlsFiles};

/// Connects to `endpoints` (https URLs) with the identity in `files`. Each request ends after 5 s at the latest,
/// connecting after 2 s; a connection without an answer to a ping for 5 s is given up.
pub async fn etcd_client(endpoints: &[String], files: &TlsFiles) -> Result<Client, TlsError> {
    let material = files.read()?;
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(material.authority_pem))
        .identity(Identity::from_pem(material.certificate_pem, material.key_pem));
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
