//! One release as others meet it: its Pods' tokens, the addresses of its Services, curl from a node.
//! Refuses tokens and keys on command lines: they go into files.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hosted_control_plane::{PodView, Release, Tenant};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use kube::api::PostParams;
use management_cluster::ManagementCluster;
use naming_contract::{Component, ReleaseObjects};

/// A release, and whom it belongs to.
pub(crate) struct Party<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) objects: ReleaseObjects,
    pods: Vec<PodView>,
    cluster: &'a ManagementCluster,
    directory: tempfile::TempDir,
}

impl<'a> Party<'a> {
    pub(crate) async fn new(
        cluster: &'a ManagementCluster,
        tenant: &'a Tenant,
        release: &Release<'_>,
    ) -> Self {
        let objects = release.objects();
        let directory = tempfile::tempdir().unwrap();
        let trust = tenant.objects::<ConfigMap>().get(&objects.trust()).await.unwrap();
        for (name, bundle) in trust.data.unwrap() {
            write(&directory.path().join(name), bundle.as_bytes());
        }
        Self { tenant, objects, pods: release.pods().await, cluster, directory }
    }

    /// `namespace/release`, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.tenant.namespace(), self.objects.release())
    }

    pub(crate) fn audience(&self) -> String {
        self.objects.audience(self.tenant.namespace())
    }

    /// The token that kubelet would mount into the component's Pod; no audience means the API's own.
    pub(crate) async fn token(&self, component: Component, audience: Option<String>) -> String {
        let pod =
            self.pods.iter().find(|pod| pod.component == component.name()).expect("there is such a Pod");
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
        };
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audience.into_iter().collect(),
                bound_object_ref: Some(bound),
                expiration_seconds: Some(3600),
            },
            ..TokenRequest::default()
        };
        let account = self.objects.component(component);
        let accounts = self.tenant.objects::<ServiceAccount>();
        let made = accounts.create_token_request(&account, &PostParams::default(), &request).await.unwrap();
        made.status.unwrap().token
    }

    /// A client of the management cluster with a token of the component's Pod.
    pub(crate) async fn client(&self, component: Component) -> kube::Client {
        let token = self.token(component, None).await;
        let mut kubeconfig: serde_json::Value =
            serde_json::from_slice(&std::fs::read(self.tenant.kubeconfig()).unwrap()).unwrap();
        kubeconfig["users"][0]["user"]["token"] = token.into();
        let path = self.file("pods-kubeconfig", kubeconfig.to_string().as_bytes());
        end_to_end::client(&path).await
    }

    /// curl from a node to a Service of this release, with its bundle of that name: status and body, or why there was no
    /// answer.
    pub(crate) async fn ask(
        &self,
        service: &str,
        port: u16,
        path: &str,
        bundle: &str,
        further: &[&str],
    ) -> Result<(u16, String), String> {
        let found = self.tenant.objects::<Service>().get(service).await.unwrap();
        let address = found.spec.unwrap().cluster_ip.unwrap();
        let host = format!("{service}.{}.svc", self.tenant.namespace());
        let url = format!("https://{host}:{port}{path}");
        let resolve = format!("{host}:{port}:{address}");
        let trusted = self.directory.path().join(bundle).display().to_string();
        let mut line =
            vec!["--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--cacert", &trusted];
        line.extend(["--resolve", &resolve, "--write-out", "\n%{http_code}"]);
        line.extend(further);
        line.push(&url);
        let ran = self.cluster.node_exec(1, "curl", line).await.map_err(|error| error.to_string())?;
        let (body, status) = ran.output.rsplit_once('\n').unwrap();
        Ok((status.parse().unwrap(), body.to_owned()))
    }

    /// A file of 0600 that goes with this.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        write(&path, content);
        path
    }
}

fn write(path: &Path, content: &[u8]) {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(content).unwrap();
}
