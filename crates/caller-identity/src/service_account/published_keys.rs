//! The management cluster's issuer and its public keys, read from its API and kept for a short while.
//! Refuses to be made to ask often: neither unknown key ids nor an API that is away cause more than a few questions.

use std::time::Duration;

use management_api::ManagementApi;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::signature::{KeySet, VerifyingKey};

/// Which issuer signs.
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Its keys.
const KEYS: &str = "/openid/v1/jwks";
/// An unknown key id causes a question at most so often: whoever sends made-up tokens must not make us load the API.
const UNKNOWN_KEY_AFTER: Duration = Duration::from_secs(10);
/// A key that was withdrawn is forgotten after this.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);
/// An API that did not answer is not asked again before this.
const FAILURE_KEPT_FOR: Duration = Duration::from_secs(1);
/// The API server answers from memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// What the management cluster publishes about its tokens.
#[derive(Debug)]
pub(super) struct PublishedKeys {
    api: ManagementApi,
    /// Held while asking: whoever comes meanwhile waits for the same answer.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    published: Option<Published>,
    failure: Option<(Instant, String)>,
}

#[derive(Debug)]
struct Published {
    issuer: String,
    keys: KeySet,
    read_at: Instant,
}

/// The issuer, and the key that was looked for, if it is published.
#[derive(Debug)]
pub(super) struct FoundKey {
    pub(super) issuer: String,
    pub(super) key: Option<VerifyingKey>,
}

/// Why the keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PublishedKeysError {
    /// The API does not answer, or refuses.
    #[error(
        "cannot read {path} of the management API at {server}: {why} (every ServiceAccount may read it by ClusterRole system:service-account-issuer-discovery; the API publishes it only if its --service-account-issuer is a https URL)"
    )]
    Unreadable {
        /// What was asked for.
        path: &'static str,
        /// Whom.
        server: String,
        /// What came instead.
        why: String,
    },
    /// It did not a moment ago.
    #[error("{0}")]
    JustNow(String),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl PublishedKeys {
    pub(super) fn new(api: ManagementApi) -> Self {
        Self { api, known: Mutex::default() }
    }

    /// The issuer and the key with this id; asks the API if what is known is too old for the question.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<FoundKey, PublishedKeysError> {
        let mut known = self.known.lock().await;
        let has_key = |published: &Published| id.is_none_or(|id| published.keys.find(id).is_some());
        let age_and_has_key =
            known.published.as_ref().map(|published| (published.read_at.elapsed(), has_key(published)));
        if must_ask(age_and_has_key) {
            if let Some((at, why)) = &known.failure
                && at.elapsed() < FAILURE_KEPT_FOR
            {
                return Err(PublishedKeysError::JustNow(why.clone()));
            }
            match self.ask().await {
                Ok(published) => *known = Known { published: Some(published), failure: None },
                Err(error) => {
                    known.failure = Some((Instant::now(), error.to_string()));
                    return Err(error);
                }
            }
        }
        let published = known.published.as_ref();
        Ok(FoundKey {
            issuer: published.map(|published| published.issuer.clone()).unwrap_or_default(),
            key: published.zip(id).and_then(|(published, id)| published.keys.find(id)),
        })
    }

    async fn ask(&self) -> Result<Published, PublishedKeysError> {
        let Discovery { issuer } = self.read(DISCOVERY).await?;
        let keys = self.read(KEYS).await?;
        Ok(Published { issuer, keys, read_at: Instant::now() })
    }

    async fn read<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, PublishedKeysError> {
        let failed =
            |why: String| PublishedKeysError::Unreadable { path, server: self.api.server().to_owned(), why };
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| failed(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.api.client().request_text(request))
            .await
            .map_err(|_late| failed(format!("no answer within {ANSWER_LIMIT:?}")))?
            .map_err(|error| failed(telemetry::error_chain(&error)))?;
        serde_json::from_str(&answer).map_err(|error| failed(error.to_string()))
    }
}

/// Whether the API must be asked before a question about a key can be answered: `known` is how old the keys are and
/// whether the wanted one is among them.
fn must_ask(known: Option<(Duration, bool)>) -> bool {
    known.is_none_or(|(age, has_key)| age >= if has_key { KEPT_FOR } else { UNKNOWN_KEY_AFTER })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_key_ids_cause_a_question_at_most_every_ten_seconds() {
        let seconds = Duration::from_secs;
        assert!(must_ask(None));
        assert!(!must_ask(Some((seconds(9), false))));
        assert!(must_ask(Some((seconds(10), false))));
        assert!(!must_ask(Some((seconds(299), true))));
        assert!(must_ask(Some((seconds(300), true))));
    }
}
