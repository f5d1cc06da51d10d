//! The running certificate-authority: opens or founds its keys, publishes, serves, renews its own leaf, tells the board.
//! Refuses to start with keys that are not whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use caller_identity::EmbeddedCallers;
use certificates::{LeafName, NamingSettings};
use health_endpoints::{State, StatusBoard};
use http_serving::Limits;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::authority_keys::{AuthorityKeys, Origin};
use crate::issuing::Issuing;
use crate::lifetimes::Lifetimes;
use crate::publishing::{PublishError, publish_bundles};
use crate::service::SigningService;
use crate::serving::{OwnLeafError, ServingLeaf};
use crate::state_error::StateError;

/// How often the own leaf, the published bundles and readiness are looked after; readiness is stale after 2 s.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The instance's name.
    pub instance: String,
    /// Directory of CA keys and shared keys (0700).
    pub state_directory: PathBuf,
    /// Directory of embedded callers (0700).
    pub callers_directory: PathBuf,
    /// Directory for trust bundles.
    pub publish_directory: PathBuf,
    /// Where to serve.
    pub listen_address: SocketAddr,
    /// What API servers are called.
    pub naming: NamingSettings,
    /// How long leaves live.
    pub lifetimes: Lifetimes,
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
    let directory = &settings.state_directory;
    let (keys, origin) = AuthorityKeys::open_or_found(directory, OffsetDateTime::now_utc())?;
    keys.check_published(directory, &settings.publish_directory)?;
    if origin == Origin::Founded {
        tracing::info!(directory = %directory.display(), "CA keys and shared keys made; back this directory up");
    }
    let keys = Rc::new(keys);
    publish_bundles(&keys, &settings.publish_directory)?;
    let issuing = Rc::new(Issuing::new(Rc::clone(&keys), settings.naming, settings.lifetimes));
    let own_names = own_names(settings.listen_address);
    let mut leaf = ServingLeaf::new(
        Rc::clone(&issuing),
        &settings.instance,
        own_names,
        board.clone(),
        OffsetDateTime::now_utc(),
    )?;
    let callers = EmbeddedCallers::new(&settings.callers_directory);
    let service = SigningService::new(callers, issuing, OffsetDateTime::now_utc);
    let handler = move |request| service.clone().handle(request);
    let serving = http_serving::serve(listener, Some(leaf.source()), Limits::default(), handler, stop);
    board.enter(State::Running, &format!("serves https://{}", settings.listen_address));
    let looking_after = async {
        loop {
            leaf.renew_if_due(OffsetDateTime::now_utc());
            let published = publish_bundles(&keys, &settings.publish_directory);
            if let Ok(true) = published {
                tracing::warn!(directory = %settings.publish_directory.display(), "trust bundles were changed and are put back");
            }
            board.readiness(published.map(drop).map_err(|error| telemetry::error_chain(&error)));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = serving => Ok(()),
        never = looking_after => never,
    }
}

fn own_names(address: SocketAddr) -> Vec<LeafName> {
    // An unspecified address is no name; loopback and the instance's name are always in the leaf.
    if address.ip().is_unspecified() { Vec::new() } else { vec![LeafName::Ip(address.ip())] }
}
