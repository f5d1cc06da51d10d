//! One release of the chart in a tenant's namespace: installed, watched, uninstalled, always by the tenant.
//! Refuses to wait without a limit, and to forget what it last saw.

use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::eventually;
use k8s_openapi::api::core::v1::Pod;
use naming_contract::ReleaseObjects;
use tokio::time::Instant;

use crate::helm::{Helm, Told, chart};
use crate::pods::{PodView, pod_views};
use crate::tenant::Tenant;

/// helm itself takes seconds; what it waits for with `--wait` is limited by its own flag.
const HELM_LIMIT: Duration = Duration::from_secs(300);

/// A release, installed or to be installed.
pub struct Release<'a> {
    tenant: &'a Tenant,
    helm: &'a Helm,
    name: String,
    chart: PathBuf,
    values: Vec<String>,
}

impl<'a> Release<'a> {
    /// A release that is not installed yet; `values` are further arguments of helm (`--set=…`, `--values=…`).
    #[must_use]
    pub fn new(tenant: &'a Tenant, helm: &'a Helm, name: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Self { tenant, helm, name: name.to_owned(), chart: chart(), values }
    }

    /// The same from another chart than this checkout's `hosted-control-plane`.
    #[must_use]
    pub fn from_chart(mut self, chart: impl Into<PathBuf>) -> Self {
        self.chart = chart.into();
        self
    }

    /// The values of a file of the chart.
    #[must_use]
    pub fn values_file(name: &str) -> String {
        format!("--values={}", chart().join(name).display())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.tenant.namespace()
    }

    /// The names of its objects.
    #[must_use]
    pub fn objects(&self) -> ReleaseObjects {
        ReleaseObjects::of(&self.name)
    }

    /// Installs it; returns as soon as helm does.
    pub async fn install(&self) -> Told {
        self.helm.succeeds(&self.line("install"), HELM_LIMIT).await
    }

    /// Installs it where that must fail.
    pub async fn install_refused(&self) -> String {
        let told = self.helm.run(&self.line("install"), HELM_LIMIT).await;
        assert!(!told.succeeded, "{} was installed: {}", self.name, told.output);
        told.errors
    }

    /// Upgrades it to another chart, or to further values.
    pub async fn upgrade(&self, chart: &Path, values: &[&str]) -> Told {
        let chart = chart.display().to_string();
        let mut line =
            vec!["upgrade", self.name.as_str(), chart.as_str(), "--namespace", self.tenant.namespace()];
        line.extend(self.values.iter().map(String::as_str));
        line.extend(values);
        self.helm.succeeds(&line, HELM_LIMIT).await
    }

    /// `helm rollback`, to the revision before the last.
    pub async fn roll_back(&self) -> Told {
        let line = ["rollback", &self.name, "--namespace", self.tenant.namespace()];
        self.helm.succeeds(&line, HELM_LIMIT).await
    }

    /// `helm test`.
    pub async fn test(&self) -> Told {
        let line = ["test", &self.name, "--namespace", self.tenant.namespace(), "--timeout=180s"];
        self.helm.run(&line, HELM_LIMIT).await
    }

    /// `helm uninstall --wait`.
    pub async fn uninstall(&self) -> Told {
        let line =
            ["uninstall", &self.name, "--namespace", self.tenant.namespace(), "--wait", "--timeout=180s"];
        self.helm.succeeds(&line, HELM_LIMIT).await
    }

    /// Its Pods.
    pub async fn pods(&self) -> Vec<PodView> {
        let pods = self.tenant.objects::<Pod>();
        let mut views = pod_views(&pods, &self.name).await;
        views.retain(|view| view.name != format!("{}-test", self.name));
        views
    }

    /// Waits until `count` Pods are there and all are Ready; gives how long that took.
    pub async fn until_ready(&self, count: usize, limit: Duration) -> Duration {
        let began = Instant::now();
        eventually(&format!("{count} Pods of {} are Ready", self.name), limit, async || {
            let pods = self.pods().await;
            let ready = pods.iter().filter(|pod| pod.ready && !pod.going).count();
            if ready == count && pods.len() == count { Ok(()) } else { Err(summary(&pods)) }
        })
        .await;
        began.elapsed()
    }

    fn line(&self, verb: &str) -> Vec<String> {
        let mut line = vec![
            verb.to_owned(),
            self.name.clone(),
            self.chart.display().to_string(),
            "--namespace".to_owned(),
            self.tenant.namespace().to_owned(),
        ];
        line.extend(self.values.iter().cloned());
        line
    }
}

/// Pods as one short line each.
fn summary(pods: &[PodView]) -> Vec<String> {
    let line = |pod: &PodView| {
        let state = if pod.ready { "ready" } else { "not ready" };
        format!("{} {state} restarts={} {}", pod.name, pod.restarts, pod.waiting.join(","))
    };
    pods.iter().map(line).collect()
}
