//! A management cluster without nodes, and what kubelet and the chart would give a Pod: credentials, rights, a name.
//! Its certificate-authority is the one of `pilothouse up`; its bundles are copied into the ConfigMap by hand.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caller_identity::Caller;
use end_to_end::{ControlPlane, client, create_namespace, processes_of, shell};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use management_api::{ManagementApi, ManagementArguments};
use naming_contract::Component;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

pub(crate) const NAMESPACE: &str = "tenants";

pub(crate) struct Hosting {
    pub(crate) plane: ControlPlane,
    pub(crate) client: Client,
    directory: TempDir,
    authority: String,
}

impl Hosting {
    /// In network and mount namespaces of our own: names are resolved by a file of ours.
    pub(crate) async fn new(arguments: &[&str]) -> Self {
        let directory = TempDir::with_prefix("pilothouse-hosting-").unwrap();
        let hosts = directory.path().join("hosts");
        write(&hosts, "127.0.0.1 localhost\n");
        shell(&format!("ip link set lo up; mount --bind {} /etc/hosts", hosts.display())).await;
        let sizes = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];
        let plane = ControlPlane::ready(&[&sizes, arguments].concat()).await;
        let client = client(&plane.kubeconfig()).await;
        create_namespace(&client, NAMESPACE).await;
        let authority = flag_of_anybody(&plane.state_directory(), "--authority-url");
        Self { plane, client, directory, authority }
    }

    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.plane.port())
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Where a Pod's volumes lie.
    pub(crate) fn home(&self, pod: &str) -> PathBuf {
        self.directory.path().join(pod)
    }

    /// One more line for the resolver.
    pub(crate) fn resolve(&self, name: &str, address: &str) {
        let hosts = self.directory.path().join("hosts");
        let mut file = std::fs::File::options().append(true).open(hosts).unwrap();
        writeln!(file, "{address} {name}").unwrap();
    }

    /// Files by which a Pod proves itself to the management API, and to the certificate-authority as `component`.
    pub(crate) async fn admit(&self, pod: &str, account: &str, component: Component, names: &[&str]) {
        let credentials = self.home(pod).join("credentials");
        std::fs::create_dir_all(&credentials).unwrap();
        let bundle = std::fs::read_to_string(self.plane.state_directory().join("trust/cluster.crt")).unwrap();
        write(&credentials.join("ca.crt"), &bundle);
        write(&credentials.join("namespace"), NAMESPACE);
        write(&credentials.join("token"), &self.token(account).await);
        let caller = Caller {
            component,
            instance: pod.to_owned(),
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
        };
        caller_identity::enrol(
            &self.plane.state_directory().join("callers"),
            &caller,
            &self.home(pod).join("caller-token"),
            OffsetDateTime::now_utc(),
            Duration::from_secs(24 * 3600),
        )
        .unwrap();
    }

    /// The API as `pod` sees it.
    pub(crate) fn api_of(&self, pod: &str) -> ManagementApi {
        let arguments = ManagementArguments {
            management_api_server: Some(self.server()),
            management_credentials: self.home(pod).join("credentials"),
        };
        arguments.connect().unwrap()
    }

    /// A ServiceAccount with the rights that the chart gives it.
    pub(crate) async fn account(&self, name: &str, rules: &[(&str, &str, &str, &[&str])]) {
        let rules: Vec<Value> = rules
            .iter()
            .map(|(group, resource, object, verbs)| {
                json!({ "apiGroups": [group], "resources": [resource], "resourceNames": [object], "verbs": verbs })
            })
            .collect();
        self.create::<ServiceAccount>(json!({ "metadata": { "name": name } })).await;
        self.create::<Role>(json!({ "metadata": { "name": name }, "rules": rules })).await;
        self.create::<RoleBinding>(json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE }]
        }))
        .await;
    }

    /// The bundles as the certificate-authority would publish them, `etcd.crt` with something more at its end.
    pub(crate) async fn publish_trust(&self, more: &str) {
        let trust = self.plane.state_directory().join("trust");
        let mut data = serde_json::Map::new();
        for bundle in ["cluster.crt", "etcd.crt", "etcd-peer.crt", "front-proxy.crt"] {
            let mut text = std::fs::read_to_string(trust.join(bundle)).unwrap();
            if bundle == "etcd.crt" {
                text.push_str(more);
            }
            data.insert(bundle.to_owned(), text.into());
        }
        let maps: Api<ConfigMap> = self.objects();
        let anchor = match maps.get_opt("demo-anchor").await.unwrap() {
            Some(anchor) => anchor,
            None => self.create::<ConfigMap>(json!({ "metadata": { "name": "demo-anchor" } })).await,
        };
        let owner = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "name": "demo-anchor", "uid": anchor.metadata.uid
        });
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": { "name": "demo-trust", "ownerReferences": [owner] }
        });
        maps.patch("demo-trust", &PatchParams::apply("test"), &Patch::Apply(&map)).await.unwrap();
    }

    pub(crate) fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        self.objects().create(&PostParams::default(), &object).await.unwrap()
    }

    async fn token(&self, account: &str) -> String {
        let request = json!({
            "metadata": {},
            "spec": { "audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600 }
        });
        let request: TokenRequest = serde_json::from_value(request).unwrap();
        let accounts: Api<ServiceAccount> = self.objects();
        let issued = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        issued.status.unwrap().token
    }
}

/// A flag of some supervisor of `pilothouse up`; it is the same for all of them.
fn flag_of_anybody(state_directory: &Path, flag: &str) -> String {
    let lines = processes_of(state_directory);
    let value = lines.iter().find_map(|(_, line)| line.split_once(flag)?.1.split_whitespace().next());
    value.unwrap_or_else(|| panic!("nobody has {flag}: {lines:?}")).to_owned()
}

fn write(path: &Path, content: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}
