//! The life of a process of ours: name, logs, health endpoints, certificates, then the child or the service, then the exit code.
//! Refuses decisions: those are in the supervision machine and in the components.

use std::rc::Rc;
use std::time::Duration;

use certificates::{CertificateKeeper, FileTurns, KeeperConfiguration};
use conditions::{Pace, Progress, wait_for};
use health_endpoints::{HealthClient, HealthServer, State, StatusBoard};
use management_api::PodReference;
use process_control::Signals;
use supervision::{Configuration, RestartReason};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::{AuthorityArguments, CommonArguments, SupervisionArguments};
use crate::command_line::{Service, SupervisedComponent};
use crate::context::{ChildBinary, Context, Management, Paths, Replacement};
use crate::error::RuntimeError;
use crate::in_use::InUse;
use crate::needs::Needs;
use crate::pod_events::PodEvents;
use crate::provisioned::Provisioned;
use crate::replicas::Replicas;
use crate::restart_lease::LeaseTurns;
use crate::restart_turns::RestartTurns;
use crate::restarts::Restarter;
use crate::trust_mirror::TrustMirror;

/// Bundles that are published in a `ConfigMap` are put here, below the runtime directory.
const PUBLISHED: &str = "published";
/// The longest back-off of kubelets: a Pod that ended at once would be seen no more often.
const REFUSAL_IS_TOLD: Duration = Duration::from_secs(300);
/// The trust mirror hears of changes by itself; this is how fast a start notices.
const MIRROR_PACE: Pace = Pace {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(200),
    look_limit: Duration::from_secs(1),
    ..Pace::USUAL
};

/// What is set up before the child or the service, and runs beside it.
struct Frame {
    context: Context,
    /// What the component asks for; a service asks for nothing.
    replacements: mpsc::Receiver<RestartReason>,
    keeper: CertificateKeeper,
    mirror: Option<TrustMirror>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Frame {
    async fn set_up(
        common: &CommonArguments,
        component: naming_contract::Component,
        needs: Needs,
        child: ChildBinary,
        pod_uid: Option<&str>,
    ) -> Result<Self, RuntimeError> {
        common.logs.install()?;
        let instance = common.instance()?;
        let board = StatusBoard::new(&instance, component, telemetry::VERSION);
        tracing::info!(%component, instance, version = telemetry::VERSION, "started");
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let health = HealthServer::bind(common.health_address).await?;
        tasks.spawn_local(health.serve(board.clone(), stop.clone()));
        let root = &common.runtime_directory;
        durable_files::take_volume_directory(root)?;
        for directory in [&root.join(naming_contract::files::CONFIGURATION), &root.join(PUBLISHED)] {
            durable_files::create_private_directory(directory)?;
        }
        let management = Management::new(common.management.clone());
        let (published_trust, mirror) = match &common.authority.trust_config_map {
            Some(name) => {
                let directory = root.join(PUBLISHED);
                let mirror = TrustMirror::begin(management.api()?, name, directory.clone(), board.clone());
                (directory, Some(mirror))
            }
            // The command line is wrong without one of both.
            None => (common.authority.trust_directory.clone().unwrap_or_default(), None),
        };
        let keeper = CertificateKeeper::new(
            KeeperConfiguration {
                instance: instance.clone(),
                authority_url: common.authority.authority_url.clone(),
                caller_token_file: common.authority.caller_token_file.clone(),
                published_trust: published_trust.clone(),
                runtime_directory: root.clone(),
                leaves: needs.leaves.to_vec(),
                shared_keys: needs.shared_keys.to_vec(),
                bundles: needs.bundles.to_vec(),
            },
            board.clone(),
        );
        let paths = Paths::new(root.clone());
        let pod = pod_uid.map(|uid| PodReference { name: instance.clone(), uid: uid.to_owned() });
        let events = PodEvents::new(pod.map(|pod| (management.clone(), pod)), component);
        let published = published_trust;
        let (replacement, replacements) = mpsc::channel(4);
        let replacement = Replacement(replacement);
        let context = Context { instance, board, paths, management, events, published, child, replacement };
        Ok(Self { context, replacements, keeper, mirror, tasks, stop })
    }

    /// Obtains everything; false if a stop was asked for first.
    async fn bootstrap(&self, signals: &Signals) -> Result<bool, RuntimeError> {
        let progress = BoardProgress { board: &self.context.board, state: State::Bootstrapping };
        let obtain = async {
            if let Some(mirror) = &self.mirror {
                wait_for(&mut mirror.holds(self.keeper.bundles()), MIRROR_PACE, &progress).await;
            }
            self.keeper.obtain(&progress).await
        };
        tokio::select! {
            obtained = obtain => obtained.map(|()| true).map_err(RuntimeError::from),
            signal = signals.stop_asked() => {
                self.context.board.enter(State::Stopped, &format!("{signal} before anything was started"));
                Ok(false)
            }
        }
    }

    /// Lets the health endpoints say goodbye.
    async fn end(mut self) {
        self.stop.cancel();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        // An open request of a probe is worth no more than this.
        let _cut = tokio::time::timeout(Duration::from_millis(200), all_ended).await;
    }
}

pub(crate) async fn run_supervisor<A: SupervisedComponent>(
    component: A,
    common: CommonArguments,
    supervision: SupervisionArguments,
    signals: Signals,
) -> Result<u8, RuntimeError> {
    let configuration = supervision.apply_to(component.policy());
    let child = supervision.child_binary();
    let pod = supervision.pod_uid.as_deref();
    let mut frame = Frame::set_up(&common, A::COMPONENT, component.needs(), child, pod).await?;
    if !frame.bootstrap(&signals).await? {
        frame.end().await;
        return Ok(0);
    }
    let code = supervise(component, &mut frame, &common, &supervision, configuration, &signals).await;
    let stays =
        frame.context.events.are_told() && matches!(code, Ok(supervision::EXIT_CODE_REFUSED) | Err(_));
    let asked_to_stop = stays && stay_to_tell(&frame.context, code.as_ref().err(), &signals).await;
    frame.end().await;
    if asked_to_stop { Ok(0) } else { code }
}

/// Tells a refusal where people look while a change does not go on: as an Event, and on the health endpoints for as long as a
/// kubelet would have kept the Pod from starting again. True if a stop was asked for meanwhile.
async fn stay_to_tell(context: &Context, error: Option<&RuntimeError>, signals: &Signals) -> bool {
    if let Some(error) = error {
        context.board.enter(State::Stopped, &telemetry::error_chain(error));
    }
    let why = context.board.document().reason;
    context.events.refused(&why);
    tracing::error!(why, "refused; it stays to tell so before it ends");
    tokio::time::timeout(REFUSAL_IS_TOLD, signals.stop_asked()).await.is_ok()
}

async fn supervise<A: SupervisedComponent>(
    component: A,
    frame: &mut Frame,
    common: &CommonArguments,
    supervision: &SupervisionArguments,
    configuration: Configuration,
    signals: &Signals,
) -> Result<u8, RuntimeError> {
    let context = &frame.context;
    let in_use = Rc::new(InUse::of_a_child(&component.needs(), &context.paths, &context.board));
    let supervised =
        Provisioned { component: component.supervised(context.clone())?, in_use: Rc::clone(&in_use) };
    let (changes, told) = mpsc::channel(16);
    let restart = frame.context.replacement.0.clone();
    let restarts = std::mem::replace(&mut frame.replacements, mpsc::channel(1).1);
    let restarter = Restarter {
        component: &supervised,
        turns: turns(&common.authority, A::COMPONENT, frame)?,
        replicas: match &supervision.replica_service {
            Some(service) => Replicas::Behind { service: service.clone(), own: common.pod_address },
            None => Replicas::Listed(supervision.replica_health.clone()),
        },
        paths: frame.context.paths.clone(),
        board: frame.context.board.clone(),
        health: HealthClient::new(Duration::from_secs(1))?,
    };
    let run = supervision::run(&supervised, configuration, &frame.context.board, signals, restarts);
    tokio::select! {
        report = run => Ok(report.code),
        never = frame.keeper.keep(changes) => match never {},
        () = restarter.follow(told, restart) => Ok(1),
        () = in_use.follow() => Ok(1),
    }
}

fn turns(
    authority: &AuthorityArguments,
    component: naming_contract::Component,
    frame: &Frame,
) -> Result<RestartTurns, RuntimeError> {
    if let Some(name) = &authority.restart_lease {
        let owners = frame.mirror.as_ref().map(TrustMirror::owners);
        let context = &frame.context;
        let turns = LeaseTurns::new(context.management.api()?, name, &context.instance, component, owners);
        return Ok(RestartTurns::Lease(Box::new(turns)));
    }
    Ok(match &authority.restart_lock_directory {
        Some(directory) => RestartTurns::File(FileTurns::new(directory.join(component.name()))),
        None => RestartTurns::None,
    })
}

pub(crate) async fn run_service<S: Service>(
    service: S,
    common: CommonArguments,
    signals: Signals,
) -> Result<u8, RuntimeError> {
    let child = ChildBinary { program: std::path::PathBuf::new(), extra_arguments: Vec::new() };
    let needs = service.needs();
    let frame = Frame::set_up(&common, S::COMPONENT, needs, child, None).await?;
    if !frame.bootstrap(&signals).await? {
        frame.end().await;
        return Ok(0);
    }
    frame.context.board.enter(State::Waiting, "certificates are there; the service begins");
    let stop = frame.stop.child_token();
    let asked = stop.clone();
    let board = frame.context.board.clone();
    let (changes, mut told) = mpsc::channel(16);
    let in_use = InUse::of_a_service(&needs, &frame.context.paths, &board);
    let serve = service.serve(frame.context.clone(), stop);
    let watch = async {
        let signal = signals.stop_asked().await;
        board.enter(State::Draining, &format!("{signal}"));
        asked.cancel();
        std::future::pending::<()>().await;
    };
    // A service builds its clients anew for each round, so there is nothing to do about a change.
    let swallow = async { while told.recv().await.is_some() {} };
    let served = tokio::select! {
        served = serve => served,
        () = watch => Ok(()),
        never = frame.keeper.keep(changes) => match never {},
        () = swallow => Ok(()),
        () = in_use.follow() => Ok(()),
    };
    frame.context.board.enter(State::Stopped, "the service has ended");
    frame.end().await;
    served.map(|()| 0)
}

/// Tells a wait on the board.
pub(crate) struct BoardProgress<'a> {
    pub(crate) board: &'a StatusBoard,
    pub(crate) state: State,
}

impl Progress for BoardProgress<'_> {
    fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
        self.board.enter(self.state, awaits);
        if let Some(seen) = last_seen {
            self.board.observed(seen);
        }
    }
}
