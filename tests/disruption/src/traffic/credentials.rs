//! Who we are and whom we trust, as a kubeconfig says it; read again when the file was replaced, as client-go does with
//! its certificates. Refuses plugins that fetch credentials: what they cost would be measured too.

use std::path::Path;
use std::sync::Arc;

use durable_files::FileIdentity;
use http::HeaderValue;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What each request says.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    /// Of the file it was read from.
    pub(super) file: Option<FileIdentity>,
    /// HOST:PORT.
    pub(super) authority: String,
    pub(super) token: Option<HeaderValue>,
}

pub(super) struct Credentials {
    pub(super) caller: Caller,
    pub(super) name: ServerName<'static>,
    pub(super) tls: TlsConnector,
}

impl Credentials {
    pub(super) async fn read(path: &Path) -> Result<Self, Cause> {
        // Before the file is read: one that is replaced meanwhile is read once more.
        let file = FileIdentity::of(path);
        let kubeconfig = Kubeconfig::read_from(path)?;
        let configuration =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let mut tls = configuration.rustls_client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let host = configuration.cluster_url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = configuration.cluster_url.port_u16().unwrap_or(443);
        let name = configuration.tls_server_name.clone().unwrap_or_else(|| host.clone());
        let name = ServerName::try_from(name)?;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let caller = Caller { file, authority, token: bearer(&configuration.auth_info)? };
        Ok(Self { caller, name, tls: TlsConnector::from(Arc::new(tls)) })
    }
}

fn bearer(identity: &kube::config::AuthInfo) -> Result<Option<HeaderValue>, Cause> {
    if identity.exec.is_some() || identity.auth_provider.is_some() || identity.username.is_some() {
        return Err("only client certificates and tokens can be used".into());
    }
    // kube keeps the token in a type of a crate that it does not export; its own serialization opens it.
    let written = serde_json::to_value(identity)?;
    let token = match (written.get("token").and_then(serde_json::Value::as_str), &identity.token_file) {
        (Some(token), _) => token.to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file)?.trim().to_owned(),
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
