//! The running certificate-authority: opens or founds its keys, publishes, serves, renews its own leaf, tells the board.
//! Refuses to start with keys that are not whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use caller_identity::{EmbeddedCallers, IdentifyCaller};
use certificates::{LeafName, NamingSettings};
use health_endpoints::{HealthClientError, State, StatusBoard};
use http_serving::Limits;
use management_api::ManagementError;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::authority_keys::{AuthorityKeys, Origin};
use crate::in_cluster::{ReleaseSettings, serve_release};
use crate::issuing::Issuing;
use crate::lifetimes::Lifetimes;
use crate::publishing::{PublishError, publish_bundles};
use crate::rotation::{OnOneMachine, PlannedInstance, RotationSettings, Rotations};
use crate::service::SigningService;
use crate::serving::{OwnLeafError, ServingLeaf};
use crate::state_error::StateError;

/// How often the own leaf, the published bundles and readiness are looked after; readiness is stale after 2 s.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The instance's name.
    pub instance: String,
    /// Where keys are kept, callers are known and bundles are published.
    pub place: Place,
    /// Where to serve.
    pub listen_address: SocketAddr,
    /// What API servers are called.
    pub naming: NamingSettings,
    /// How long leaves live.
    pub lifetimes: Lifetimes,
    /// How shared keys are rotated.
    pub rotation: RotationSettings,
}

/// Where keys are kept, callers are known and bundles are published.
#[derive(Debug, Clone)]
pub enum Place {
    /// On one machine.
    Directories(Directories),
    /// In a management cluster.
    Release(Box<ReleaseSettings>),
}

/// The directories of a control plane on one machine.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Directory of CA keys and shared keys (0700).
    pub state: PathBuf,
    /// Directory of embedded callers (0700).
    pub callers: PathBuf,
    /// Directory for trust bundles.
    pub publish: PathBuf,
    /// File of the numbers of the keys that are wanted.
    pub wanted_keys: Option<PathBuf>,
    /// Who must have taken keys and CAs up before the next stage is stored.
    pub instances: Vec<PlannedInstance>,
    /// The administrators' kubeconfig, which must have taken CAs up as well.
    pub kubeconfig: Option<PathBuf>,
}

/// Why the certificate-authority ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The CA keys cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Bundles cannot be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// It has no certificate of its own.
    #[error(transparent)]
    OwnLeaf(#[from] OwnLeafError),
    /// Instances cannot be asked for what they have in use.
    #[error(transparent)]
    Health(#[from] HealthClientError),
    /// The management API can never be reached like this.
    #[error(transparent)]
    Management(#[from] ManagementError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}; give a free address of this machine with --listen-address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Takes the listen address and serves until `stop`. Runs on the calling thread; needs a runtime with time and I/O.
pub async fn serve(
    settings: ServerSettings,
    board: StatusBoard,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let address = settings.listen_address;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    // Where port 0 was asked for, the real one should be told.
    let listen_address = listener.local_addr().unwrap_or(address);
    serve_on(listener, ServerSettings { listen_address, ..settings }, board, stop).await
}

/// Serves on a listener that is there already.
pub async fn serve_on(
    listener: TcpListener,
    settings: ServerSettings,
    board: StatusBoard,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    match settings.place.clone() {
        Place::Directories(directories) => {
            serve_directories(listener, settings, directories, board, stop).await
        }
        // A large future, kept off the stacks of those that only need the other.
        Place::Release(release) => Box::pin(serve_release(listener, settings, *release, board, stop)).await,
    }
}

async fn serve_directories(
    listener: TcpListener,
    settings: ServerSettings,
    directories: Directories,
    board: StatusBoard,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let Directories { state, callers, publish, wanted_keys, instances, kubeconfig } = &directories;
    let (keys, origin) = AuthorityKeys::open_or_found(state, OffsetDateTime::now_utc())?;
    keys.check_published(state, publish)?;
    if origin == Origin::Founded {
        tracing::info!(directory = %state.display(), "CA keys and shared keys made; back this directory up");
    }
    let keys = Rc::new(keys);
    publish_bundles(&keys, publish)?;
    let issuing = Rc::new(Issuing::new(Rc::clone(&keys), settings.naming, settings.lifetimes));
    let own_names = own_names(settings.listen_address);
    let (instance, now) = (&settings.instance, OffsetDateTime::now_utc());
    let leaf = ServingLeaf::new(Rc::clone(&issuing), instance, own_names, board.clone(), now)?;
    let callers = EmbeddedCallers::new(callers);
    let place = OnOneMachine::new(
        state.clone(),
        publish.clone(),
        wanted_keys.clone(),
        instances.clone(),
        kubeconfig.clone(),
    )?;
    let at_rest = serves(settings.listen_address);
    let rotations = Rotations::new(Rc::clone(&keys), place, settings.rotation, board.clone(), at_rest);
    let serving = sign(listener, callers, issuing, leaf, settings.listen_address, board.clone(), stop);
    let looking_after = async {
        loop {
            let published = publish_bundles(&keys, publish);
            if let Ok(true) = published {
                tracing::warn!(directory = %publish.display(), "trust bundles were changed and are put back");
            }
            board.readiness(published.map(drop).map_err(|error| telemetry::error_chain(&error)));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = serving => Ok(()),
        never = looking_after => never,
        never = rotations.carry_out() => match never {},
    }
}

/// What the board says while all is as it should be.
pub(crate) fn serves(address: SocketAddr) -> String {
    format!("serves https://{address}")
}

/// Answers requests of `callers` until `stop`, and keeps its own leaf fresh.
pub(crate) async fn sign<I: IdentifyCaller + 'static>(
    listener: TcpListener,
    callers: I,
    issuing: Rc<Issuing>,
    mut leaf: ServingLeaf,
    told_address: SocketAddr,
    board: StatusBoard,
    stop: CancellationToken,
) {
    let service = SigningService::new(callers, issuing, OffsetDateTime::now_utc);
    let handler = move |request| service.clone().handle(request);
    let serving = http_serving::serve(listener, Some(leaf.source()), Limits::default(), handler, stop);
    board.enter(State::Running, &serves(told_address));
    let renewing = async {
        loop {
            leaf.renew_if_due(OffsetDateTime::now_utc());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = serving => {}
        () = renewing => {}
    }
}

fn own_names(address: SocketAddr) -> Vec<LeafName> {
    // An unspecified address is no name; loopback and the instance's name are always in the leaf.
    if address.ip().is_unspecified() { Vec::new() } else { vec![LeafName::Ip(address.ip())] }
}
