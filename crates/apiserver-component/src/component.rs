//! kube-apiserver as the supervision driver sees it.
//! Refuses to start without etcd: kube-apiserver would end by itself after 20 s (no connection) or 33 s (no quorum).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use certificates::{Authority, Profile};
use component_flags::{Release, kube_apiserver};
use component_runtime::{Context, RuntimeError};
use conditions::{Pace, Progress, Silent, wait_for};
use health_endpoints::HealthClient;
use kubernetes_health::{HealthAnswer, HealthProbe};
use preflight::{Checked, UpstreamBinary, reached_at, wait_for_port, when_there_is_space};
use supervision::{ChildCommand, ChildEnding, Health, PrepareError, Supervised};

use crate::ApiserverConfiguration;
use crate::encryption_in_use::EncryptionInUse;
use crate::etcd_read::{EtcdCluster, EtcdQuorum};
use crate::first_start::FirstStart;
use crate::flags::flags;
use crate::liveness::alive;
use crate::rendered::{RenderError, Rendered};
use crate::senseless_drain::no_quorum;
use crate::upgrade::{Recording, Upgrades};

/// How long one look waits for an answer; the driver gives a look 1.4 s.
const PATIENCE: Duration = Duration::from_millis(1200);

/// One kube-apiserver.
#[derive(Debug)]
pub struct Apiserver {
    configuration: ApiserverConfiguration,
    context: Context,
    binary: UpstreamBinary,
    /// On the way that the child takes.
    etcd: EtcdQuorum,
    first_start: FirstStart,
    rendered: Rendered,
    encryption: EncryptionInUse,
    livez: HealthProbe,
    readyz: HealthProbe,
    last_readiness: std::cell::RefCell<Result<(), String>>,
    upgrades: Rc<Upgrades>,
    recording: Recording,
    /// The cluster that answered when the child was prepared.
    prepared_with: Cell<Option<EtcdCluster>>,
    /// The one that answered last.
    serving: Rc<Cell<Option<EtcdCluster>>>,
}

impl Apiserver {
    /// An API server that is not running yet. Must be made in a `LocalSet`: it looks at etcd's members in the background. An
    /// error if there is no free port for the front.
    pub fn new(configuration: ApiserverConfiguration, context: Context) -> Result<Self, RuntimeError> {
        let paths = &context.paths;
        let etcd_client = paths.leaf(Profile::ApiserverEtcdClient, Authority::Etcd);
        let board = context.board.clone();
        let tell = move |line: &str| board.detail("etcdMembers", line);
        let serving = Rc::default();
        let front = configuration.etcd.front(&etcd_client, Rc::clone(&serving), tell)?;
        let bundle = paths.trust(Authority::Cluster);
        let base = format!("https://{}", reached_at(configuration.bind_address, configuration.secure_port));
        let upgrades = Upgrades {
            record: configuration.version_record.clone(),
            serving: configuration.serving_api_servers.clone(),
            supervisors: configuration.api_server_supervisors.clone(),
            health: HealthClient::new(SUPERVISOR_LIMIT)?,
            files: paths.leaf(Profile::ApiserverKubeletClient, Authority::Cluster),
            note: paths.configuration(ALLOWED_VERSION),
            board: context.board.clone(),
            events: context.events.clone(),
        };
        let etcd = EtcdQuorum {
            endpoints: front.as_ref().map_or_else(
                || configuration.etcd.endpoints.clone(),
                |front| vec![format!("https://{}", front.address())],
            ),
            front: front.map(Rc::new),
            known_as: configuration.etcd.to_string(),
            files: etcd_client,
        };
        Ok(Self {
            upgrades: Rc::new(upgrades),
            recording: Recording::default(),
            binary: UpstreamBinary::new(context.child.program.clone()),
            first_start: FirstStart::new(etcd.clone(), &context.instance),
            etcd,
            rendered: Rendered::new(paths, configuration.jwt_authenticators.clone()),
            // Its own client towards kubelets, which may read metrics besides.
            encryption: EncryptionInUse::new(
                &base,
                bundle.clone(),
                paths.leaf(Profile::ApiserverKubeletClient, Authority::Cluster),
                context.board.clone(),
            ),
            livez: HealthProbe::new(format!("{base}/livez?exclude=etcd"), bundle.clone()),
            readyz: HealthProbe::new(format!("{base}/readyz?verbose"), bundle),
            last_readiness: std::cell::RefCell::new(Err(NOT_ASKED.to_owned())),
            prepared_with: Cell::new(None),
            serving,
            configuration,
            context,
        })
    }

    async fn checked(&self) -> Result<Checked, PrepareError> {
        let flags = flags(&self.configuration, &self.etcd.endpoints, &self.context.paths);
        let operators = &self.context.child.extra_arguments;
        let render = |version| kube_apiserver(version, &flags, operators);
        // Quiet: the wait for etcd beside it is what people want to read about.
        Ok(self.binary.checked(render, operators, &Silent).await?)
    }

    /// A check of etcd takes 2 s to fail, longer than a look: until then the last answer stands.
    fn readiness(&self, answer: Option<HealthAnswer>) -> Result<(), String> {
        let mut last = self.last_readiness.borrow_mut();
        *last = match answer {
            Some(answer) => answer.healthy(),
            None if last.is_ok() => Err("/readyz takes long to answer".to_owned()),
            None => last.clone(),
        };
        last.clone()
    }
}

/// A supervisor answers from its memory.
const SUPERVISOR_LIMIT: Duration = Duration::from_secs(1);
const NOT_ASKED: &str = "not asked yet";
/// Name of the note about the version that was allowed.
const ALLOWED_VERSION: &str = "allowed-version";

impl Supervised for Apiserver {
    async fn prepare(&self, progress: &dyn Progress) -> Result<ChildCommand, PrepareError> {
        self.recording.end();
        self.livez.forget();
        self.readyz.forget();
        *self.last_readiness.borrow_mut() = Err(NOT_ASKED.to_owned());
        when_there_is_space(progress, || self.rendered.refresh(), RenderError::is_disk_full).await?;
        let mut etcd = self.etcd.clone();
        let quorum = async { Ok(wait_for(&mut etcd, Pace::EAGER, progress).await) };
        let (checked, cluster) = tokio::try_join!(self.checked(), quorum)?;
        self.prepared_with.set(Some(cluster));
        self.serving.set(Some(cluster));
        let version = Release::from(checked.version);
        self.upgrades.until_allowed(version, progress).await;
        wait_for_port(self.configuration.listens_at(), progress).await?;
        self.first_start.turn(cluster, progress).await;
        self.recording.begin(&self.upgrades, version);
        // Waiting may have taken long enough for another key.
        self.rendered.keep_fresh();
        self.encryption.child_starts(self.rendered.encryption());
        Ok(ChildCommand {
            program: self.context.child.program.clone(),
            arguments: checked.argv,
            environment: BTreeMap::new(),
        })
    }

    async fn health(&self) -> Health {
        self.rendered.keep_fresh();
        self.encryption.look(self.rendered.encryption());
        if self.prepared_with.get() != self.serving.get() {
            // Its caches may hold what the other cluster never had, under numbers that are given out again.
            self.context.replacement.ask("etcd is another cluster than when it was started");
        }
        let (livez, readyz) = tokio::join!(self.livez.look(PATIENCE), self.readyz.look(PATIENCE));
        if let (Some(answer), Some(cluster)) = (&readyz, self.prepared_with.get()) {
            self.first_start.look_at(answer, cluster);
        }
        Health {
            alive: livez
                .map_or_else(|| Err("/livez takes long to answer".to_owned()), |answer| alive(&answer)),
            ready: self.readiness(readyz),
        }
    }

    async fn can_be_spared(&self) -> Result<(), String> {
        Ok(())
    }

    async fn hold_back(&self, _progress: &dyn Progress) {}

    async fn drain_is_senseless(&self) -> String {
        no_quorum(async || self.etcd.read().await.map(drop)).await
    }

    async fn ended(&self, _ending: ChildEnding, _stopping: bool) {
        self.recording.end();
    }
}
