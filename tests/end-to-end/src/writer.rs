//! A steady client: writes numbered ConfigMaps, remembers which were acknowledged, reads all of them back at the end.
//! No hidden retries: every failure is counted with its kind, and so is the longest gap without a success.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A writer at work.
pub struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Report>,
    credentials: Credentials,
    namespace: String,
}

/// By what a writer is known.
#[derive(Clone)]
enum Credentials {
    Fixed(Client),
    /// Read anew when the file is another, as somebody does who is given a new one.
    In(PathBuf),
    /// Read anew for every so many writes, as commands do that end: each time a new connection and a new handshake.
    Often(PathBuf, u64),
}

impl Credentials {
    async fn client(&self) -> Client {
        match self {
            Self::Fixed(client) => client.clone(),
            Self::In(kubeconfig) | Self::Often(kubeconfig, _) => crate::client(kubeconfig).await,
        }
    }

    fn is_used_up_after(&self, writes: u64) -> bool {
        matches!(self, Self::Often(_, every) if writes.is_multiple_of(*every))
    }

    /// What they are now, where they may change.
    fn stamp(&self) -> Option<Vec<u8>> {
        match self {
            Self::Fixed(_) | Self::Often(..) => None,
            Self::In(kubeconfig) => std::fs::read(kubeconfig).ok(),
        }
    }
}

/// What a writer saw.
#[derive(Debug, Default)]
pub struct Report {
    /// Names whose creation was acknowledged.
    pub acknowledged: Vec<String>,
    /// Failed writes by kind.
    pub failed: BTreeMap<String, u32>,
    /// Names whose creation failed.
    pub failed_names: Vec<String>,
    /// How many of the failed were done nevertheless, so that only the answer was lost.
    pub done_nevertheless: usize,
    /// The longest time between two successes.
    pub longest_gap: Duration,
}

impl Writer {
    /// Begins to write into `namespace`, one write after the other, `pause` between them.
    #[must_use]
    pub fn start(client: Client, namespace: &str, pause: Duration) -> Self {
        Self::with(Credentials::Fixed(client), namespace, pause)
    }

    /// The same with a kubeconfig, which it follows.
    #[must_use]
    pub fn following(kubeconfig: &Path, namespace: &str, pause: Duration) -> Self {
        Self::with(Credentials::In(kubeconfig.to_owned()), namespace, pause)
    }

    /// The same with a new connection for every so many writes.
    #[must_use]
    pub fn reconnecting(kubeconfig: &Path, every: u64, namespace: &str, pause: Duration) -> Self {
        Self::with(Credentials::Often(kubeconfig.to_owned(), every), namespace, pause)
    }

    fn with(credentials: Credentials, namespace: &str, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, own, own_namespace) = (Arc::clone(&stop), credentials.clone(), namespace.to_owned());
        let task = tokio::spawn(async move {
            let mut stamp = own.stamp();
            let mut maps: Api<ConfigMap> = Api::namespaced(own.client().await, &own_namespace);
            let mut report = Report::default();
            let mut last_success = Instant::now();
            let mut number = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                number += 1;
                let now = own.stamp();
                if now != stamp || own.is_used_up_after(number) {
                    stamp = now;
                    maps = Api::namespaced(own.client().await, &own_namespace);
                }
                let name = format!("write-{number}");
                let map = ConfigMap {
                    metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
                    data: Some([("number".to_owned(), number.to_string())].into()),
                    ..ConfigMap::default()
                };
                match tokio::time::timeout(Duration::from_secs(10), maps.create(&PostParams::default(), &map))
                    .await
                {
                    Ok(Ok(_)) => {
                        report.acknowledged.push(name);
                        report.longest_gap = report.longest_gap.max(last_success.elapsed());
                        last_success = Instant::now();
                    }
                    Ok(Err(error)) => report.fail(name, kind(&error)),
                    Err(_elapsed) => report.fail(name, "no answer within 10 s".to_owned()),
                }
                tokio::time::sleep(pause).await;
            }
            report
        });
        Self { stop, task, credentials, namespace: namespace.to_owned() }
    }

    /// Stops writing and reads everything back; panics if an acknowledged write is missing.
    pub async fn stop_and_check(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = self.task.await.expect("the writer ends");
        let maps: Api<ConfigMap> = Api::namespaced(self.credentials.client().await, &self.namespace);
        let found = maps.list(&ListParams::default()).await.expect("the writes can be listed");
        let found: std::collections::BTreeSet<String> =
            found.items.into_iter().filter_map(|map| map.metadata.name).collect();
        let lost: Vec<&String> = report.acknowledged.iter().filter(|name| !found.contains(*name)).collect();
        assert!(lost.is_empty(), "acknowledged writes are lost: {lost:?}");
        assert!(!report.acknowledged.is_empty(), "nothing was written: {report:?}");
        report.done_nevertheless = report.failed_names.iter().filter(|name| found.contains(*name)).count();
        report
    }
}

impl Report {
    fn fail(&mut self, name: String, kind: String) {
        *self.failed.entry(kind).or_default() += 1;
        self.failed_names.push(name);
    }
}

fn kind(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.reason),
        other => telemetry::error_chain(other),
    }
}
