//! The floor: the very same components as plain Pods with kubeadm's flags and probes, and nobody above them. Their
//! certificates are made and in Secrets before the clock starts; helm installs the rest, as it installs ours.
//! Refuses to be made slower, or faster, than what somebody would write by hand: departures from kubeadm are in `flags`.

mod certificates;
mod flags;
mod images;
mod workloads;

use anyhow::{Context as _, Result};
use hosted_control_plane::{Helm, Release, Tenant};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use naming_contract::objects::KUBECONFIG_KEY;
use naming_contract::{Component, ReleaseObjects};
use serde_json::{Value, json};

pub(crate) use flags::ETCD_HEALTH_PORT;
pub(crate) use images::Images;

/// Its release.
const NAME: &str = "floor";
/// As many as values-ha has of upstream's components.
pub(crate) const PODS: usize = 3 + 2 + 2 + 2;
const MEMBERS: usize = 3;
const REPLICAS: u32 = 2;
const PKI: &str = "floor-pki";
const ETCD_PKI: &str = "floor-etcd-pki";
const KUBECONFIGS: &str = "floor-kubeconfigs";

/// The floor in one namespace, ready to be installed.
pub(crate) struct Floor {
    chart: tempfile::TempDir,
}

/// Who is called what.
struct Names<'a> {
    namespace: &'a str,
}

impl Names<'_> {
    fn component(component: Component) -> String {
        ReleaseObjects::of(NAME).component(component)
    }

    /// DNS name of the API servers' Service.
    fn api_servers(&self) -> String {
        format!("{}.{}.svc", Self::component(Component::KubeApiserver), self.namespace)
    }

    /// Name and DNS name of each member of etcd.
    fn members(&self) -> impl Iterator<Item = (String, String)> {
        let service = Self::component(Component::Etcd);
        (0..MEMBERS).map(move |ordinal| {
            let name = format!("{service}-{ordinal}");
            let host = format!("{name}.{service}.{}.svc", self.namespace);
            (name, host)
        })
    }
}

impl Floor {
    /// Makes certificates, Secrets and the chart.
    pub(crate) async fn prepare(tenant: &Tenant, images: &Images) -> Result<Self> {
        let names = Names { namespace: tenant.namespace() };
        let pki = certificates::make(&names).context("cannot make the floor's certificates")?;
        let administrators = ReleaseObjects::of(NAME).kubeconfig();
        for (secret, files) in [
            (PKI, json!(pki.cluster)),
            (ETCD_PKI, json!(pki.etcd)),
            (KUBECONFIGS, json!(pki.kubeconfigs)),
            (administrators.as_str(), json!({ KUBECONFIG_KEY: pki.administrator })),
        ] {
            let object: Secret =
                serde_json::from_value(json!({ "metadata": { "name": secret }, "stringData": files }))?;
            tenant
                .objects::<Secret>()
                .create(&PostParams::default(), &object)
                .await
                .with_context(|| format!("cannot create Secret {secret}"))?;
        }
        let chart = tempfile::tempdir()?;
        let templates = chart.path().join("templates");
        std::fs::create_dir(&templates)?;
        let about = json!({ "apiVersion": "v2", "name": NAME, "version": "0.0.0" });
        durable_files::write_public(&chart.path().join("Chart.yaml"), about.to_string().as_bytes())?;
        let objects: Vec<String> = workloads::all(&names, images).iter().map(Value::to_string).collect();
        // JSON is YAML, and never holds the braces that begin helm's own language.
        durable_files::write_public(&templates.join("objects.yaml"), objects.join("\n---\n").as_bytes())?;
        Ok(Self { chart })
    }

    /// Its release, not installed yet.
    pub(crate) fn release<'a>(&self, tenant: &'a Tenant, helm: &'a Helm) -> Release<'a> {
        Release::new(tenant, helm, NAME, &[]).from_chart(self.chart.path())
    }
}
