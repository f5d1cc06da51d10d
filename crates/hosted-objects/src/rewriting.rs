//! Writes every Secret of the hosted cluster anew, as it is, when the encryption keys were changed: the API server seals
//! what is written with the present key. Refuses to change anything, and to say that all is written when it is not.

use std::path::PathBuf;
use std::time::Duration;

use certificates::PublishedGenerations;
use conditions::Backoff;
use health_endpoints::StatusBoard;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::PartialObjectMeta;
use mutual_tls::{TlsFiles, kubernetes_client};
use naming_contract::files;
use telemetry::error_chain;

use crate::ReconcileError;
use crate::reconcile::cause;

/// How often is looked whether it is asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure; what is written already costs a reading only.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Names listed at once; Secrets themselves, of up to 1 MiB each, are read one by one.
const PAGE: u32 = 250;
/// Somebody who changes a Secret all the time writes it anew himself.
const TRIES: usize = 10;
/// What /statusz tells while it goes on.
const DETAIL: &str = "rewritingSecrets";

/// Rewrites what is stored, when it is asked for.
#[derive(Debug)]
pub struct Rewriting {
    server: String,
    identity: TlsFiles,
    published: PathBuf,
    board: StatusBoard,
}

impl Rewriting {
    /// By the API server at `server`, when the certificate-authority asks for it in the directory `published`.
    #[must_use]
    pub fn new(server: String, identity: TlsFiles, published: PathBuf, board: StatusBoard) -> Self {
        Self { server, identity, published, board }
    }

    /// Does so for ever; dropping it is safe at any time: what is left is done by the next one.
    pub async fn keep_rewritten(&self) {
        let mut done = None;
        let mut backoff = Backoff::new(LOOK_EVERY, AGAIN_AFTER);
        loop {
            let asked = self.asked();
            if let Some(generation) = asked.filter(|_| asked != done) {
                tracing::info!(generation, "every Secret is written anew with the present encryption key");
                self.board.detail(DETAIL, &format!("for generation {generation} of the encryption keys"));
                match self.rewrite().await {
                    Ok(count) => {
                        tracing::info!(generation, count, "every Secret is written anew: done");
                        self.board.key_generation(PublishedGenerations::REWRITTEN, generation);
                        self.board.detail(DETAIL, "");
                        done = asked;
                        backoff.reset();
                    }
                    Err(error) => {
                        let why = error_chain(&error);
                        tracing::warn!(generation, why, "not every Secret is written anew; tried again");
                        self.board.detail(DETAIL, &why);
                        tokio::time::sleep(backoff.next_delay()).await;
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn asked(&self) -> Option<u64> {
        let content = std::fs::read(self.published.join(files::GENERATIONS)).ok()?;
        PublishedGenerations::read(&content).rewrite_stored
    }

    /// One pass over all Secrets; gives their number.
    async fn rewrite(&self) -> Result<usize, ReconcileError> {
        let client = kubernetes_client(&self.server, None, &self.identity).map_err(ReconcileError::Client)?;
        let all: Api<Secret> = Api::all(client.clone());
        let mut parameters = ListParams::default().limit(PAGE);
        let mut count = 0;
        loop {
            let page = all
                .list_metadata(&parameters)
                .await
                .map_err(|source| self.failed("the list of Secrets".to_owned(), source))?;
            for PartialObjectMeta { metadata, .. } in page.items {
                let (namespace, name) =
                    (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
                self.rewrite_one(&client, &namespace, &name).await?;
                count += 1;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(count),
            }
        }
    }

    /// Reads and writes it, whatever is in it: the API server writes what it finds sealed with another key.
    async fn rewrite_one(
        &self,
        client: &kube::Client,
        namespace: &str,
        name: &str,
    ) -> Result<(), ReconcileError> {
        let secrets: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<Secret>(&()));
        let failed = |source| self.failed(format!("Secret {namespace}/{name}"), source);
        let mut tries = 0;
        loop {
            let Some(secret) = secrets.get_opt(name).await.map_err(failed)? else { return Ok(()) };
            match secrets.replace(name, &PostParams::default(), &secret).await {
                Ok(_) => return Ok(()),
                // It is gone.
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => tries += 1,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn failed(&self, object: String, source: kube::Error) -> ReconcileError {
        ReconcileError::Request { server: self.server.clone(), object, source: cause(source) }
    }
}
