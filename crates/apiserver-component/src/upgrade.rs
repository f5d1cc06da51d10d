//! Whether this version may start after what was run before and beside what serves now, and writing down what all API servers
//! run. Refuses to end the supervisor over it: a refusal is told and stands until what it is compared with has changed.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use component_flags::Release;
use component_runtime::{PodEvents, ReplicaName};
use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use durable_files::{read_limited, write_private};
use health_endpoints::{HealthClient, StatusBoard};
use mutual_tls::TlsFiles;
use serving_api_servers::{AnsweredVersions, ServingApiServers};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use version_record::VersionRecord;
use version_skew::Permission;

/// One question to one API server, and to the record.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// What was allowed before needs the others for nothing but to notice a change: it must not be kept from serving by them.
const KNOWN_LIMIT: Duration = Duration::from_secs(1);
const NOTE_LIMIT: u64 = 1024;
const RECORD_EVERY: Duration = Duration::from_secs(2);
/// So long all API servers must have been seen to serve one version: the name of those that are ready lags behind by up to
/// 5 s (cluster DNS), and one that has just lost its readiness may come back.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
const VERSION_DETAIL: &str = "kubernetesVersion";
const RECORD_DETAIL: &str = "versionRecord";

/// What a version is compared with, and where that is told.
#[derive(Debug, Clone)]
pub(crate) struct Upgrades {
    pub(crate) record: Option<VersionRecord>,
    pub(crate) serving: ServingApiServers,
    /// Where the supervisors of all API servers are, also of those that are not ready.
    pub(crate) supervisors: Option<ReplicaName>,
    pub(crate) health: HealthClient,
    /// The certificate with which other API servers are asked.
    pub(crate) files: TlsFiles,
    /// Where is written which version this instance was allowed to start: with it, it starts again while nobody can be asked.
    pub(crate) note: PathBuf,
    pub(crate) board: StatusBoard,
    pub(crate) events: PodEvents,
}

/// What is done while the child runs; dropping ends it.
#[derive(Debug, Default)]
pub(crate) struct Recording(RefCell<Option<AbortOnDropHandle<()>>>);

impl Recording {
    /// Begins anew. Must be called in a `LocalSet`.
    pub(crate) fn begin(&self, upgrades: &Rc<Upgrades>, ours: Release) {
        let recording = tokio::task::spawn_local(Rc::clone(upgrades).record_what_all_run(ours));
        *self.0.borrow_mut() = Some(AbortOnDropHandle::new(recording));
    }

    pub(crate) fn end(&self) {
        self.0.borrow_mut().take();
    }
}

impl Upgrades {
    /// Waits until `ours` may start.
    pub(crate) async fn until_allowed(&self, ours: Release, progress: &dyn Progress) {
        self.board.detail(VERSION_DETAIL, &ours.to_string());
        wait_for(&mut Allowed { upgrades: self, ours }, Pace::EAGER, progress).await;
    }

    /// Who serves; nobody if none answers in time, as before the first API server, whose name cannot be looked up.
    async fn serving(&self, limit: Duration) -> AnsweredVersions {
        let why = match timeout(limit, self.serving.versions(&self.files, limit)).await {
            Ok(Ok(versions)) => return versions,
            Ok(Err(why)) => why,
            Err(_late) => format!("no answer within {limit:?}"),
        };
        tracing::debug!(why, "no API server tells its version");
        AnsweredVersions { answered: Vec::new(), silent: 0 }
    }

    /// The record; the error says why it cannot be read.
    async fn record(&self, limit: Duration) -> Result<Option<Release>, String> {
        let Some(record) = &self.record else { return Ok(None) };
        match timeout(limit, record.read()).await {
            Ok(Ok(version)) => {
                let told = version.map(|version| format!("all API servers have run {version}"));
                self.board.detail(RECORD_DETAIL, &told.unwrap_or_default());
                Ok(version)
            }
            Ok(Err(error)) => Err(telemetry::error_chain(&error)),
            Err(_late) => Err(format!("{} cannot be read within {limit:?}", record.origin())),
        }
    }

    fn was_allowed(&self, ours: Release) -> bool {
        let note = read_limited(&self.note, NOTE_LIMIT).ok();
        let noted = note.and_then(|bytes| Release::parse(&String::from_utf8_lossy(&bytes)).ok());
        noted == Some(ours)
    }

    fn note(&self, ours: Release) {
        if self.was_allowed(ours) {
            return;
        }
        if let Err(error) = write_private(&self.note, format!("{ours}\n").as_bytes()) {
            tracing::warn!(error = telemetry::error_chain(&error), "which version was allowed is not noted");
        }
    }

    async fn look(&self, ours: Release) -> Result<(), String> {
        let known = self.was_allowed(ours);
        let limit = if known { KNOWN_LIMIT } else { ANSWER_LIMIT };
        let (record, serving) = tokio::join!(self.record(limit), self.serving(limit));
        let record = match record {
            Ok(record) => record,
            Err(why) if known => {
                tracing::info!(why, "starting with a version that was allowed before");
                return Ok(());
            }
            Err(why) => return Err(why),
        };
        match version_skew::api_server(ours, record, &serving.answered) {
            Permission::Granted => {
                self.note(ours);
                Ok(())
            }
            Permission::Later(why) => Err(why),
            Permission::Refused(why) => {
                self.events.refused(&why);
                Err(why)
            }
        }
    }

    /// Whether no API server of an older minor version is left, ready or not: one that is not may be ready again in a moment, and be
    /// needed. Its supervisor tells, whatever its child does; who says nothing counts no more than among those that serve.
    async fn none_is_older(&self, common: Release) -> Result<(), String> {
        let Some(supervisors) = &self.supervisors else { return Ok(()) };
        for address in supervisors.look_up().await? {
            let Ok(document) = self.health.status(&format!("http://{address}")).await else { continue };
            let version = document.details.get(VERSION_DETAIL).and_then(|text| Release::parse(text).ok());
            if let Some(older) = version.filter(|version| version.minor() < common.minor()) {
                return Err(format!("{} is still there with {older}", document.name));
            }
        }
        Ok(())
    }

    /// Ends when it is written down that all API servers run `ours`, or more.
    async fn record_what_all_run(self: Rc<Self>, ours: Release) {
        let Some(store) = &self.record else { return };
        let mut settled: Option<(Release, Instant)> = None;
        loop {
            tokio::time::sleep(RECORD_EVERY).await;
            if !self.board.document().ready {
                settled = None;
                continue;
            }
            let seen = self.serving(ANSWER_LIMIT).await;
            let Some(common) =
                (seen.silent == 0).then(|| version_skew::recorded(None, ours, &seen.answered)).flatten()
            else {
                settled = None;
                continue;
            };
            if let Err(why) = self.none_is_older(common).await {
                tracing::debug!(why, "the version is not recorded yet");
                settled = None;
                continue;
            }
            let since = settled
                .filter(|(version, _)| *version == common)
                .map_or_else(Instant::now, |(_, since)| since);
            settled = Some((common, since));
            if since.elapsed() < SETTLED_AFTER {
                continue;
            }
            match timeout(ANSWER_LIMIT * 4, store.raise(common)).await {
                Ok(Ok(true)) if common >= ours => {
                    // Told as it was read, which is more if another version was written.
                    let _told = self.record(ANSWER_LIMIT).await;
                    tracing::info!(version = %common, record = store.origin(), "all API servers run this version");
                    return;
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(
                        error = telemetry::error_chain(&error),
                        "the version is not recorded yet"
                    );
                }
                Err(_late) => tracing::debug!(record = store.origin(), "the version is not recorded yet"),
            }
        }
    }
}

struct Allowed<'a> {
    upgrades: &'a Upgrades,
    ours: Release,
}

impl Condition for Allowed<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        format!("Kubernetes {} to be allowed here", self.ours)
    }

    async fn look(&mut self) -> Sighting<()> {
        match self.upgrades.look(self.ours).await {
            Ok(()) => Sighting::Holds(()),
            Err(why) => Sighting::NotYet(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use health_endpoints::HealthServer;
    use naming_contract::Component;
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn upgrades(directory: &TempDir) -> Upgrades {
        let file = |name: &str| directory.path().join(name);
        Upgrades {
            record: Some(VersionRecord::file(file("record"))),
            serving: ServingApiServers::Listed(Vec::new()),
            supervisors: None,
            health: HealthClient::new(KNOWN_LIMIT).unwrap(),
            files: TlsFiles { authority: file("a"), certificate: file("c"), key: file("k") },
            note: file("note"),
            board: StatusBoard::new("kube-apiserver-0", Component::KubeApiserver, "0"),
            events: PodEvents::untold(Component::KubeApiserver),
        }
    }

    fn release(text: &str) -> Release {
        Release::parse(text).unwrap()
    }

    #[tokio::test]
    async fn what_all_ran_counts_as_soon_as_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let upgrades = upgrades(&directory);
        assert_eq!(upgrades.look(release("1.36.3")).await, Ok(()));
        upgrades.record.as_ref().unwrap().raise(release("1.37.2")).await.unwrap();
        let why = upgrades.look(release("1.36.3")).await.unwrap_err();
        assert!(why.contains("has run 1.37.2"), "{why}");
        assert_eq!(upgrades.look(release("1.37.0")).await, Ok(()));
        let told = upgrades.board.document().details;
        assert_eq!(told.get(RECORD_DETAIL).unwrap(), "all API servers have run 1.37.2");
    }

    #[tokio::test]
    async fn without_an_answer_only_what_was_allowed_before_starts() {
        let directory = tempfile::tempdir().unwrap();
        let upgrades = upgrades(&directory);
        assert_eq!(upgrades.look(release("1.36.3")).await, Ok(()));
        write_private(&directory.path().join("record"), b"damaged").unwrap();
        assert_eq!(upgrades.look(release("1.36.3")).await, Ok(()));
        let why = upgrades.look(release("1.37.2")).await.unwrap_err();
        assert!(why.contains("no version record"), "{why}");
    }

    #[tokio::test]
    async fn an_older_api_server_that_is_not_ready_is_still_there() {
        mutual_tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let server = HealthServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let supervisors = Some(server.address().to_string().parse().unwrap());
        let upgrades = Upgrades { supervisors, ..upgrades(&directory) };
        let (board, stop) =
            (StatusBoard::new("old-one", Component::KubeApiserver, "0"), CancellationToken::new());
        let asking = async {
            assert_eq!(upgrades.none_is_older(release("1.37.2")).await, Ok(()), "it does not know yet");
            board.detail(VERSION_DETAIL, "1.36.3");
            let why = upgrades.none_is_older(release("1.37.2")).await.unwrap_err();
            assert_eq!(why, "old-one is still there with 1.36.3");
            assert_eq!(upgrades.none_is_older(release("1.36.9")).await, Ok(()));
            stop.cancel();
        };
        tokio::join!(server.serve(board.clone(), stop.clone()), asking);
        assert_eq!(upgrades.none_is_older(release("1.37.2")).await, Ok(()), "it is gone");
    }
}
