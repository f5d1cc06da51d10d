//! A leader-elected component as the supervision driver sees it.
//! Refuses to start beside API servers that are not ready or older than it is.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use certificates::Authority;
use component_flags::{KubernetesVersion, Release};
use component_runtime::{Context, RuntimeError};
use conditions::{Pace, Progress, Silent, wait_for};
use durable_files::{FileError, write_private};
use kubeconfig::{CredentialPaths, Server, render_with_files};
use kubernetes_health::{HealthAnswer, HealthProbe};
use leader_lease::LeaderLease;
use mutual_tls::TlsFiles;
use naming_contract::environment::{HTTP2_PING_TIMEOUT_SECONDS, HTTP2_READ_IDLE_TIMEOUT_SECONDS};
use preflight::{Checked, UpstreamBinary, reached_at, wait_for_port, when_there_is_space};
use serving_api_servers::ApiServer;
use supervision::{ChildCommand, ChildEnding, Health, PrepareError, Supervised};
use tcp_front::Front;

use crate::api_server::{NewEnoughApiServers, ReadyApiServer};
use crate::configuration::KUBECONFIG;
use crate::fronted::{CUT_AFTER, FrontedApiServers};
use crate::kind::LEASE_NAMESPACE;
use crate::leadership::{Leadership, Observation};
use crate::{ControllerConfiguration, Kind};

/// How long one look waits for an answer; the driver gives a look 1.4 s.
const PATIENCE: Duration = Duration::from_millis(1200);
/// How long handing on a lease may hold up a restart.
const HAND_ON_LIMIT: Duration = Duration::from_secs(3);
/// The same when stopping, where the API servers may be stopping too.
const HAND_ON_LIMIT_STOPPING: Duration = Duration::from_millis(1500);
/// For these the connection to an API server whose node died is given up after 8 s instead of 45 s.
const CLIENT_ENVIRONMENT: [(&str, &str); 2] =
    [(HTTP2_READ_IDLE_TIMEOUT_SECONDS, "5"), (HTTP2_PING_TIMEOUT_SECONDS, "3")];

/// One leader-elected component.
pub struct Controller {
    configuration: ControllerConfiguration,
    context: Context,
    binary: UpstreamBinary,
    identity: TlsFiles,
    /// The API server on the way that the child takes.
    api_server: ApiServer,
    liveness: HealthProbe,
    readiness: Option<HealthProbe>,
    leadership: Rc<Leadership>,
    _observation: Observation,
    front: Option<Front>,
}

impl Controller {
    /// A component that is not running yet. Must be made in a `LocalSet`: it looks at its lease and at the API servers in the
    /// background. An error if there is no free port for the front.
    pub fn new(configuration: ControllerConfiguration, context: Context) -> Result<Self, RuntimeError> {
        let kind = configuration.kind;
        let identity = context.paths.leaf(kind.client(), Authority::Cluster);
        let bundle = context.paths.trust(Authority::Cluster);
        let base = format!("https://{}", reached_at(configuration.bind_address, configuration.secure_port));
        let front = front(&configuration, &identity, &context)?;
        let api_server = match &front {
            Some(front) => ApiServer::through(front.address(), &configuration.api_server),
            None => ApiServer::At(configuration.api_server.clone()),
        };
        let lease = LeaderLease::new(
            api_server.dialled(),
            api_server.server_name().map(str::to_owned),
            identity.clone(),
            LEASE_NAMESPACE,
            kind.lease(),
        );
        let leadership = Rc::new(Leadership::new(lease, context.board.clone(), &context.instance));
        let own_readiness = kind.readiness_path() != kind.liveness_path();
        Ok(Self {
            binary: UpstreamBinary::new(context.child.program.clone()),
            liveness: HealthProbe::new(format!("{base}{}", kind.liveness_path()), bundle.clone()),
            readiness: own_readiness
                .then(|| HealthProbe::new(format!("{base}{}", kind.readiness_path()), bundle)),
            _observation: Rc::clone(&leadership).observe(),
            leadership,
            identity,
            api_server,
            configuration,
            context,
            front,
        })
    }

    /// The argv, and the version where it is one of Kubernetes' own binaries.
    async fn checked(&self) -> Result<(Vec<String>, Option<KubernetesVersion>), PrepareError> {
        let operators = &self.context.child.extra_arguments;
        let render = |version| self.configuration.argv(version, &self.context.paths, operators);
        if self.configuration.kind == Kind::CloudControllerManager {
            let argv = render(KubernetesVersion::NEWEST).map_err(preflight::BinaryError::Argument)?;
            self.binary.checked_flags(&argv, operators, &Silent).await?;
            return Ok((argv, None));
        }
        let Checked { version, argv } = self.binary.checked(render, operators, &Silent).await?;
        Ok((argv, Some(version)))
    }

    async fn write_kubeconfig(&self, progress: &dyn Progress) -> Result<(), PrepareError> {
        let path = self.context.paths.configuration(KUBECONFIG);
        let credentials = CredentialPaths {
            certificate_authority: &self.identity.authority,
            client_certificate: &self.identity.certificate,
            client_key: &self.identity.key,
        };
        let url = self.api_server.dialled();
        let server = Server { url: &url, name: self.api_server.server_name() };
        let rendered =
            render_with_files("hosted", server, self.configuration.kind.client().name(), &credentials);
        let write = || write_private(&path, rendered.as_bytes());
        when_there_is_space(progress, write, FileError::is_disk_full).await.map_err(|error| PrepareError {
            what: "the kubeconfig cannot be written".to_owned(),
            remedy: "make the runtime directory writable for this user".to_owned(),
            source: Some(Box::new(error)),
        })
    }
}

/// What the child does not inherit from us.
fn client_environment(is_set: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let missing = CLIENT_ENVIRONMENT.into_iter().filter(|(name, _)| !is_set(name));
    missing.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// With several API servers the child dials one that is ready, through us: behind one address of a Service it would dial a
/// dead one in turn, for as long as Kubernetes takes to notice that a node is gone.
fn front(
    configuration: &ControllerConfiguration,
    identity: &TlsFiles,
    context: &Context,
) -> Result<Option<Front>, RuntimeError> {
    if !configuration.serving_api_servers.may_be_several() {
        return Ok(None);
    }
    let servers =
        FrontedApiServers { servers: configuration.serving_api_servers.clone(), files: identity.clone() };
    let board = context.board.clone();
    let tell = move |line: &str| board.detail("apiServers", line);
    Front::start("API server", servers, CUT_AFTER, tell).map(Some).map_err(RuntimeError::front)
}

impl Supervised for Controller {
    async fn prepare(&self, progress: &dyn Progress) -> Result<ChildCommand, PrepareError> {
        self.liveness.forget();
        if let Some(readiness) = &self.readiness {
            readiness.forget();
        }
        self.write_kubeconfig(progress).await?;
        let mut api_server = ReadyApiServer {
            server: &self.api_server,
            front: self.front.as_ref(),
            known_as: &self.configuration.api_server,
            files: &self.identity,
        };
        let ready = async {
            wait_for(&mut api_server, Pace::EAGER, progress).await;
            Ok(())
        };
        let ((arguments, version), ()) = tokio::try_join!(self.checked(), ready)?;
        if let Some(version) = version {
            let ours = Release::from(version);
            self.context.board.detail("kubernetesVersion", &ours.to_string());
            let mut servers = NewEnoughApiServers {
                servers: &self.configuration.serving_api_servers,
                files: &self.identity,
                events: &self.context.events,
                ours,
            };
            wait_for(&mut servers, Pace::EAGER, progress).await;
        }
        // No child of ours lives here: after an OOM kill nobody was left to hand the lease on.
        self.leadership.hand_on(HAND_ON_LIMIT).await;
        wait_for_port(self.configuration.listens_at(), progress).await?;
        let environment = client_environment(|name| std::env::var_os(name).is_some());
        Ok(ChildCommand { program: self.context.child.program.clone(), arguments, environment })
    }

    async fn health(&self) -> Health {
        let slow = || HealthAnswer::None("takes long to answer".to_owned());
        let liveness = async { self.liveness.look(PATIENCE).await.unwrap_or_else(slow) };
        let (alive, ready) = if let Some(readiness) = &self.readiness {
            let readiness = async { readiness.look(PATIENCE).await.unwrap_or_else(slow) };
            tokio::join!(liveness, readiness)
        } else {
            let alive = liveness.await;
            (alive.clone(), alive)
        };
        Health { alive: alive.healthy(), ready: ready.healthy() }
    }

    async fn can_be_spared(&self) -> Result<(), String> {
        Ok(())
    }

    async fn hold_back(&self, _progress: &dyn Progress) {}

    async fn drain_is_senseless(&self) -> String {
        std::future::pending().await
    }

    async fn ended(&self, _ending: ChildEnding, stopping: bool) {
        let limit = if stopping { HAND_ON_LIMIT_STOPPING } else { HAND_ON_LIMIT };
        self.leadership.hand_on(limit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_api_server_is_given_up_soon_unless_somebody_set_another_time() {
        let told = |is_set: fn(&str) -> bool| client_environment(is_set).into_iter().collect::<Vec<_>>();
        let ours = CLIENT_ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told(|_| false), [ours[1].clone(), ours[0].clone()]);
        assert_eq!(told(|name| name == HTTP2_PING_TIMEOUT_SECONDS), [ours[0].clone()]);
        assert_eq!(told(|_| true), []);
    }
}
