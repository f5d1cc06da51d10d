//! The management cluster's issuer and its public keys, read from its API and kept for a short while.
//! Refuses to be made to ask often: neither unknown key ids and issuers nor an API that is away cause more than a few questions.

use std::time::Duration;

use management_api::ManagementApi;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::claims::UnverifiedToken;
use super::issuers::Issuers;
use super::signature::{KeySet, VerifyingKey};

/// Which issuer signs.
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Its keys.
const KEYS: &str = "/openid/v1/jwks";
/// An unknown key id or issuer causes a question at most so often: whoever sends made-up tokens must not make us load the API.
const UNKNOWN_AFTER: Duration = Duration::from_secs(10);
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
    issuers: Issuers,
    keys: KeySet,
    read_at: Instant,
}

/// The issuers, and the key that was looked for, if it is published.
#[derive(Debug)]
pub(super) struct FoundKey {
    pub(super) issuers: Issuers,
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

    /// The issuers and the key by which a token claims to be signed; asks the API if what is known is too old for the question.
    pub(super) async fn find(
        &self,
        token: Option<&UnverifiedToken<'_>>,
        now: OffsetDateTime,
    ) -> Result<FoundKey, PublishedKeysError> {
        let key = |published: &Published| published.keys.find(&token?.key_id);
        let mut known = self.known.lock().await;
        let explains = |published: &Published| {
            token.is_none_or(|token| key(published).is_some() && published.issuers.made(&token.claims))
        };
        let age_and_explains =
            known.published.as_ref().map(|published| (published.read_at.elapsed(), explains(published)));
        if must_ask(age_and_explains) {
            if let Some((at, why)) = &known.failure
                && at.elapsed() < FAILURE_KEPT_FOR
            {
                return Err(PublishedKeysError::JustNow(why.clone()));
            }
            match self.ask().await {
                Ok((issuer, keys)) => {
                    let issuers = match known.published.take() {
                        Some(before) => before.issuers.then(issuer, now),
                        None => Issuers::of(issuer),
                    };
                    let published = Some(Published { issuers, keys, read_at: Instant::now() });
                    *known = Known { published, failure: None };
                }
                Err(error) => {
                    known.failure = Some((Instant::now(), error.to_string()));
                    return Err(error);
                }
            }
        }
        let published = known.published.as_ref();
        Ok(FoundKey {
            issuers: published.map(|published| published.issuers.clone()).unwrap_or_default(),
            key: published.and_then(key),
        })
    }

    async fn ask(&self) -> Result<(String, KeySet), PublishedKeysError> {
        let Discovery { issuer } = self.read(DISCOVERY).await?;
        Ok((issuer, self.read(KEYS).await?))
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

/// Whether the API must be asked before a question about a token can be answered: `known` is how old what is known is, and
/// whether the token's key and issuer are among it.
fn must_ask(known: Option<(Duration, bool)>) -> bool {
    known.is_none_or(|(age, explains)| age >= if explains { KEPT_FOR } else { UNKNOWN_AFTER })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use http_serving::{Limits, Request, respond, serve};
    use management_api::ManagementArguments;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;
    use tokio_util::sync::CancellationToken;

    use super::super::claims::Algorithm;
    use super::*;

    #[test]
    fn what_is_unknown_causes_a_question_at_most_every_ten_seconds() {
        let seconds = Duration::from_secs;
        assert!(must_ask(None));
        assert!(!must_ask(Some((seconds(9), false))));
        assert!(must_ask(Some((seconds(10), false))));
        assert!(!must_ask(Some((seconds(299), true))));
        assert!(must_ask(Some((seconds(300), true))));
    }

    fn token(issuer: &str, not_before: i64) -> UnverifiedToken<'static> {
        let account = json!({ "name": "demo-etcd", "uid": "1" });
        let claims = json!({
            "iss": issuer, "sub": "s", "aud": "a", "exp": not_before + 3600, "nbf": not_before,
            "kubernetes.io": { "namespace": "n", "serviceaccount": account },
        });
        UnverifiedToken {
            algorithm: Algorithm::Rs256,
            key_id: "one".to_owned(),
            claims: serde_json::from_value(claims).unwrap(),
            signed: "",
            signature: Vec::new(),
        }
    }

    /// A fake API that publishes one key and what is in `issuer`, and counts how often it is asked for that.
    async fn against(
        issuer: Rc<RefCell<&'static str>>,
        asked: Rc<Cell<usize>>,
        test: impl AsyncFnOnce(PublishedKeys),
    ) {
        mutual_tls::install_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let credentials = tempfile::tempdir().unwrap();
        for (file, content) in [("namespace", "tenants"), ("token", "t"), ("ca.crt", "")] {
            durable_files::write_private(&credentials.path().join(file), content.as_bytes()).unwrap();
        }
        let arguments = ManagementArguments {
            management_api_server: Some(format!("http://{}", listener.local_addr().unwrap())),
            management_credentials: credentials.path().to_owned(),
        };
        let handler = move |request: Request| {
            let body = if request.path == DISCOVERY {
                asked.set(asked.get() + 1);
                json!({ "issuer": *issuer.borrow() })
            } else {
                json!({ "keys": [{ "use": "sig", "kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB" }] })
            };
            std::future::ready(respond(http::StatusCode::OK, "application/json", body.to_string()))
        };
        let stop = CancellationToken::new();
        let serving = serve(listener, None, Limits::default(), handler, stop.clone());
        let testing = async {
            test(PublishedKeys::new(arguments.connect().unwrap())).await;
            stop.cancel();
        };
        LocalSet::new().run_until(Box::pin(async { tokio::join!(serving, testing) })).await;
    }

    #[tokio::test]
    async fn another_issuer_is_noticed_by_its_first_token_and_the_earlier_one_stays_good_for_what_it_made() {
        let (issuer, asked) = (Rc::new(RefCell::new("old")), Rc::new(Cell::new(0)));
        against(Rc::clone(&issuer), Rc::clone(&asked), async |keys| {
            let now = OffsetDateTime::now_utc();
            let (before, after) = (now.unix_timestamp(), now.unix_timestamp() + 100);
            let believed = async |token: UnverifiedToken<'static>| {
                let found = keys.find(Some(&token), now).await.unwrap();
                found.key.is_some() && found.issuers.made(&token.claims)
            };
            assert!(believed(token("old", before)).await && asked.get() == 1);
            *issuer.borrow_mut() = "new";
            assert!(!believed(token("new", after)).await && asked.get() == 1);
            tokio::time::pause();
            tokio::time::advance(UNKNOWN_AFTER).await;
            tokio::time::resume();
            assert!(believed(token("new", after)).await && asked.get() == 2);
            assert!(believed(token("old", before)).await && !believed(token("old", after)).await);
            assert_eq!(asked.get(), 2, "nobody makes us ask more often");
        })
        .await;
    }
}
