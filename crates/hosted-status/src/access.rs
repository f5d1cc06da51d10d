//! Whose control plane is meant, and a client made of a person's kubeconfig.
//! Refuses to guess: no in-cluster credentials, no proxy from the environment.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::error::{HostedError, Said};

/// One control plane of a management cluster, and how to reach that cluster.
#[derive(Debug, Clone)]
pub struct Access {
    /// Its namespace; without one that of the context.
    pub namespace: Option<ObjectName>,
    /// Its name: `app.kubernetes.io/instance` of its Pods.
    pub release: ObjectName,
    /// The management cluster's kubeconfig; without one `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it; without one its current one.
    pub context: Option<String>,
    /// How long the API server, and then each Pod, may take to answer.
    pub limit: Duration,
}

/// A name that can stand in a URL and in a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName(String);

/// Why a name is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no name of a namespace or release: at most 63 lower-case letters, digits and `-`")]
pub struct ObjectNameError {
    name: String,
}

/// A client and what it knows of its cluster.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) server: String,
    pub(crate) namespace: String,
}

impl ObjectName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    fn from_str(name: &str) -> Result<Self, ObjectNameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends = !name.starts_with('-') && !name.ends_with('-');
        if (1..=63).contains(&name.len()) && ends && name.bytes().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(ObjectNameError { name: name.to_owned() })
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Access {
    /// Reads the kubeconfig; nothing is asked yet, but for a credential plugin that the kubeconfig names.
    pub(crate) async fn connect(&self) -> Result<Connection, HostedError> {
        let unusable = |said: String| HostedError::Kubeconfig { origin: self.origin(), source: Said(said) };
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = read.map_err(|error| match error {
            KubeconfigError::ReadConfig(source, path) if source.kind() == std::io::ErrorKind::NotFound => {
                HostedError::NoKubeconfig { path }
            }
            error => unusable(error.to_string()),
        })?;
        let proxy = self.proxy(&kubeconfig);
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let configuration = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut configuration = configuration.map_err(|error| unusable(error.to_string()))?;
        configuration.proxy_url = match proxy {
            Some(proxy) => {
                Some(proxy.parse().map_err(|error| unusable(format!("proxy-url {proxy}: {error}")))?)
            }
            // kube takes HTTPS_PROXY for every server, whatever NO_PROXY says.
            None => None,
        };
        configuration.connect_timeout = Some(self.limit);
        // A failure that people wait for is told at once; kube would repeat 429, 503 and 504 in silence.
        configuration.default_retry = false;
        let server = configuration.cluster_url.to_string();
        let namespace = match &self.namespace {
            Some(namespace) => namespace.to_string(),
            None => configuration.default_namespace.clone(),
        };
        let client = Client::try_from(configuration).map_err(|error| unusable(said(&error)))?;
        Ok(Connection { client, server: server.trim_end_matches('/').to_owned(), namespace })
    }

    /// `proxy-url` of the cluster that is meant.
    fn proxy(&self, kubeconfig: &Kubeconfig) -> Option<String> {
        let context = self.context.as_ref().or(kubeconfig.current_context.as_ref())?;
        let context = kubeconfig.contexts.iter().find(|named| &named.name == context)?.context.as_ref()?;
        let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?;
        cluster.cluster.as_ref()?.proxy_url.clone().filter(|proxy| !proxy.is_empty())
    }

    fn origin(&self) -> String {
        let file = match &self.kubeconfig {
            Some(path) => format!("the kubeconfig {}", path.display()),
            None => "the kubeconfig of the environment".to_owned(),
        };
        self.context.as_ref().map_or(file.clone(), |context| format!("{file} with context {context}"))
    }
}

/// What kube says, without repeating itself.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.message),
        kube::Error::Service(cause) => telemetry::error_chain(cause.as_ref()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
