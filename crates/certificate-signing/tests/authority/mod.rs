//! A certificate-authority that runs inside a test, over real TLS on loopback.
#![allow(dead_code, unreachable_pub, clippy::unused_self, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caller_identity::{Caller, enrol};
use certificate_signing::{Lifetimes, RotationSettings, ServerSettings, serve_on};
use certificates::{AuthorityClient, NamingSettings, WantedKeys};
use health_endpoints::StatusBoard;
use naming_contract::Component;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// The directories of one control plane.
pub struct Place {
    pub root: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        mutual_tls::install_provider();
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn authority(&self) -> PathBuf {
        self.path("authority")
    }

    pub fn trust(&self) -> PathBuf {
        self.path("trust")
    }

    pub fn token_file(&self, instance: &str) -> PathBuf {
        self.path("instances").join(instance).join("caller-token")
    }

    pub fn runtime(&self, instance: &str) -> PathBuf {
        self.path("instances").join(instance).join("runtime")
    }

    pub fn enrol(&self, component: Component, ordinal: u32) -> String {
        let caller = Caller { component, instance: component.instance(ordinal), names: Vec::new() };
        let file = self.token_file(&caller.instance);
        enrol(&self.path("callers"), &caller, &file, OffsetDateTime::now_utc(), DAY).unwrap();
        fs::read_to_string(file).unwrap()
    }

    pub fn settings(&self, lifetimes: &[&str], names: &[&str]) -> ServerSettings {
        ServerSettings {
            instance: "certificate-authority-0".to_owned(),
            place: certificate_signing::Place::Directories(certificate_signing::Directories {
                state: self.authority(),
                callers: self.path("callers"),
                publish: self.trust(),
                wanted_keys: None,
                instances: Vec::new(),
                kubeconfig: None,
            }),
            listen_address: "127.0.0.1:0".parse().unwrap(),
            naming: NamingSettings {
                service_subnets: vec!["10.96.0.0/12".parse().unwrap()],
                cluster_domain: "cluster.local".to_owned(),
                extra_names: names.iter().map(|name| name.parse().unwrap()).collect(),
            },
            lifetimes: Lifetimes::parse(lifetimes.iter().copied()).unwrap(),
            rotation: RotationSettings {
                wanted: WantedKeys::default(),
                token_overlap: DAY,
                authority_overlap: DAY,
            },
        }
    }

    /// Runs the authority on the current `LocalSet`; it is ready for connections when this returns.
    pub async fn run(&self, settings: ServerSettings) -> Running {
        let listener = TcpListener::bind(settings.listen_address).await.unwrap();
        self.run_on(listener, settings)
    }

    pub fn run_on(&self, listener: TcpListener, settings: ServerSettings) -> Running {
        let address = listener.local_addr().unwrap();
        let settings = ServerSettings { listen_address: address, ..settings };
        let stop = CancellationToken::new();
        let board = StatusBoard::new("certificate-authority-0", Component::CertificateAuthority, "test");
        let served = tokio::task::spawn_local(serve_on(listener, settings, board.clone(), stop.clone()));
        Running { url: format!("https://{address}"), board, stop, served }
    }
}

/// A running authority.
pub struct Running {
    pub url: String,
    pub board: StatusBoard,
    stop: CancellationToken,
    served: JoinHandle<Result<(), certificate_signing::ServeError>>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
    }

    pub async fn ended(self) -> certificate_signing::ServeError {
        self.served.await.unwrap().unwrap_err()
    }

    /// Waits until trust bundles are published: then everything is there.
    pub async fn published(&self, place: &Place) {
        within(Duration::from_secs(10), async {
            while !place.trust().join("front-proxy.crt").exists() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub fn client(&self, place: &Place, instance: &str) -> AuthorityClient {
        AuthorityClient::new(&self.url, place.token_file(instance), place.trust().join("cluster.crt"))
    }

    pub fn http(&self, place: &Place) -> reqwest::Client {
        mutual_tls::http_client(&place.trust().join("cluster.crt"), None, Duration::from_secs(5)).unwrap()
    }
}

pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("not within {limit:?}"))
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Runs a test on one thread, as our processes run.
pub fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
