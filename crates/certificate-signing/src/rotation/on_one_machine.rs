//! Rotations on one machine: what is wanted lies in a file, the instances are those of the plan, keys and numbers lie in
//! directories. Refuses to count an instance that does not answer as gone: whoever keeps it starts it again.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use certificates::{Authority, LeafFacts, PublishedGenerations, Rotated, WantedKeys, bundle_fingerprints};
use durable_files::{read_limited, write_public};
use health_endpoints::{AuthorityInUse, HealthClient, HealthClientError, StatusBoard};
use naming_contract::{Component, files};

use super::driver::RotationPlace;
use super::sighted::Sighted;
use super::stored::StoredKeys;
use crate::AuthorityKeys;
use crate::directory_store::write_stored;
use crate::kept::Kept;
use crate::publishing::publish_bundles;

/// The file of numbers is one line.
const FILE_LIMIT: u64 = 4 * 1024;
/// Two CAs, a leaf and a key are some KiB.
const KUBECONFIG_LIMIT: u64 = 256 * 1024;
/// An answer from memory takes a millisecond.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// One instance of a plan, and where its health endpoints are: `kube-apiserver-0=http://127.0.0.1:8686`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedInstance {
    name: String,
    component: Component,
    endpoint: String,
}

impl FromStr for PlannedInstance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not NAME=URL, such as kube-apiserver-0=http://127.0.0.1:8686");
        let (name, endpoint) = text.split_once('=').ok_or_else(wrong)?;
        let of = |component: &Component| {
            name.strip_prefix(component.name())
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
        };
        let component = Component::ALL.into_iter().find(of).ok_or_else(wrong)?;
        Ok(Self { name: name.to_owned(), component, endpoint: endpoint.to_owned() })
    }
}

/// The place of a control plane on one machine.
pub(crate) struct OnOneMachine {
    state: PathBuf,
    publish: PathBuf,
    wanted: Option<PathBuf>,
    instances: Vec<PlannedInstance>,
    kubeconfig: Option<PathBuf>,
    health: HealthClient,
}

impl OnOneMachine {
    pub(crate) fn new(
        state: PathBuf,
        publish: PathBuf,
        wanted: Option<PathBuf>,
        instances: Vec<PlannedInstance>,
        kubeconfig: Option<PathBuf>,
    ) -> Result<Self, HealthClientError> {
        Ok(Self { state, publish, wanted, instances, kubeconfig, health: HealthClient::new(ANSWER_LIMIT)? })
    }
}

/// The administrators' kubeconfig, as if it told of itself: whoever keeps it has no endpoint. One that cannot be read holds
/// a rotation up, as an instance that does not answer does.
fn kubeconfig_in(path: &Path) -> Sighted {
    let component = Component::CertificateAuthority;
    let in_use = || {
        let content = read_limited(path, KUBECONFIG_LIMIT).ok()?;
        let inside = kubeconfig::embedded_certificates(&String::from_utf8_lossy(&content));
        let (bundle, leaf) = (inside.authorities.first()?, inside.clients.first()?);
        let signer = LeafFacts::parse(leaf, None, Some(bundle)).ok()?.issued_by.unwrap_or_default();
        Some(AuthorityInUse { trusted: bundle_fingerprints(bundle).ok()?, signed_by: vec![signer] })
    };
    let document = in_use().map(|in_use| {
        let board = StatusBoard::new("kubeconfig", component, telemetry::VERSION);
        board.authority(Authority::Cluster.name(), in_use);
        board.document()
    });
    Sighted { name: path.display().to_string(), component, document }
}

impl RotationPlace for OnOneMachine {
    /// Nobody else hands keys out.
    const SETTLE: Duration = Duration::ZERO;

    fn wanted(&self) -> Result<WantedKeys, String> {
        let Some(path) = &self.wanted else { return Ok(WantedKeys::default()) };
        match read_limited(path, FILE_LIMIT) {
            Ok(content) => serde_json::from_slice(&content)
                .map_err(|error| format!("{} to be readable: {error}", path.display())),
            Err(error) if error.is_not_found() => Ok(WantedKeys::default()),
            Err(error) => Err(format!("{} to be readable: {error}", path.display())),
        }
    }

    /// Few enough to ask all; the planner knows who is concerned.
    async fn instances(&self, what: Rotated) -> Result<Vec<Sighted>, String> {
        let mut sighted = Vec::with_capacity(self.instances.len() + 1);
        if what == Rotated::CertificateAuthorities
            && let Some(path) = &self.kubeconfig
        {
            sighted.push(kubeconfig_in(path));
        }
        for PlannedInstance { name, component, endpoint } in &self.instances {
            let document = self.health.status(endpoint).await.ok();
            sighted.push(Sighted { name: name.clone(), component: *component, document });
        }
        Ok(sighted)
    }

    async fn store(&self, kept: Kept, _before: &StoredKeys, after: &StoredKeys) -> Result<(), String> {
        write_stored(&self.state, kept, after).map_err(|error| error.to_string())
    }

    fn publish(&self, keys: &AuthorityKeys, generations: &PublishedGenerations) {
        // Before the numbers: who signs must be known before his leaves are asked for. A failure is on the board.
        let _told_by_who_looks_after_it = publish_bundles(keys, &self.publish);
        let (path, content) = (self.publish.join(files::GENERATIONS), generations.rendered());
        if read_limited(&path, FILE_LIMIT).is_ok_and(|known| known == content.as_bytes()) {
            return;
        }
        if let Err(error) = write_public(&path, content.as_bytes()) {
            tracing::warn!(%error, "the generations of shared keys cannot be published; tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::rotation::{Stage, changed};

    #[tokio::test]
    async fn what_was_stored_is_where_the_next_life_goes_on_and_nobody_may_change_it() {
        mutual_tls::install_provider();
        let (root, now) = (tempfile::tempdir().unwrap(), datetime!(2026-11-22 12:00 UTC));
        let state = root.path().join("authority");
        let place = OnOneMachine::new(state.clone(), root.path().to_owned(), None, Vec::new(), None).unwrap();
        let open = || AuthorityKeys::open_or_found(&state, now).map(|(keys, _)| keys);
        for kept in *Kept::ALL {
            for stage in [Stage::Introduced, Stage::Used, Stage::Retiring, Stage::Dropped, Stage::Settled] {
                if stage == Stage::Dropped && matches!(kept, Kept::Shared(_)) {
                    continue;
                }
                let keys = open().unwrap();
                let before = keys.stored(kept).unwrap();
                let after = changed(kept, &before, stage, keys.founding(), now).unwrap();
                place.store(kept, &before, &after).await.unwrap();
                assert_eq!(open().unwrap().stored(kept), Some(after));
            }
            let path = state.join(format!("{}.json", kept.name()));
            let good = String::from_utf8(read_limited(&path, FILE_LIMIT * 4).unwrap()).unwrap();
            for spoilt in
                [good.replace("\"generation\": 4", "\"generation\": 5"), good.replace("seal", "zeal")]
            {
                assert_ne!(spoilt, good);
                durable_files::write_private(&path, spoilt.as_bytes()).unwrap();
                let told = open().unwrap_err().to_string();
                assert!(told.contains("damaged") && told.contains("backup"), "{told}");
            }
            durable_files::write_private(&path, good.as_bytes()).unwrap();
        }
        open().unwrap();
    }

    #[test]
    fn what_is_wanted_is_read_from_the_file_and_nothing_is_where_there_is_none() {
        mutual_tls::install_provider();
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("wanted-keys.json");
        let place =
            |wanted| OnOneMachine::new(PathBuf::new(), PathBuf::new(), wanted, Vec::new(), None).unwrap();
        assert_eq!(place(None).wanted(), Ok(WantedKeys::default()));
        assert_eq!(place(Some(file.clone())).wanted(), Ok(WantedKeys::default()));
        durable_files::write_private(&file, br#"{"encryptionKey":2}"#).unwrap();
        let wanted = WantedKeys { encryption_key: 2, ..WantedKeys::default() };
        assert_eq!(place(Some(file.clone())).wanted(), Ok(wanted));
        durable_files::write_private(&file, b"{").unwrap();
        assert!(place(Some(file)).wanted().unwrap_err().contains("wanted-keys.json"));
    }

    #[test]
    fn an_instance_is_known_by_its_name() {
        let read: PlannedInstance = "kube-apiserver-1=http://127.0.0.1:1".parse().unwrap();
        assert_eq!(
            (read.component, read.endpoint.as_str()),
            (Component::KubeApiserver, "http://127.0.0.1:1")
        );
        for wrong in ["kube-apiserver-1", "kube-apiserver=http://x", "somebody-1=http://x"] {
            assert!(wrong.parse::<PlannedInstance>().is_err(), "{wrong}");
        }
    }
}
