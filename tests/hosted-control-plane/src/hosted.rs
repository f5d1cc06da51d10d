//! The hosted control plane as its clients see it: with the administrator's kubeconfig from its Secret, through its
//! Service, from a node of the management cluster. Refuses to reach into Pods.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{component, eventually};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::config::{KubeConfigOptions, Kubeconfig};
use management_cluster::ManagementCluster;
use naming_contract::Component;
use naming_contract::objects::KUBECONFIG_KEY;

use crate::release::Release;
use crate::tenant::Tenant;

/// A hosted control plane and where its clients sit.
pub struct Hosted<'a> {
    cluster: &'a ManagementCluster,
    directory: tempfile::TempDir,
    server: String,
    server_name: String,
}

impl<'a> Hosted<'a> {
    /// Waits for the kubeconfig's Secret and the Service's address.
    pub async fn new(
        cluster: &'a ManagementCluster,
        tenant: &Tenant,
        release: &Release<'_>,
        limit: Duration,
    ) -> Self {
        let objects = release.objects();
        let kubeconfig = eventually("the administrator's kubeconfig is there", limit, async || {
            kept_kubeconfig(tenant, release).await
        })
        .await;
        let service_name = objects.component(Component::KubeApiserver);
        let service = tenant.objects::<Service>().get(&service_name).await.unwrap();
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("the Service has an address");
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("kubeconfig"), &kubeconfig);
        Self { cluster, directory, server: format!("https://{address}:6443"), server_name: service_name }
    }

    /// Takes the kubeconfig from its Secret again, if it is another one by now; whoever follows the file gets it at once.
    pub async fn fetch_again(&self, tenant: &Tenant, release: &Release<'_>) {
        let Ok(kubeconfig) = kept_kubeconfig(tenant, release).await else { return };
        if std::fs::read(self.kubeconfig()).unwrap() != kubeconfig {
            self.hand_out(&kubeconfig);
        }
    }

    /// Puts another kubeconfig in the place of the one that was fetched.
    pub fn hand_out(&self, kubeconfig: &[u8]) {
        let next = self.directory.path().join("next");
        write(&next, kubeconfig);
        std::fs::rename(next, self.kubeconfig()).unwrap();
    }

    /// Its administrator's kubeconfig, as the Secret held it when it was fetched.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// URL of its Service, for who sits on a node.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The name in its certificate.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// What a client in a [node's network](crate::NodeNetwork) needs to be the administrator, through the Service.
    pub async fn configuration(&self) -> kube::Config {
        let mut kubeconfig = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let cluster = kubeconfig.clusters.first_mut().and_then(|named| named.cluster.as_mut());
        let cluster = cluster.expect("the kubeconfig names a cluster");
        cluster.server = Some(self.server.clone());
        cluster.tls_server_name = Some(self.server_name.clone());
        let options = KubeConfigOptions::default();
        let mut configuration = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        // kube would repeat 429, 503 and 504 in silence.
        configuration.default_retry = false;
        configuration
    }

    /// Runs kubectl on a node, through the Service.
    pub async fn kubectl(&self, node: u8, arguments: &[&str]) -> Result<String, String> {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig().display());
        let server = format!("--server={}", self.server);
        let name = format!("--tls-server-name={}", self.server_name);
        let mut line = vec![kubeconfig.as_str(), server.as_str(), name.as_str(), "--request-timeout=10s"];
        line.extend(arguments);
        let ran = self.cluster.node_exec(node, component("kubectl"), line).await;
        ran.map(|ran| ran.output).map_err(|error| error.to_string())
    }

    /// Applies objects, given as JSON.
    pub async fn apply(&self, node: u8, objects: &serde_json::Value) {
        let file = self.directory.path().join("objects.json");
        write(&file, objects.to_string().as_bytes());
        let file = format!("--filename={}", file.display());
        self.kubectl(node, &["apply", "--server-side", &file]).await.unwrap();
    }
}

async fn kept_kubeconfig(tenant: &Tenant, release: &Release<'_>) -> Result<Vec<u8>, String> {
    let secrets = tenant.objects::<Secret>();
    let secret = secrets.get_opt(&release.objects().kubeconfig()).await.map_err(|error| error.to_string())?;
    let data = secret.and_then(|secret| secret.data?.remove(KUBECONFIG_KEY));
    data.map(|bytes| bytes.0).ok_or_else(|| "no such Secret".to_owned())
}

fn write(path: &Path, bytes: &[u8]) {
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
