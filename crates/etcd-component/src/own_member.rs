//! The supervisor's own clients of the member beside it: gRPC for reads and status, HTTP for /livez and one metric.
//! Kept between looks and made anew when the certificate or the bundle is replaced. Refuses to conclude: it tells what it was answered.

use std::cell::RefCell;
use std::time::Duration;

use durable_files::FileIdentity;
use etcd_membership::{EtcdError, MemberClient};
use mutual_tls::{TlsFiles, http_client};

use crate::addresses::{Addresses, local_url};

/// A probe of /livez ends after this time.
const HTTP_LIMIT: Duration = Duration::from_secs(1);
/// 1 while etcd rewrites its database, the only thing of it that tells (`storage/backend/metrics.go`, since 3.4.18).
const REWRITING: &str = "etcd_disk_defrag_inflight 1";
/// etcd's metrics have about 150 KB.
const METRICS_LIMIT: usize = 4 * 1024 * 1024;

/// Clients of one member.
pub(crate) struct OwnMember {
    client_url: String,
    livez_url: String,
    metrics_url: String,
    files: TlsFiles,
    kept: RefCell<Option<Kept>>,
}

#[derive(Clone)]
struct Kept {
    made_from: [Option<FileIdentity>; 2],
    grpc: MemberClient,
    http: reqwest::Client,
}

impl OwnMember {
    pub(crate) fn new(addresses: Addresses, files: TlsFiles) -> Self {
        Self {
            client_url: local_url(addresses.client),
            livez_url: format!("{}/livez", local_url(addresses.http)),
            metrics_url: format!("{}/metrics", local_url(addresses.http)),
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

    /// Whether it says that it rewrites its database, which holds up whatever reads of it, /livez too.
    pub(crate) async fn rewrites_database(&self) -> bool {
        self.metrics().await.is_some_and(|text| text.lines().any(|line| line == REWRITING))
    }

    async fn metrics(&self) -> Option<String> {
        let mut answer = self.clients().await.ok()?.http.get(&self.metrics_url).send().await.ok()?;
        let mut text = Vec::new();
        while let Some(part) = answer.chunk().await.ok()? {
            if text.len() + part.len() > METRICS_LIMIT {
                return None;
            }
            text.extend_from_slice(&part);
        }
        String::from_utf8(text).ok()
    }

    async fn clients(&self) -> Result<Kept, EtcdError> {
        let identities = self.identities();
        let kept = self.kept.borrow().clone().filter(|kept| kept.made_from == identities);
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let endpoint = self.client_url.clone();
        let http = http_client(&self.files.authority, Some(&self.files), HTTP_LIMIT)
            .map_err(|source| EtcdError::Client { endpoint, source })?;
        let grpc = MemberClient::new(&self.client_url, &self.files).await?;
        let made = Kept { made_from: identities, grpc, http };
        *self.kept.borrow_mut() = Some(made.clone());
        Ok(made)
    }

    /// Of the certificate, and of the bundle: etcd may show a leaf of another CA soon.
    fn identities(&self) -> [Option<FileIdentity>; 2] {
        [&self.files.certificate, &self.files.authority].map(|file| FileIdentity::of(file))
    }
}
