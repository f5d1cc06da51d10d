//! A namespace of a management cluster with what a chart would put there, and Pods that are objects only.
//! Refuses rights beyond those of the chart's Role for the certificate-authority.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use end_to_end::{ControlPlane, client, create_namespace};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use naming_contract::{Component, ReleaseObjects};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::authority::Authority;

pub(crate) const AUDIENCE: &[&str] = &["pilothouse.tenants.demo"];

#[derive(Clone)]
pub(crate) struct Tenancy {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    server: String,
    bundle: PathBuf,
}

impl Tenancy {
    /// Namespaces `tenants` and `elsewhere` with the objects of release demo and the accounts of another.
    pub(crate) async fn new(plane: &ControlPlane) -> Self {
        let client = client(&plane.kubeconfig()).await;
        let tenancy = Self {
            client,
            namespace: "tenants".to_owned(),
            server: format!("https://127.0.0.1:{}", plane.port()),
            bundle: plane.state_directory().join("trust/cluster.crt"),
        };
        for there in [&tenancy, &tenancy.elsewhere()] {
            create_namespace(&there.client, &there.namespace).await;
            for component in Component::ALL {
                there.service_account(&ReleaseObjects::of("demo").component(component)).await;
            }
        }
        tenancy.service_account("other-etcd").await;
        tenancy.service_account("stranger").await;
        let anchor = json!({ "metadata": { "name": "demo-anchor" } });
        tenancy.create::<ConfigMap>(anchor).await;
        let service = json!({
            "metadata": { "name": "demo-kube-apiserver" },
            "spec": { "type": "LoadBalancer", "ports": [{ "port": 6443 }] }
        });
        tenancy.create::<Service>(service).await;
        tenancy
    }

    /// The same cluster's other namespace.
    pub(crate) fn elsewhere(&self) -> Self {
        Self { namespace: "elsewhere".to_owned(), ..self.clone() }
    }

    /// The rights of the chart's Role, bound to the release's certificate-authority.
    pub(crate) async fn grant(&self, release: &str) {
        let name = |suffix: &str| format!("{release}-{suffix}");
        let names = |suffixes: &[&str]| suffixes.iter().map(|suffix| name(suffix)).collect::<Vec<_>>();
        let allow = |resource: &str, names: Vec<String>, verbs: &[&str]| {
            let mut rule = json!({ "apiGroups": [""], "resources": [resource], "verbs": verbs });
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            rule
        };
        let secrets = names(&[
            "ca-cluster",
            "ca-etcd",
            "ca-etcd-peer",
            "ca-front-proxy",
            "keys-service-account",
            "keys-encryption",
            "kubeconfig",
        ]);
        let accounts = Component::ALL.map(|component| ReleaseObjects::of(release).component(component));
        let own = name("certificate-authority");
        let role = json!({ "metadata": { "name": own }, "rules": [
            allow("secrets", secrets, &["get", "create", "patch", "update", "watch"]),
            allow("configmaps", names(&["trust", "anchor"]), &["get", "create", "patch", "update"]),
            allow("configmaps", names(&["etcd-record"]), &["get", "update"]),
            allow("configmaps", names(&["trust"]), &["get", "watch"]),
            allow("pods", Vec::new(), &["get", "list"]),
            allow("serviceaccounts", accounts.to_vec(), &["get"]),
            allow("services", names(&["kube-apiserver"]), &["get", "watch"]),
        ] });
        let binding = json!({
            "metadata": { "name": own },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": own },
            "subjects": [{ "kind": "ServiceAccount", "name": own, "namespace": self.namespace }]
        });
        self.create::<Role>(role).await;
        self.create::<RoleBinding>(binding).await;
    }

    /// The state of a namespace in which the release never was.
    pub(crate) async fn forget_everything(&self) {
        let (all, now) = (ListParams::default(), DeleteParams::default());
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets.delete_collection(&now, &all).await.unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        maps.delete("demo-trust", &now).await.unwrap();
    }

    /// A certificate-authority whose Pod has this ordinal.
    pub(crate) async fn authority(&self, ordinal: u32, arguments: &[&str]) -> Authority {
        self.authority_with(ordinal, arguments, &[]).await
    }

    pub(crate) async fn authority_with(
        &self,
        ordinal: u32,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Authority {
        let account = "demo-certificate-authority";
        let pod = self.pod(&format!("{account}-{ordinal}"), account).await;
        let token = self.token(&pod, &[]).await;
        let bundle = std::fs::read_to_string(&self.bundle).unwrap();
        Authority::start(self, &self.server, &pod, &token, &bundle, arguments, environment)
    }

    pub(crate) async fn service_account(&self, name: &str) {
        self.create::<ServiceAccount>(json!({ "metadata": { "name": name } })).await;
    }

    /// A Pod object; one that is there already is taken.
    pub(crate) async fn pod(&self, name: &str, account: &str) -> Pod {
        self.create::<Pod>(json!({
            "metadata": { "name": name },
            "spec": {
                "serviceAccountName": account,
                "automountServiceAccountToken": false,
                "containers": [{ "name": "it", "image": "registry.example.com/it" }]
            }
        }))
        .await
    }

    /// The token that kubelet would mount into the Pod; no audience means the API's own.
    pub(crate) async fn token(&self, pod: &Pod, audiences: &[&str]) -> String {
        let account = pod.spec.as_ref().unwrap().service_account_name.as_deref().unwrap();
        let reference = json!({
            "apiVersion": "v1", "kind": "Pod",
            "name": pod.metadata.name, "uid": pod.metadata.uid
        });
        self.request_token(account, audiences, Some(reference)).await
    }

    pub(crate) async fn unbound_token(&self, account: &str, audiences: &[&str]) -> String {
        self.request_token(account, audiences, None).await
    }

    async fn request_token(&self, account: &str, audiences: &[&str], bound: Option<Value>) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let request: TokenRequest = serde_json::from_value(json!({ "spec": {
            "audiences": audiences, "expirationSeconds": 3600, "boundObjectRef": bound
        } }))
        .unwrap();
        let made = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        made.status.unwrap().token
    }

    /// Puts a finalizer on the Pod, so that it stays while it is being deleted.
    pub(crate) async fn hold(&self, pod: &Pod) {
        self.patch_pod(pod, json!({ "metadata": { "finalizers": ["example.com/hold"] } })).await;
    }

    pub(crate) async fn let_go(&self, pod: &Pod) {
        self.patch_pod(pod, json!({ "metadata": { "finalizers": null } })).await;
    }

    pub(crate) async fn start_deletion(&self, pod: &Pod) {
        self.pods().delete(pod.metadata.name.as_deref().unwrap(), &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn delete(&self, pod: &Pod) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods().delete(pod.metadata.name.as_deref().unwrap(), &now).await.unwrap();
    }

    /// What kubelet writes when the containers have ended for good.
    pub(crate) async fn end(&self, pod: &Pod) {
        let status = json!({ "status": { "phase": "Failed" } });
        let name = pod.metadata.name.as_deref().unwrap();
        self.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    /// Puts a Secret back as a person does from a backup.
    pub(crate) async fn restore(&self, mut secret: Secret) {
        secret.metadata.uid = None;
        secret.metadata.resource_version = None;
        secret.metadata.managed_fields = None;
        self.create::<Secret>(serde_json::to_value(&secret).unwrap()).await;
    }

    /// A published trust bundle.
    pub(crate) async fn bundle(&self, name: &str) -> String {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        maps.get("demo-trust").await.unwrap().data.unwrap()[name].clone()
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn patch_pod(&self, pod: &Pod, patch: Value) {
        let name = pod.metadata.name.as_deref().unwrap();
        self.pods().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Creates an object; one that is there already is given back.
    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        let objects: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        match objects.create(&PostParams::default(), &object).await {
            Ok(made) => made,
            Err(kube::Error::Api(status)) if status.code == 409 => {
                objects.get(object.meta().name.as_deref().unwrap()).await.unwrap()
            }
            Err(error) => panic!("cannot create {object:?}: {error}"),
        }
    }
}

pub(crate) fn decode(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}
