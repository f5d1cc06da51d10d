//! The certificate-authority as Pods of a management cluster: keys in Secrets, callers by their service accounts, bundles
//! in a config map, the administrators' kubeconfig in a Secret. Any number of replicas at once.
//! Refuses to end because the API is away or a right is missing: it waits, and says for what.

mod addresses;
mod anchor;
mod carried;
mod kept_secrets;
mod kubeconfig_secret;
mod reports;
mod rotating;
mod secret_contents;
mod secret_set;
mod secret_store;
mod secret_store_error;
mod tend;
mod trust;
mod waits;

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use caller_identity::ServiceAccountCallers;
use certificates::{ContentsError, LeafName, PublishedGenerations, pod_names};
use conditions::{Pace, wait_for};
use health_endpoints::{HealthClient, StatusBoard};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use management_api::{Followed, ManagementApi, ManagementArguments, follow};
use naming_contract::{Component, ReleaseObjects};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::addresses::{AddressError, ExternalAddress};
use self::addresses::{Addresses, load_balancer_names};
use self::anchor::Owner;
use self::reports::Reports;
use self::rotating::{GOOD_FOR, InRelease};
use self::secret_store::{OpenedSecrets, SecretStore};
use self::tend::{TendError, tend};
use self::waits::{CallersIdentifiable, KeysOpened, OnBoard, ServiceRead};
use crate::rotation::Rotations;
use crate::server::{LOOK_EVERY, ServeError, ServerSettings, serves, sign};
use crate::serving::{OwnLeafError, ServingLeaf};
use crate::{AuthorityKeys, IssueError, Issuing};

/// An answer of a Pod comes from its memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How often it is asked whether callers could be identified now.
const REHEARSE_EVERY: Duration = Duration::from_secs(10);
/// Looking at all Secrets of a set takes as many calls, each of which may take 5 s.
const PACE: Pace = Pace {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
    look_limit: Duration::from_secs(30),
    ..Pace::USUAL
};

/// What an operator decides about a release.
#[derive(Debug, Clone)]
pub struct ReleaseSettings {
    /// Its objects.
    pub objects: ReleaseObjects,
    /// How the management cluster is reached.
    pub management: ManagementArguments,
    /// The UID of our own Pod.
    pub pod_uid: String,
    /// Whether keys outlive the release.
    pub keep_state: bool,
    /// Where clients outside reach the API servers; the first is written into the administrators' kubeconfig.
    pub external_addresses: Vec<ExternalAddress>,
}

/// What the parts of one replica share.
#[derive(Debug)]
struct Release {
    api: ManagementApi,
    objects: ReleaseObjects,
    creator: String,
    owner: Owner,
    addresses: Addresses,
    reports: Reports,
    /// What this replica tells about shared keys and CAs.
    published: RefCell<PublishedGenerations>,
    /// Wakes whoever keeps the kubeconfig: the address or the CAs may be others.
    kubeconfig_due: Notify,
}

pub(crate) async fn serve_release(
    listener: TcpListener,
    settings: ServerSettings,
    release: ReleaseSettings,
    board: StatusBoard,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let api = release.management.connect()?;
    let ServerSettings { instance, listen_address, mut naming, lifetimes, rotation, .. } = settings;
    naming.extra_names.extend(release.external_addresses.iter().map(|address| address.host.clone()));
    let objects = release.objects;
    let release = Rc::new(Release {
        creator: release.pod_uid.clone(),
        owner: Owner::new(api.clone(), &objects, release.keep_state),
        addresses: Addresses::new(release.external_addresses, &objects, api.namespace()),
        reports: Reports::new(board.clone()),
        published: RefCell::default(),
        kubeconfig_due: Notify::new(),
        api,
        objects,
    });
    let callers = Rc::new(ServiceAccountCallers::new(release.api.clone(), release.objects.clone()));
    let store = release.store();
    let (opened, learnt) = tokio::select! {
        found = release.wait(&store, &callers, &instance, &board) => found,
        () = stop.cancelled() => return Ok(()),
    };
    let keys = Rc::new(opened.keys);
    // Others may have stored something else while we waited.
    keys.seen(opened.read_from, GOOD_FOR);
    let issuing = Rc::new(Issuing::new(Rc::clone(&keys), naming, lifetimes));
    issuing.name_api_servers(learnt.clone());
    release.addresses.set_load_balancer(learnt);
    let own_names =
        release.own_names(&instance).map_err(|error| OwnLeafError::from(IssueError::from(error)))?;
    let now = OffsetDateTime::now_utc();
    let leaf = ServingLeaf::new(Rc::clone(&issuing), &instance, own_names, board.clone(), now)?;
    let rehearsals = rehearse(&release, Rc::clone(&callers), &instance);
    let contents = Rc::new(RefCell::new(opened.contents));
    let published = Rc::new(Notify::new());
    let place = InRelease {
        release: Rc::clone(&release),
        contents: Rc::clone(&contents),
        health: HealthClient::new(ANSWER_LIMIT)?,
        published: Rc::clone(&published),
    };
    let rotations = Rotations::new(Rc::clone(&keys), place, rotation, board.clone(), serves(listen_address));
    release.published.replace(rotations.published());
    let tending = release.tend_all(&keys, &issuing, &instance, &published, &board);
    let keeping = release.tend_secrets(&store, &keys, &contents);
    let serving = sign(listener, callers, Rc::clone(&issuing), leaf, listen_address, board.clone(), stop);
    let readiness = async {
        loop {
            board.readiness(release.reports.verdict());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = serving => Ok(()),
        never = tending => match never {},
        never = keeping => match never {},
        never = rehearsals => never,
        never = rotations.carry_out() => match never {},
        never = release.refresh_keys(&keys, &contents) => never,
        never = readiness => never,
    }
}

/// Asks ever and again what identifying a caller would ask.
async fn rehearse<T>(release: &Release, callers: Rc<ServiceAccountCallers>, own_pod: &str) -> T {
    loop {
        let rehearsed = callers.rehearse(own_pod).await;
        let failed = rehearsed.is_err();
        release.reports.required("callers", rehearsed.map_err(|error| error.told()));
        tokio::time::sleep(if failed { LOOK_EVERY } else { REHEARSE_EVERY }).await;
    }
}

impl Release {
    fn store(&self) -> SecretStore {
        SecretStore { api: self.api.clone(), objects: self.objects.clone(), creator: self.creator.clone() }
    }

    /// Waits for everything without which nothing can be signed, or would be signed with too few names.
    async fn wait(
        &self,
        store: &SecretStore,
        callers: &ServiceAccountCallers,
        own_pod: &str,
        board: &StatusBoard,
    ) -> (OpenedSecrets, Vec<LeafName>) {
        let progress = OnBoard { board };
        let opened = wait_for(&mut KeysOpened { store: store.clone(), told: None }, PACE, &progress).await;
        wait_for(&mut CallersIdentifiable { callers, own_pod }, PACE, &progress).await;
        let service = self.objects.component(Component::KubeApiserver);
        let learnt = wait_for(&mut ServiceRead { api: &self.api, service }, PACE, &progress).await;
        (opened, learnt)
    }

    fn own_names(&self, instance: &str) -> Result<Vec<LeafName>, ContentsError> {
        pod_names(Component::CertificateAuthority, instance, self.api.namespace(), &self.objects)
    }

    /// Keeps everything that is derived from the keys, for ever.
    async fn tend_all(
        &self,
        keys: &AuthorityKeys,
        issuing: &Issuing,
        instance: &str,
        published: &Notify,
        board: &StatusBoard,
    ) -> Infallible {
        let (trust, kubeconfig) = (self.objects.trust(), self.objects.kubeconfig());
        let trust = tend::<ConfigMap>(
            &self.api,
            &trust,
            published,
            |told| self.reports.required("trust", told),
            async || self.publish(keys).await,
        );
        let kubeconfig = tend::<Secret>(
            &self.api,
            &kubeconfig,
            &self.kubeconfig_due,
            |told| self.reports.told("kubeconfig", told),
            async || self.write_kubeconfig(keys, issuing, instance, board).await,
        );
        let service = self.objects.component(Component::KubeApiserver);
        let service = follow::<Service>(&self.api, &service, |seen| {
            let learnt = match &seen {
                Followed::Seen(service) => load_balancer_names(service),
                Followed::Absent => Vec::new(),
                Followed::Trouble(error) => {
                    return self.reports.told("load balancer", Err(error.told()));
                }
            };
            self.reports.told("load balancer", Ok(()));
            if self.addresses.set_load_balancer(learnt.clone()) {
                tracing::info!(addresses = ?learnt, "the API servers' load balancer");
                issuing.name_api_servers(learnt);
                self.kubeconfig_due.notify_one();
            }
        });
        tokio::select! {
            never = trust => never,
            never = kubeconfig => never,
            never = service => never,
        }
    }
}
