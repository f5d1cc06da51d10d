//! Writes every Secret of the hosted cluster anew, as it is, when the encryption keys were changed: the API server seals
//! what is written with the present key. Refuses to change anything, and to say that all is written when it is not.

use std::collections::VecDeque;
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
/// Longest pause after a failure, before jitter.
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

/// One pass over all Secrets. It survives failures: what is written stays written.
#[derive(Debug)]
struct Pass {
    /// Of the encryption keys.
    generation: u64,
    listed: bool,
    /// Namespace and name of each that is still to be written.
    left: VecDeque<(String, String)>,
    written: usize,
    last_failure: Option<String>,
}

impl Rewriting {
    /// By the API server at `server`, when the certificate-authority asks for it in the directory `published`.
    #[must_use]
    pub fn new(server: String, identity: TlsFiles, published: PathBuf, board: StatusBoard) -> Self {
        Self { server, identity, published, board }
    }

    /// Does so for ever; dropping it is safe at any time: the next one begins anew.
    pub async fn keep_rewritten(&self) {
        let mut done = None;
        let mut under_way = None;
        let mut backoff = Backoff::new(LOOK_EVERY, AGAIN_AFTER);
        loop {
            let asked = self.asked();
            if let Some(generation) = asked.filter(|_| asked != done) {
                let pass = Pass::going_on(&mut under_way, generation);
                let written_before = pass.written;
                match self.rewrite(pass).await {
                    Ok(()) => {
                        let count = pass.written;
                        tracing::info!(generation, count, "every Secret is written anew: done");
                        self.board.key_generation(PublishedGenerations::REWRITTEN, generation);
                        self.board.detail(DETAIL, "");
                        done = asked;
                        under_way = None;
                        backoff.reset();
                    }
                    Err(error) => {
                        let why = error_chain(&error);
                        tracing::warn!(generation, why, "not every Secret is written anew; tried again");
                        if pass.written > written_before {
                            backoff.reset();
                        }
                        pass.last_failure = Some(why);
                        self.board.detail(DETAIL, &pass.told());
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

    /// Writes what is left. The client is made anew each time: its certificate may have been renewed.
    async fn rewrite(&self, pass: &mut Pass) -> Result<(), ReconcileError> {
        let client = kubernetes_client(&self.server, None, &self.identity).map_err(ReconcileError::Client)?;
        self.rewrite_by(&client, pass).await
    }

    async fn rewrite_by(&self, client: &kube::Client, pass: &mut Pass) -> Result<(), ReconcileError> {
        self.board.detail(DETAIL, &pass.told());
        if !pass.listed {
            pass.left = self.names(client).await?;
            pass.listed = true;
        }
        while let Some((namespace, name)) = pass.left.front() {
            let written = self.rewrite_one(client, namespace, name).await;
            // Behind all others, which should not wait for one that somebody refuses.
            pass.left.rotate_left(1);
            written?;
            pass.left.pop_back();
            pass.written += 1;
            self.board.detail(DETAIL, &pass.told());
        }
        Ok(())
    }

    /// Of all Secrets. One that is made later is sealed with the present key. All are listed before the first is written: a list
    /// can only be continued for five to ten minutes (etcd's compaction by kube-apiserver), and writing may take hours.
    async fn names(&self, client: &kube::Client) -> Result<VecDeque<(String, String)>, ReconcileError> {
        let all: Api<Secret> = Api::all(client.clone());
        let mut parameters = ListParams::default().limit(PAGE);
        let mut names = VecDeque::new();
        loop {
            let page = all
                .list_metadata(&parameters)
                .await
                .map_err(|source| self.failed("the list of Secrets".to_owned(), source))?;
            names.extend(page.items.into_iter().map(|PartialObjectMeta { metadata, .. }| {
                (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default())
            }));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(names),
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

impl Pass {
    /// The pass for this generation: the one that is under way, or a new one.
    fn going_on(under_way: &mut Option<Self>, generation: u64) -> &mut Self {
        if under_way.as_ref().is_some_and(|pass| pass.generation != generation) {
            *under_way = None;
        }
        under_way.get_or_insert_with(|| {
            tracing::info!(generation, "every Secret is written anew with the present encryption key");
            Self { generation, listed: false, left: VecDeque::new(), written: 0, last_failure: None }
        })
    }

    /// How far it is, for people.
    fn told(&self) -> String {
        let (left, all) = (self.left.len(), self.left.len() + self.written);
        let left = self.listed.then(|| format!(", {left} of {all} left"));
        let failure = self.last_failure.as_ref().map(|why| format!("; last failure: {why}"));
        format!(
            "for generation {} of the encryption keys{}{}",
            self.generation,
            left.unwrap_or_default(),
            failure.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use http::{Method, StatusCode};
    use http_serving::{Limits, Request, Response, respond, serve};
    use naming_contract::Component;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const SECRETS: usize = 600;

    /// A fake API server whose lists cannot be continued any more once a Secret was read, as after five minutes of writing.
    #[derive(Default)]
    struct Fake {
        pages: usize,
        secret_was_read: bool,
        written: BTreeMap<String, usize>,
        /// How often each is refused before it is taken.
        refusals: BTreeMap<String, usize>,
    }

    fn status(code: u16, reason: &str) -> (u16, Value) {
        (
            code,
            json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}),
        )
    }

    impl Fake {
        fn answer(&mut self, request: &Request) -> (u16, Value) {
            if request.path == "/api/v1/secrets" {
                return self.page(request.query.as_deref().unwrap_or_default());
            }
            let name = request.path.rsplit('/').next().unwrap_or_default().to_owned();
            self.secret_was_read = true;
            let refusals = self.refusals.entry(name.clone()).or_default();
            match request.method {
                Method::PUT if *refusals > 0 => {
                    *refusals -= 1;
                    return status(403, "refused by a webhook");
                }
                Method::PUT => *self.written.entry(name.clone()).or_default() += 1,
                _ => {}
            }
            let metadata = json!({"name": name, "namespace": "n", "resourceVersion": "1"});
            (200, json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}))
        }

        fn page(&mut self, query: &str) -> (u16, Value) {
            let value = |name: &str| {
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<usize>().ok())
            };
            let (from, limit) = (value("continue").unwrap_or(0), value("limit").unwrap_or(SECRETS));
            if from > 0 && self.secret_was_read {
                return status(410, "Expired");
            }
            self.pages += 1;
            let until = SECRETS.min(from + limit);
            let item = |index| json!({"metadata": {"name": format!("s{index}"), "namespace": "n"}});
            let items: Vec<Value> = (from..until).map(item).collect();
            let next = if until < SECRETS { until.to_string() } else { String::new() };
            (200, json!({"metadata": {"continue": next, "resourceVersion": "1"}, "items": items}))
        }
    }

    /// Runs `test` with somebody who rewrites, and a client of the fake.
    async fn against(fake: &Rc<RefCell<Fake>>, test: impl AsyncFnOnce(Rewriting, kube::Client)) {
        mutual_tls::install_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (fake, stop) = (Rc::clone(fake), CancellationToken::new());
        let handler = move |request: Request| {
            let (code, body) = fake.borrow_mut().answer(&request);
            let response: Response =
                respond(StatusCode::from_u16(code).unwrap(), "application/json", body.to_string());
            std::future::ready(response)
        };
        let client = kube::Client::try_from(kube::Config::new(server.parse().unwrap())).unwrap();
        let board = StatusBoard::new("cluster-bootstrap-0", Component::ClusterBootstrap, "0");
        let nowhere = TlsFiles { authority: "a".into(), certificate: "c".into(), key: "k".into() };
        let rewriting = Rewriting::new(server, nowhere, PathBuf::new(), board);
        let serving = serve(listener, None, Limits::default(), handler, stop.clone());
        LocalSet::new()
            .run_until(async {
                tokio::join!(serving, async {
                    test(rewriting, client).await;
                    stop.cancel();
                })
            })
            .await;
    }

    #[tokio::test]
    async fn writing_may_take_longer_than_a_list_can_be_continued_and_a_failure_costs_one_secret() {
        let refusals = BTreeMap::from([("s7".to_owned(), 1), ("s300".to_owned(), 2)]);
        let fake = Rc::new(RefCell::new(Fake { refusals, ..Fake::default() }));
        against(&fake, async |rewriting, client| {
            let mut under_way = None;
            let mut failures = Vec::new();
            while let Err(error) = rewriting.rewrite_by(&client, Pass::going_on(&mut under_way, 3)).await {
                failures.push(error.to_string());
                assert!(failures.len() < 10, "{failures:?}");
            }
            // Each of the two is tried again after all others; the second one twice.
            let told: Vec<bool> = ["s7", "s300", "s300"]
                .iter()
                .zip(&failures)
                .map(|(name, told)| told.ends_with(name))
                .collect();
            assert_eq!((told, failures.len()), (vec![true; 3], 3), "{failures:?}");
            assert_eq!(under_way.as_ref().map(|pass| pass.written), Some(SECRETS));
            assert_eq!(fake.borrow().pages, 3);
            let written = &fake.borrow().written;
            assert!(written.len() == SECRETS && written.values().all(|times| *times == 1), "{written:?}");
        })
        .await;
    }

    #[test]
    fn another_generation_is_another_pass_and_how_far_one_is_can_be_read() {
        let mut under_way = None;
        let pass = Pass::going_on(&mut under_way, 3);
        assert_eq!(pass.told(), "for generation 3 of the encryption keys");
        pass.left = VecDeque::from([("n".to_owned(), "s".to_owned())]);
        (pass.listed, pass.written, pass.last_failure) = (true, 2, Some("refused".to_owned()));
        let told = "for generation 3 of the encryption keys, 1 of 3 left; last failure: refused";
        assert_eq!(Pass::going_on(&mut under_way, 3).told(), told);
        assert_eq!(Pass::going_on(&mut under_way, 6).told(), "for generation 6 of the encryption keys");
    }
}
