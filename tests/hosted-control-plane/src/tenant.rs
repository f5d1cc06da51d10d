//! A namespace with the restricted Pod Security Standard enforced, and somebody who holds the built-in role `admin` in it
//! and nothing else. Refuses to act as the cluster's administrator once that is set up.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::Kubeconfig;
use serde_json::json;

/// His name.
const NAME: &str = "tenant";

/// Who installs releases.
pub struct Tenant {
    namespace: String,
    kubeconfig: PathBuf,
    administrator: kube::Client,
    directory: tempfile::TempDir,
}

impl Tenant {
    /// Makes the namespace and the tenant, with the cluster's administrator's kubeconfig.
    pub async fn new(administrators: &Path, namespace: &str) -> Self {
        let administrator = end_to_end::client(administrators).await;
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let object = json!({"metadata": {"name": namespace, "labels": labels}});
        create::<Namespace>(&Api::all(administrator.clone()), object).await;
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let tenant = Self { namespace: namespace.to_owned(), kubeconfig, administrator, directory };
        let token = tenant.account(NAME, "ClusterRole", "admin").await;
        write_kubeconfig(&tenant.kubeconfig, administrators, namespace, &token);
        tenant
    }

    /// The kubeconfig of somebody else who may do in the namespace what these rules say, and nothing else.
    pub async fn visitor(&self, name: &str, rules: serde_json::Value) -> PathBuf {
        create(&self.objects::<Role>(), json!({"metadata": {"name": name}, "rules": rules})).await;
        let token = self.account(name, "Role", name).await;
        let kubeconfig = self.directory.path().join(name);
        write_kubeconfig(&kubeconfig, &self.kubeconfig, &self.namespace, &token);
        kubeconfig
    }

    /// A `ServiceAccount` with a role, and a token of it.
    async fn account(&self, name: &str, kind: &str, role: &str) -> String {
        let accounts = self.objects::<ServiceAccount>();
        create(&accounts, json!({"metadata": {"name": name}})).await;
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
        });
        create(&self.objects::<RoleBinding>(), binding).await;
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(6 * 3600), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
        answer.status.expect("a token").token
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// His kubeconfig; its context is in the namespace.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The cluster's administrator, for looks at what the tenant has no right to see.
    #[must_use]
    pub fn administrator(&self) -> &kube::Client {
        &self.administrator
    }

    /// The namespace's objects of one kind, as the administrator sees them.
    #[must_use]
    pub fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.administrator.clone(), &self.namespace)
    }

    /// Deletes the namespace with all that is in it.
    pub async fn delete(&self) {
        let namespaces: Api<Namespace> = Api::all(self.administrator.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

async fn create<K>(api: &Api<K>, object: serde_json::Value)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let object: K = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// The administrator's kubeconfig with the tenant's token in place of his credentials.
fn write_kubeconfig(path: &Path, administrators: &Path, namespace: &str, token: &str) {
    let read = Kubeconfig::read_from(administrators).unwrap();
    let cluster = read.clusters.first().and_then(|named| named.cluster.clone()).expect("a cluster");
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": namespace}}],
    });
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(kubeconfig.to_string().as_bytes()).unwrap();
}
