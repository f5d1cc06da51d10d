//! Credentials for a machine that is to become a node: a caller of its own, keys made here, leaves for it alone.
//! Refuses to become a member of the control plane: the caller is forgotten as soon as it has its leaves.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caller_identity::{Caller, RegistryError};
use certificates::{Authority, AuthorityClient, LeafName, Profile, RequestError, identities};
use durable_files::{FileError, replace_directory};
use kubeconfig::CredentialPaths;
use naming_contract::Component;
use time::OffsetDateTime;

use crate::cluster_name::ClusterName;
use crate::paths::{SELF, StatePaths};
use crate::plan::Plan;
use crate::ports::PortUse;
use crate::state_directory::{StateError, read_manifest};

/// Three leaves take a second; a token that is forgotten anyway need not live longer.
const TOKEN_LIFETIME: Duration = Duration::from_secs(120);
/// A trust bundle holds two CAs at most, in bytes.
const LARGEST_BUNDLE: u64 = 256 * 1024;

/// Which machine, and where its credentials go.
#[derive(Debug, Clone)]
pub struct NodeRequest {
    /// The name under which it will be known, a DNS name in lower case.
    pub node: String,
    /// Its addresses, for its serving certificate.
    pub addresses: Vec<IpAddr>,
    /// The API server as the node reaches it (https URL); the control plane's advertised address when absent.
    pub server: Option<String>,
    /// A directory that is made, or replaced whole when it holds such credentials.
    pub output: PathBuf,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no such control plane.
    #[error(transparent)]
    State(#[from] StateError),
    /// The name means somebody else.
    #[error("{name:?} is an instance of this control plane: give the node another name")]
    NameTaken {
        /// What was given.
        name: String,
    },
    /// The name is none.
    #[error("{name:?} cannot be a node's name: use lower-case letters, digits, - and .")]
    Name {
        /// What was given.
        name: String,
    },
    /// The output directory is something else.
    #[error("{} is there and holds no node credentials: give a directory that is not there yet", path.display())]
    OutputTaken {
        /// The directory.
        path: PathBuf,
    },
    /// The caller cannot be made known.
    #[error(transparent)]
    Caller(#[from] RegistryError),
    /// The certificate-authority gives nothing.
    #[error("no {profile} certificate for {node}; does the control plane run?")]
    Request {
        /// For which leaf.
        profile: Profile,
        /// For which node.
        node: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The files that are written, all with mode 0600.
pub mod node_files {
    /// kubelet's kubeconfig; its paths are relative to it.
    pub const KUBELET_KUBECONFIG: &str = "kubelet.kubeconfig";
    /// kube-proxy's kubeconfig; its paths are relative to it.
    pub const KUBE_PROXY_KUBECONFIG: &str = "kube-proxy.kubeconfig";
    /// kubelet's client certificate, `system:node:NAME`.
    pub const KUBELET_CLIENT_CERTIFICATE: &str = "kubelet-client.crt";
    /// Its key.
    pub const KUBELET_CLIENT_KEY: &str = "kubelet-client.key";
    /// For kubelet's `tlsCertFile`.
    pub const KUBELET_SERVING_CERTIFICATE: &str = "kubelet-serving.crt";
    /// For kubelet's `tlsPrivateKeyFile`.
    pub const KUBELET_SERVING_KEY: &str = "kubelet-serving.key";
    /// kube-proxy's client certificate.
    pub const KUBE_PROXY_CLIENT_CERTIFICATE: &str = "kube-proxy-client.crt";
    /// Its key.
    pub const KUBE_PROXY_CLIENT_KEY: &str = "kube-proxy-client.key";
    /// The cluster's CA, also for kubelet's `clientCAFile`.
    pub const CLUSTER_AUTHORITY: &str = "cluster.crt";
}

/// Asks the running control plane's certificate-authority for a node's leaves and writes them.
pub async fn node_credentials(
    paths: &StatePaths,
    name: &ClusterName,
    request: &NodeRequest,
) -> Result<(), NodeError> {
    let manifest = read_manifest(paths, name)?;
    let plan = Plan::recorded(&manifest, paths);
    let caller = caller(&plan, request)?;
    may_replace(&request.output)?;
    let token_directory = paths.instance(&caller.instance);
    let token_file = paths.caller_token(&caller.instance);
    let now = OffsetDateTime::now_utc();
    caller_identity::enrol(&paths.callers(), &caller, &token_file, now, TOKEN_LIFETIME)?;
    let bundle = paths.trust().join(Authority::Cluster.bundle());
    let client = AuthorityClient::new(&authority_url(&plan), &token_file, &bundle);
    let leaves = leaves(&client, &caller.instance).await;
    // Worthless from here on, whatever came of it.
    caller_identity::forget(&paths.callers(), &caller.instance)?;
    let _only_a_worthless_token_is_left = std::fs::remove_dir_all(&token_directory);
    let mut contents = leaves?;
    contents.push((
        node_files::CLUSTER_AUTHORITY.to_owned(),
        durable_files::read_limited(&bundle, LARGEST_BUNDLE)?,
    ));
    let server = request.server.clone().unwrap_or_else(|| {
        let address = manifest.settings.advertise_address.unwrap_or(crate::plan::LOOPBACK);
        format!("https://{}", std::net::SocketAddr::new(address, manifest.settings.port))
    });
    contents.extend(kubeconfigs(name, &server, &caller.instance));
    Ok(replace_directory(&request.output, &contents)?)
}

fn caller(plan: &Plan, request: &NodeRequest) -> Result<Caller, NodeError> {
    let name = request.node.clone();
    match name.parse() {
        Ok(LeafName::Dns(parsed)) if parsed == name => {}
        _ => return Err(NodeError::Name { name }),
    }
    // A second caller of this name would take the instance's token away.
    if name == SELF || plan.instances.iter().any(|instance| instance.name == name) {
        return Err(NodeError::NameTaken { name });
    }
    let names = request.addresses.iter().copied().map(LeafName::Ip).collect();
    Ok(Caller { component: Component::Node, instance: name, names })
}

fn may_replace(output: &Path) -> Result<(), NodeError> {
    let ours = |path: &Path| path.join(node_files::KUBELET_KUBECONFIG).is_file();
    if output.exists() && !ours(output) {
        return Err(NodeError::OutputTaken { path: output.to_owned() });
    }
    Ok(())
}

fn authority_url(plan: &Plan) -> String {
    let authority = plan
        .instances
        .iter()
        .find(|instance| instance.component == Component::CertificateAuthority)
        .map(|instance| instance.listener(PortUse::Secure).to_string());
    format!("https://{}", authority.unwrap_or_default())
}

async fn leaves(client: &AuthorityClient, node: &str) -> Result<Vec<(String, Vec<u8>)>, NodeError> {
    let mut contents = Vec::new();
    for (profile, certificate, key) in [
        (Profile::NodeClient, node_files::KUBELET_CLIENT_CERTIFICATE, node_files::KUBELET_CLIENT_KEY),
        (Profile::NodeServing, node_files::KUBELET_SERVING_CERTIFICATE, node_files::KUBELET_SERVING_KEY),
        (
            Profile::KubeProxyClient,
            node_files::KUBE_PROXY_CLIENT_CERTIFICATE,
            node_files::KUBE_PROXY_CLIENT_KEY,
        ),
    ] {
        let leaf = client.issue(profile).await.map_err(|source| NodeError::Request {
            profile,
            node: node.to_owned(),
            source,
        })?;
        contents.push((certificate.to_owned(), leaf.certificate_pem.into_bytes()));
        contents.push((key.to_owned(), leaf.key_pem.into_bytes()));
    }
    Ok(contents)
}

fn kubeconfigs(name: &ClusterName, server: &str, node: &str) -> [(String, Vec<u8>); 2] {
    let render = |user: &str, certificate: &str, key: &str| {
        let paths = CredentialPaths {
            certificate_authority: Path::new(node_files::CLUSTER_AUTHORITY),
            client_certificate: Path::new(certificate),
            client_key: Path::new(key),
        };
        let server = kubeconfig::Server { url: server, name: None };
        kubeconfig::render_with_files(name.as_str(), server, user, &paths).into_bytes()
    };
    [
        (
            node_files::KUBELET_KUBECONFIG.to_owned(),
            render(
                &format!("{}{node}", identities::NODE_USER_PREFIX),
                node_files::KUBELET_CLIENT_CERTIFICATE,
                node_files::KUBELET_CLIENT_KEY,
            ),
        ),
        (
            node_files::KUBE_PROXY_KUBECONFIG.to_owned(),
            render(
                identities::KUBE_PROXY_USER,
                node_files::KUBE_PROXY_CLIENT_CERTIFICATE,
                node_files::KUBE_PROXY_CLIENT_KEY,
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(node: &str) -> NodeRequest {
        NodeRequest {
            node: node.to_owned(),
            addresses: vec!["192.0.2.7".parse().unwrap()],
            server: None,
            output: PathBuf::new(),
        }
    }

    fn plan() -> Plan {
        let paths = StatePaths::new("/state".into());
        let requested =
            crate::Requested { components: Some("/components".into()), ..crate::Requested::default() };
        Plan::new(&crate::Blueprint {
            name: &"local".parse().unwrap(),
            settings: &requested.settle(None).unwrap(),
            block: crate::PortBlock::candidates("local").next().unwrap(),
            paths: &paths,
            supervisors: Path::new("/supervisors"),
            extras: &crate::Extras::default(),
        })
    }

    #[test]
    fn nobody_becomes_a_node_under_the_name_of_an_instance() {
        for taken in ["etcd-0", "kube-apiserver-1", SELF] {
            assert!(matches!(caller(&plan(), &request(taken)), Err(NodeError::NameTaken { .. })), "{taken}");
        }
        for wrong in ["Node-1", "a/b", "..", "192.0.2.7", ""] {
            assert!(matches!(caller(&plan(), &request(wrong)), Err(NodeError::Name { .. })), "{wrong}");
        }
        let known = caller(&plan(), &request("node-1.example")).unwrap();
        assert_eq!(known.component, Component::Node);
        assert_eq!(known.names, ["192.0.2.7".parse().unwrap()]);
    }

    #[test]
    fn what_is_no_credentials_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(may_replace(directory.path()), Err(NodeError::OutputTaken { .. })));
        durable_files::write_private(&directory.path().join(node_files::KUBELET_KUBECONFIG), b"{}").unwrap();
        may_replace(directory.path()).unwrap();
        may_replace(&directory.path().join("absent")).unwrap();
    }
}
