//! How a Pod reaches the API that hosts it: its address, its token, its namespace.
//! Refuses kubeconfigs; a token file is read anew by the client, since kubelet replaces it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use durable_files::FileIdentity;
use mutual_tls::bearer_client;

use crate::ManagementError;

/// Set by kubelet in every container.
const HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Set by kubelet in every container.
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// Flags of a process that reads or writes objects of the management cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Management cluster")]
pub struct ManagementArguments {
    /// The management cluster's API server [default: what kubelet tells every container]
    #[arg(long, env = "PILOTHOUSE_MANAGEMENT_API_SERVER", value_name = "URL")]
    pub management_api_server: Option<String>,
    /// Directory with the Pod's credentials for it: token, ca.crt, namespace
    #[arg(
        long,
        env = "PILOTHOUSE_MANAGEMENT_CREDENTIALS",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount",
        value_name = "DIR"
    )]
    pub management_credentials: PathBuf,
}

/// The API, seen from one namespace. Cloning is cheap, and clones share their connections.
#[derive(Clone)]
pub struct ManagementApi {
    access: Arc<Access>,
    namespace: String,
    server: String,
}

struct Access {
    authority: PathBuf,
    token: PathBuf,
    made: Mutex<Made>,
}

struct Made {
    client: kube::Client,
    /// Another one when kubelet has replaced the file.
    from: Option<FileIdentity>,
}

impl ManagementArguments {
    /// Makes a client; asks nobody yet.
    pub fn connect(&self) -> Result<ManagementApi, ManagementError> {
        let server = self
            .management_api_server
            .clone()
            .or_else(|| from_environment(&std::env::var(HOST).ok()?, &std::env::var(PORT).ok()?))
            .ok_or(ManagementError::NoServer)?;
        let file = |name: &str| self.management_credentials.join(name);
        let namespace = read_namespace(&file("namespace"))?;
        let (authority, token) = (file("ca.crt"), file("token"));
        let from = FileIdentity::of(&authority);
        let made = Mutex::new(Made { client: bearer_client(&server, &authority, &token)?, from });
        Ok(ManagementApi { access: Arc::new(Access { authority, token, made }), namespace, server })
    }
}

impl ManagementApi {
    /// The namespace that the Pod runs in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The API server's URL, for people.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The client itself, for calls that are not about single objects. Ask for it anew for each call: it is another one
    /// after the cluster's CA was replaced, which the process may well outlive.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        let access = &self.access;
        // A panic in between can only leave the old client there, which is good.
        let mut made = access.made.lock().unwrap_or_else(PoisonError::into_inner);
        let now = FileIdentity::of(&access.authority);
        if now.is_some() && now != made.from {
            match bearer_client(&self.server, &access.authority, &access.token) {
                Ok(client) => *made = Made { client, from: now },
                Err(error) => tracing::debug!(%error, "going on with the management cluster's last CA"),
            }
        }
        made.client.clone()
    }

    /// The objects of one kind in the own namespace.
    #[must_use]
    pub fn objects<K>(&self) -> kube::Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        kube::Api::namespaced(self.client(), &self.namespace)
    }
}

impl std::fmt::Debug for ManagementApi {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ManagementApi")
            .field("server", &self.server)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

fn read_namespace(path: &Path) -> Result<String, ManagementError> {
    let read = |source| ManagementError::Namespace { path: path.to_owned(), source };
    let namespace = std::fs::read_to_string(path).map_err(read)?.trim().to_owned();
    if namespace.is_empty() { Err(read(std::io::ErrorKind::InvalidData.into())) } else { Ok(namespace) }
}

fn from_environment(host: &str, port: &str) -> Option<String> {
    let port: u16 = port.parse().ok()?;
    let address = host.parse::<std::net::IpAddr>().ok()?;
    Some(format!("https://{}", std::net::SocketAddr::new(address, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_of_addresses_make_a_url() {
        assert_eq!(from_environment("10.96.0.1", "443").unwrap(), "https://10.96.0.1:443");
        assert_eq!(from_environment("fd00::1", "443").unwrap(), "https://[fd00::1]:443");
        assert_eq!(from_environment("10.96.0.1", "many"), None);
    }

    #[test]
    fn a_pod_without_credentials_is_told_where_they_should_be() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ManagementArguments {
            management_api_server: Some("https://10.96.0.1:443".into()),
            management_credentials: directory.path().to_owned(),
        };
        let error = arguments.connect().unwrap_err().to_string();
        assert!(error.contains(directory.path().to_str().unwrap()), "{error}");
        assert!(error.contains("projected"), "{error}");
    }
}
