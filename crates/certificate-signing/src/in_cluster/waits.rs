//! What a replica waits for before it signs: its keys, the means to identify callers, the API servers' addresses.
//! Refuses to tell less than the API itself said: a missing right is named by it.

use caller_identity::ServiceAccountCallers;
use certificates::LeafName;
use conditions::{Condition, Progress, Sighting};
use health_endpoints::{State, StatusBoard};
use k8s_openapi::api::core::v1::Service;
use management_api::{ManagementApi, find};
use time::OffsetDateTime;

use super::addresses::load_balancer_names;
use super::secret_store::{OpenedSecrets, SecretStore};
use super::secret_store_error::SecretStoreError;
use crate::Origin;

/// The keys are in their Secrets, made by us or by another replica.
pub(super) struct KeysOpened {
    pub(super) store: SecretStore,
    /// The last thing that a person has to put right.
    pub(super) told: Option<String>,
}

impl Condition for KeysOpened {
    type Output = OpenedSecrets;

    fn awaits(&self) -> String {
        format!(
            "the CA keys and shared keys in Secrets of namespace {} at {}",
            self.store.api.namespace(),
            self.store.api.server()
        )
    }

    async fn look(&mut self) -> Sighting<OpenedSecrets> {
        match self.store.open_or_found(OffsetDateTime::now_utc()).await {
            Ok(opened) => {
                if opened.origin == Origin::Founded {
                    tracing::info!(
                        release = self.store.objects.release(),
                        "keys made; back their Secrets up"
                    );
                }
                Sighting::Holds(opened)
            }
            Err(error) => {
                let why = match &error {
                    SecretStoreError::Api(error) => error.told(),
                    other => telemetry::error_chain(other),
                };
                // What nobody but a person can put right is an error, told once; it is waited out all the same.
                if error.needs_a_person() && self.told.as_ref() != Some(&why) {
                    tracing::error!(error = why, "the keys of this control plane cannot be used");
                    self.told = Some(why.clone());
                }
                Sighting::NotYet(why)
            }
        }
    }
}

/// Everything that a token makes us ask can be asked.
pub(super) struct CallersIdentifiable<'a> {
    pub(super) callers: &'a ServiceAccountCallers,
    pub(super) own_pod: &'a str,
}

impl Condition for CallersIdentifiable<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        "the right and the means to identify callers by the management cluster".to_owned()
    }

    async fn look(&mut self) -> Sighting<()> {
        match self.callers.rehearse(self.own_pod).await {
            Ok(()) => Sighting::Holds(()),
            Err(error) => Sighting::NotYet(error.told()),
        }
    }
}

/// The addresses that the API servers' Service has, or that there is no such Service (yet): without them a replica that
/// starts would call back certificates that already carry them.
pub(super) struct ServiceRead<'a> {
    pub(super) api: &'a ManagementApi,
    pub(super) service: String,
}

impl Condition for ServiceRead<'_> {
    type Output = Vec<LeafName>;

    fn awaits(&self) -> String {
        format!("Service {}/{} at {}", self.api.namespace(), self.service, self.api.server())
    }

    async fn look(&mut self) -> Sighting<Vec<LeafName>> {
        match find::<Service>(self.api, &self.service).await {
            Ok(service) => Sighting::Holds(service.as_ref().map(load_balancer_names).unwrap_or_default()),
            Err(error) => Sighting::NotYet(error.told()),
        }
    }
}

/// Tells /statusz, with what was seen in the reason: a wait here ends by what a person does.
pub(super) struct OnBoard<'a> {
    pub(super) board: &'a StatusBoard,
}

impl Progress for OnBoard<'_> {
    fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
        let reason = match last_seen {
            Some(seen) => format!("{awaits}: {seen}"),
            None => awaits.to_owned(),
        };
        self.board.enter(State::Waiting, &reason);
        if let Some(seen) = last_seen {
            self.board.observed(seen);
        }
    }
}
