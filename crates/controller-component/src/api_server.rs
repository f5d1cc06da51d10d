//! Waiting for API servers that this component may work with: ready, and none of those that answer older than it.
//! Refuses anonymous looks: an API server that does not know our certificate is not ready for us.

use std::time::Duration;

use component_flags::Release;
use component_runtime::PodEvents;
use conditions::{Condition, Sighting};
use kubernetes_health::{HealthAnswer, why_no_answer};
use mutual_tls::TlsFiles;
use serving_api_servers::{ApiServer, ServingApiServers};
use tcp_front::Front;
use version_skew::Permission;

/// One request. /readyz of an API server that has just lost etcd takes 4 s.
const LIMIT: Duration = Duration::from_secs(5);

/// An API server that is ready, asked with the component's own certificate on the way that the component takes.
pub(crate) struct ReadyApiServer<'a> {
    pub(crate) server: &'a ApiServer,
    /// What is on that way, if anything is.
    pub(crate) front: Option<&'a Front>,
    /// What people call it.
    pub(crate) known_as: &'a str,
    pub(crate) files: &'a TlsFiles,
}

impl Condition for ReadyApiServer<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        format!("the API server at {} to be ready", self.known_as)
    }

    async fn look(&mut self) -> Sighting<()> {
        if let Some(why) = self.front.and_then(Front::nobody) {
            return Sighting::NotYet(why);
        }
        let answer = match self.server.client(self.files, LIMIT) {
            Ok(client) => readiness(&client, &self.server.url()).await,
            Err(error) => HealthAnswer::None(telemetry::error_chain(&error)),
        };
        match answer.healthy() {
            Ok(()) => Sighting::Holds(()),
            Err(why) => Sighting::NotYet(why),
        }
    }
}

/// API servers of which each that answers is new enough for a component of this version.
pub(crate) struct NewEnoughApiServers<'a> {
    pub(crate) servers: &'a ServingApiServers,
    pub(crate) files: &'a TlsFiles,
    pub(crate) events: &'a PodEvents,
    pub(crate) ours: Release,
}

impl Condition for NewEnoughApiServers<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        format!("every serving API server to be {} or newer", self.ours.series())
    }

    async fn look(&mut self) -> Sighting<()> {
        // An API server that does not answer serves nobody; the next look, or its own start, will tell.
        let serving = match self.servers.versions_of_ready(self.files, LIMIT).await {
            Ok(versions) => versions.answered,
            Err(why) => return Sighting::NotYet(why),
        };
        match version_skew::controller(self.ours, &serving) {
            Permission::Granted => Sighting::Holds(()),
            Permission::Later(why) => Sighting::NotYet(why),
            Permission::Refused(why) => {
                self.events.refused(&why);
                Sighting::NotYet(why)
            }
        }
    }
}

/// What the API server at `url` says when `client` asks it whether it is ready.
pub(crate) async fn readiness(client: &reqwest::Client, url: &str) -> HealthAnswer {
    match client.get(format!("{url}/readyz")).send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            HealthAnswer::read(status, &response.text().await.unwrap_or_default())
        }
        Err(error) => HealthAnswer::None(why_no_answer(&error)),
    }
}
