//! The supervisor's own clients of the member beside it: gRPC for reads and status, HTTP for /livez.
//! Kept between looks and made anew when the certificate is renewed. Refuses to conclude: it tells what it was answered.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use etcd_membership::{EtcdError, MemberClient};
use mutual_tls::{TlsFiles, http_client};

use crate::addresses::{Addresses, local_url};

/// A probe of /livez ends after this time.
const HTTP_LIMIT: Duration = Duration::from_secs(1);

/// Clients of one member.
pub(crate) struct OwnMember {
    client_url: String,
    livez_url: String,
    files: TlsFiles,
    kept: RefCell<Option<Kept>>,
}

#[derive(Clone)]
struct Kept {
    made_from: Option<Stamp>,
    grpc: MemberClient,
    http: reqwest::Client,
}

/// Changes when the certificate is replaced.
type Stamp = (u64, i64, i64);

impl OwnMember {
    pub(crate) fn new(addresses: Addresses, files: TlsFiles) -> Self {
        Self {
            client_url: local_url(addresses.client),
            livez_url: format!("{}/livez", local_url(addresses.http)),
            files,
            kept: RefCell::new(None),
        }
    }

    /// The gRPC client.
    pub(crate) async fn grpc(&self) -> Result<MemberClient, EtcdError> {
        self.clients().await.map(|clients| clients.grpc)
    }

    /// Whether etcd's own /livez says yes; it needs no quorum once the member was ready.
    pub(crate) async fn livez(&self) -> Result<(), String> {
        let clients = self.clients().await.map_err(|error| telemetry::error_chain(&error))?;
        match clients.http.get(&self.livez_url).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("/livez answered {}", answer.status().as_u16())),
            Err(error) => Err(format!("/livez: {}", telemetry::error_chain(&error))),
        }
    }

    async fn clients(&self) -> Result<Kept, EtcdError> {
        let stamp = self.stamp();
        let kept = self.kept.borrow().clone().filter(|kept| kept.made_from == stamp);
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let endpoint = self.client_url.clone();
        let http = http_client(&self.files.authority, Some(&self.files), HTTP_LIMIT)
            .map_err(|source| EtcdError::Client { endpoint, source })?;
        let grpc = MemberClient::new(&self.client_url, &self.files).await?;
        let made = Kept { made_from: stamp, grpc, http };
        *self.kept.borrow_mut() = Some(made.clone());
        Ok(made)
    }

    fn stamp(&self) -> Option<Stamp> {
        let metadata = self.files.certificate.metadata().ok()?;
        Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    }
}
