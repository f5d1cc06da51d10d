//! Shared keys are replaced under a steady client, with the certificate-authority killed at every step of the way.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use disruption::SHUTTING_DOWN;
use end_to_end::{ControlPlane, Rotation, Writer, client, component, create_namespace, eventually};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use process_control::{Spawn, capture};
use serde_json::Value;
use tokio::time::Instant;

const OVERLAP: Duration = Duration::from_secs(20);
/// Four reloads by kube-apiserver, each within a minute, and a minute for requests.
const LIMIT: Duration = Duration::from_secs(400);
/// CAs are rotated elsewhere.
const KEYS: [&str; 2] = ["service-account", "encryption"];
const SECRETS: usize = 40;
const NAMESPACE: &str = "rotation";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_keys_are_replaced_and_nobody_notices() {
    let plane = ControlPlane::ready(&["--service-account-key-overlap=20s"]).await;
    let client = client(&plane.kubeconfig()).await;
    create_namespace(&client, NAMESPACE).await;
    make_secrets(&client).await;
    let servers = Servers::of(&plane).await;
    let first_token = token(&client).await.unwrap();
    assert_eq!(servers.accept(&first_token).await, [Some(true); 2]);
    assert!(
        stored_secrets(&plane).await.values().all(|value| value.starts_with("k8s:enc:secretbox:v1:key1:"))
    );

    let writer = Writer::start(client.clone(), NAMESPACE, Duration::from_millis(50));
    let checker = Checker::start(client.clone(), servers.clone(), first_token.clone());
    let begun = Instant::now();
    for key in ["service-account-key", "encryption-key"] {
        let (code, output, error) = plane.command(&["rotate", key]).await;
        assert_eq!((code, output.contains("key 2 is on its way")), (0, true), "{output}{error}");
    }
    until_stage(&plane, "service-account", "key 2 is made known").await;
    let (code, _, error) = plane.command(&["rotate", "service-account-key"]).await;
    assert_eq!((code, error.contains("a rotation is under way: key 2")), (1, true), "{error}");

    // Whoever drives it dies whenever something has changed.
    let mut stages = BTreeMap::new();
    let mut killed = 0;
    eventually("both rotations end", LIMIT, async || {
        let told = rotations(&plane).await;
        if told.len() < 2 {
            // It has just been started again.
            return Err(stages.clone());
        }
        let stage = |set: &str| told.get(set).map(|told| told.stage.clone());
        if stage("service-account").is_some_and(|stage| stage.contains("about to go")) {
            checker.first_token_may_end.store(true, Ordering::Relaxed);
        }
        let now: BTreeMap<String, String> =
            told.iter().map(|(set, told)| (set.clone(), told.stage.clone())).collect();
        if now != stages {
            println!("{:?}: {now:?}", begun.elapsed());
            stages.clone_from(&now);
            let authority = plane.instance("certificate-authority-0").await;
            if let Some(pid) = authority.supervisor_pid {
                kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
                killed += 1;
            }
        }
        if told.values().all(|told| told.key == 2 && !told.under_way) { Ok(()) } else { Err(now) }
    })
    .await;
    println!(
        "both keys replaced after {:?}; the certificate-authority was killed {killed} times",
        begun.elapsed()
    );
    assert!(killed >= 5, "it was killed at every change");

    eventually("the old key is trusted by nobody", Duration::from_secs(60), async || {
        let accepted = servers.accept(&first_token).await;
        if accepted == [Some(false); 2] { Ok(()) } else { Err(accepted) }
    })
    .await;
    let seen = checker.stop().await;
    let report = writer.stop_and_check().await;
    println!(
        "{} tokens checked {} times, {} Secrets read, {} of them at the second try, {} tries without an answer; {} writes, longest gap {:?}, failed: {:?}, of which done nevertheless {}",
        seen.tokens,
        seen.acceptances,
        seen.reads,
        seen.repeated_reads,
        seen.unanswered,
        report.acknowledged.len(),
        report.longest_gap,
        report.failed,
        report.done_nevertheless
    );
    assert_eq!(seen.refused, Vec::<String>::new());
    // Two API servers restart three times, and each time one read may be in the way.
    assert!(seen.repeated_reads <= 6, "{seen:?}");
    assert!(seen.tokens > 100 && seen.acceptances > 500 && seen.reads > 100, "{seen:?}");

    let stored = stored_secrets(&plane).await;
    assert!(stored.len() >= SECRETS);
    for (name, value) in stored {
        assert!(value.starts_with("k8s:enc:secretbox:v1:key2:"), "{name} is sealed with an older key");
    }
    for (name, content) in secrets(&client).await {
        assert_eq!(content, name, "a Secret holds what it held");
    }
    eventually("nobody has the old encryption key any more", Duration::from_secs(90), async || {
        let (_code, output, _error) = plane.command(&["status", "-o", "json"]).await;
        let rows: Vec<Value> = serde_json::from_str(&output).unwrap_or_default();
        let mut servers = rows.iter().filter(|row| row["component"] == "kube-apiserver");
        if servers.all(|row| row["keyGenerations"]["encryption"] == 4) { Ok(()) } else { Err(output) }
    })
    .await;
    for server in ["kube-apiserver-0", "kube-apiserver-1"] {
        let runtime = plane.state_directory().join("instances").join(server).join("runtime");
        let configuration = std::fs::read_to_string(runtime.join("configuration/encryption.json")).unwrap();
        assert!(configuration.contains("\"key2\"") && !configuration.contains("\"key1\""), "{server}");
    }
}

/// What the certificate-authority tells about each key; nothing while it is away.
async fn rotations(plane: &ControlPlane) -> BTreeMap<String, Rotation> {
    let mut told = plane.rotations().await;
    told.retain(|set, _| KEYS.contains(&set.as_str()));
    told
}

async fn until_stage(plane: &ControlPlane, set: &str, wanted: &str) {
    eventually(wanted, Duration::from_secs(30), async || {
        let told = rotations(plane).await;
        let stage = told.get(set).map(|told| told.stage.clone()).unwrap_or_default();
        if stage.contains(wanted) { Ok(()) } else { Err(stage) }
    })
    .await;
}

async fn token(client: &Client) -> Result<String, kube::Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = TokenRequest::default();
    // The account is made by a controller, a moment after its namespace.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match accounts.create_token_request("default", &PostParams::default(), &request).await {
            Err(kube::Error::Api(status)) if status.code == 404 && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => return other.map(|made| made.status.expect("a token").token),
        }
    }
}

async fn make_secrets(client: &Client) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    for number in 0..SECRETS {
        let name = format!("secret-{number}");
        let secret = Secret {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            string_data: Some([("content".to_owned(), name)].into()),
            ..Secret::default()
        };
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }
}

async fn secrets(client: &Client) -> BTreeMap<String, String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let list = secrets.list(&kube::api::ListParams::default()).await.expect("Secrets are readable");
    list.items.into_iter().map(|secret| (secret.metadata.name.unwrap(), content_of(secret.data))).collect()
}

fn content_of(data: Option<BTreeMap<String, k8s_openapi::ByteString>>) -> String {
    String::from_utf8(data.unwrap()["content"].0.clone()).unwrap()
}

/// Key and beginning of the value of every Secret, as etcd has them.
async fn stored_secrets(plane: &ControlPlane) -> BTreeMap<String, String> {
    let etcd = plane.instance("etcd-0").await;
    let urls = argument(etcd.pid.unwrap(), "--listen-client-urls");
    let runtime = plane.state_directory().join("instances/kube-apiserver-0/runtime");
    let leaf = runtime.join("certificates/apiserver-etcd-client");
    let file = |flag: &str, path: &Path| format!("{flag}={}", path.display());
    let spawn = Spawn::new(component("etcdctl"))
        .arguments([format!("--endpoints={urls}")])
        .arguments([file("--cacert", &runtime.join("trust/etcd.crt"))])
        .arguments([file("--cert", &leaf.join("tls.crt")), file("--key", &leaf.join("tls.key"))])
        .arguments(["get", "/registry/secrets/", "--prefix", "-w", "json"])
        .from_thread_that_outlives_it();
    let captured = capture(&spawn, Duration::from_secs(20)).await.expect("etcdctl runs");
    let answer: Value = serde_json::from_slice(&captured.stdout).expect("etcdctl answers");
    let text = |value: &Value| {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
        String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned()
    };
    answer["kvs"].as_array().unwrap().iter().map(|pair| (text(&pair["key"]), text(&pair["value"]))).collect()
}

/// A flag of a process, `--flag=value`.
fn argument(pid: u32, flag: &str) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments: Vec<&str> = line.split(|byte| *byte == 0).map(|it| str::from_utf8(it).unwrap()).collect();
    let value = arguments.iter().find_map(|argument| argument.strip_prefix(flag)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {flag} in {arguments:?}")).to_owned()
}

/// Each API server by itself, not behind the front.
#[derive(Clone)]
struct Servers {
    urls: [String; 2],
    http: reqwest::Client,
}

impl Servers {
    async fn of(plane: &ControlPlane) -> Self {
        let mut urls = [String::new(), String::new()];
        for (index, url) in urls.iter_mut().enumerate() {
            let pid = plane.instance(&format!("kube-apiserver-{index}")).await.pid.unwrap();
            *url = format!("https://127.0.0.1:{}/api", argument(pid, "--secure-port"));
        }
        let bundle = plane.state_directory().join("trust/cluster.crt");
        let http = mutual_tls::http_client(&bundle, None, Duration::from_secs(5)).unwrap();
        Self { urls, http }
    }

    /// Whether each takes the token for good; none of one that does not answer or is going away.
    async fn accept(&self, token: &str) -> [Option<bool>; 2] {
        let mut accepted = [None, None];
        for (accepted, url) in accepted.iter_mut().zip(&self.urls) {
            *accepted = match self.http.get(url).bearer_auth(token).send().await {
                Ok(answer) if answer.status() == 401 => Some(false),
                Ok(answer) if answer.status() == 200 || answer.status() == 403 => Some(true),
                _ => None,
            };
        }
        accepted
    }
}

/// What an API server that ends says to the last who come on open connections, always with Retry-After; and what a client of HTTP/1.1 sees that sends just when an idle connection is
/// closed. client-go reads again by itself after either.
fn asks_for_another_try(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 503 && status.message == SHUTTING_DOWN,
        kube::Error::Service(_) => true,
        _ => false,
    }
}

/// Makes tokens and shows them, young and old ones, to each API server; reads Secrets.
struct Checker {
    stop: Arc<AtomicBool>,
    first_token_may_end: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Checked>,
}

#[derive(Debug, Default)]
struct Checked {
    tokens: u32,
    acceptances: u32,
    unanswered: u32,
    reads: u32,
    repeated_reads: u32,
    refused: Vec<String>,
}

impl Checker {
    fn start(client: Client, servers: Servers, first_token: String) -> Self {
        let (stop, may_end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (stopped, first_token_may_end) = (Arc::clone(&stop), Arc::clone(&may_end));
        let task = tokio::spawn(async move {
            let mut seen = Checked::default();
            let mut tokens: VecDeque<(Instant, String)> = VecDeque::new();
            while !stopped.load(Ordering::Relaxed) {
                match token(&client).await {
                    Ok(token) => {
                        seen.tokens += 1;
                        tokens.push_front((Instant::now(), token));
                    }
                    Err(_) => seen.unanswered += 1,
                }
                // The present one, and from time to time those that should still be good.
                tokens.retain(|(made, _)| made.elapsed() + Duration::from_secs(5) < OVERLAP);
                let all = seen.tokens % 10 == 0;
                for (made, token) in tokens.iter().take(if all { usize::MAX } else { 1 }) {
                    let accepted = servers.accept(token).await;
                    seen.note(accepted, || format!("a token of {:?}", made.elapsed()));
                }
                let accepted = servers.accept(&first_token).await;
                if !first_token_may_end.load(Ordering::Relaxed) {
                    seen.note(accepted, || "the first token".to_owned());
                }
                let number = seen.reads as usize % SECRETS;
                let name = format!("secret-{number}");
                let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
                let mut read = secrets.get(&name).await;
                if read.as_ref().is_err_and(asks_for_another_try) {
                    seen.repeated_reads += 1;
                    read = secrets.get(&name).await;
                }
                match read {
                    Ok(secret) if content_of(secret.data.clone()) == name => seen.reads += 1,
                    other => seen.refused.push(format!("{name}: {other:?}")),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            seen
        });
        Self { stop, first_token_may_end: may_end, task }
    }

    async fn stop(self) -> Checked {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

impl Checked {
    fn note(&mut self, accepted: [Option<bool>; 2], what: impl Fn() -> String) {
        for (server, accepted) in accepted.into_iter().enumerate() {
            match accepted {
                Some(true) => self.acceptances += 1,
                Some(false) => self.refused.push(format!("kube-apiserver-{server} refuses {}", what())),
                None => self.unanswered += 1,
            }
        }
    }
}
