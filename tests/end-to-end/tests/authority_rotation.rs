//! All CAs are replaced under a steady client, with the certificate-authority killed at every step of the way.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certificates::{LeafFacts, bundle_certificates};
use end_to_end::{
    ControlPlane, Instance, Rotation, Writer, binary, client, component, create_namespace, eventually,
};
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use mutual_tls::TlsFiles;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use process_control::{Spawn, capture};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Two rounds of restarts, a minute in which leaves are certainly read anew, and twice the overlap.
const LIMIT: Duration = Duration::from_secs(420);
const NAMESPACE: &str = "rotation";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_cas_are_replaced_and_nobody_is_locked_out() {
    let plane = ControlPlane::ready(&["--certificate-authority-overlap=15s"]).await;
    let admin = client(&plane.kubeconfig()).await;
    create_namespace(&admin, NAMESPACE).await;
    let token = token(&admin).await;
    let kept = Kept::of(&plane).await;
    assert_eq!(
        issuers(&plane).await,
        ["etcd CA", "etcd-peer CA", "cluster CA", "front-proxy CA"].map(named).into()
    );
    let before = plane.status().await.unwrap();

    let writer = Writer::following(&plane.kubeconfig(), NAMESPACE, Duration::from_millis(50));
    let begun = Instant::now();
    let (code, output, error) = plane.command(&["rotate", "certificate-authorities"]).await;
    assert_eq!((code, output.contains("CA 2 of every kind is on its way")), (0, true), "{output}{error}");

    // Whoever drives it dies whenever something has changed.
    let mut stages: Vec<String> = Vec::new();
    let mut members = Members::default();
    eventually("the rotation ends", LIMIT, async || {
        let instances = plane.status().await.unwrap_or_default();
        members.look(&instances);
        let Some(told) = Rotation::told_by(instances).remove("certificate-authorities") else {
            return Err(format!("it starts again: {stages:?}"));
        };
        let stage = told.stage.clone();
        if stages.last() != Some(&stage) {
            println!("{:?}: {stage}", begun.elapsed());
            if stage.contains("made known") {
                let (code, _, error) = plane.command(&["rotate", "certificate-authorities"]).await;
                assert!(code == 1 && error.contains("a rotation is under way: CA 2"), "{error}");
            }
            stages.push(stage);
            if let Some(pid) = plane.instance("certificate-authority-0").await.supervisor_pid {
                kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
            }
        }
        if told.key == 2 && !told.under_way { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    println!(
        "all CAs replaced after {:?}; leaders of etcd restarted: {:?}",
        begun.elapsed(),
        members.leaders
    );
    assert!(!members.leaders.is_empty(), "somebody always leads, and all restart");
    assert_eq!(
        stages.iter().map(|stage| stage.split_once(", ").map_or("", |(_, rest)| rest)).collect::<Vec<_>>(),
        ["", "CA 1 is in use", "CA 1 is still trusted", "CA 1 is about to go", "CA 1 is dropped", ""]
    );

    let report = writer.stop_and_check().await;
    let after = plane.status().await.unwrap();
    let mut restarts: BTreeMap<String, u32> = BTreeMap::new();
    for (before, now) in before.iter().zip(&after) {
        *restarts.entry(now.component.clone()).or_default() += now.restarts - before.restarts;
    }
    println!(
        "{} writes, longest gap {:?}, failed: {:?}; restarts {restarts:?}",
        report.acknowledged.len(),
        report.longest_gap,
        report.failed
    );
    // A request on a connection that an ending API server closes, and two while etcd has no leader.
    let allowed = restarts["kube-apiserver"] + 2 * restarts["etcd"];
    assert!(report.failed.values().sum::<u32>() <= allowed, "{:?}", report.failed);
    assert!(report.longest_gap < Duration::from_secs(10), "{:?}", report.longest_gap);

    assert_eq!(
        issuers(&plane).await,
        ["etcd CA 2", "etcd-peer CA 2", "cluster CA 2", "front-proxy CA 2"].map(named).into()
    );
    // An API server that has just started refuses everybody until it has read who may do what.
    plane.until_ready(Duration::from_secs(60)).await;
    kept.old_leaves_are_refused(&plane).await;
    what_is_inside_is_of_the_new_ca(&plane).await;
    // Who has nothing to do with CAs has noticed nothing.
    let bundle = plane.state_directory().join("trust/cluster.crt");
    let http = mutual_tls::http_client(&bundle, None, Duration::from_secs(5)).unwrap();
    let url = format!("{}/api", kept.server);
    let answer = http.get(url).bearer_auth(token).send().await.unwrap().status();
    assert!(answer == 200 || answer == 403, "a token of before: {answer}");
}

/// Restarts of etcd's members, whether each led when it was last seen to run, and who restarted while he led.
#[derive(Default)]
struct Members {
    seen: BTreeMap<String, (u32, bool)>,
    leaders: Vec<String>,
}

impl Members {
    /// Each round of restarts moves leadership once: who leads restarts when all others have. His restart counts when his next
    /// life begins, a second after he has handed leadership over.
    fn look(&mut self, instances: &[Instance]) {
        // Who does not answer tells neither.
        let told = || instances.iter().filter(|it| it.component == "etcd" && it.leader.is_some());
        for etcd in told() {
            let seen = self.seen.entry(etcd.name.clone()).or_default();
            let led = seen.1;
            if etcd.restarts > seen.0 {
                *seen = (etcd.restarts, false);
                if led {
                    let others = told().map(|other| (&other.name, other.restarts)).collect::<Vec<_>>();
                    assert!(others.iter().all(|it| it.1 >= etcd.restarts), "{} led: {others:?}", etcd.name);
                    self.leaders.push(etcd.name.clone());
                }
            }
            if etcd.state == "Running" {
                seen.1 = etcd.leader == Some(true);
            }
        }
    }
}

fn named(authority: &str) -> String {
    format!("CN=pilothouse {authority}")
}

/// The signer of every certificate that lies anywhere in the state directory, CAs and kubeconfigs included.
async fn issuers(plane: &ControlPlane) -> std::collections::BTreeSet<String> {
    let spawn = Spawn::new(binary("certificate-authority"))
        .arguments([Path::new("inspect"), Path::new("-o"), Path::new("json"), Path::new("--state-directory")])
        .arguments([plane.state_directory()])
        .from_thread_that_outlives_it();
    let captured = capture(&spawn, Duration::from_secs(20)).await.expect("inspect runs");
    let found: Vec<Value> = serde_json::from_slice(&captured.stdout).expect("inspect answers");
    assert!(found.len() > 40, "{found:#?}");
    found.iter().map(|found| found["issuer"].as_str().unwrap().to_owned()).collect()
}

async fn token(client: &Client) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let made = eventually("the service account", Duration::from_secs(30), async || {
        // It is made by a controller, a moment after its namespace.
        let request = TokenRequest::default();
        accounts.create_token_request("default", &PostParams::default(), &request).await
    });
    made.await.status.expect("a token").token
}

/// What somebody kept of the time before: leaves that are not renewed, and where they were shown.
struct Kept {
    directory: tempfile::TempDir,
    server: String,
    etcd: String,
    peer: String,
}

/// By profile: whose runtime directory has it, and which bundle is for its server.
const LEAVES: [(&str, &str, &str); 3] = [
    ("administrator", "", "cluster.crt"),
    ("apiserver-etcd-client", "kube-apiserver-0", "etcd.crt"),
    ("etcd-peer", "etcd-1", "etcd-peer.crt"),
];

impl Kept {
    async fn of(plane: &ControlPlane) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (profile, instance, _) in LEAVES {
            let from = leaf(plane, profile, instance);
            for file in ["tls.crt", "tls.key"] {
                std::fs::copy(from.join(file), directory.path().join(format!("{profile}-{file}"))).unwrap();
            }
        }
        let server = plane.instance("kube-apiserver-0").await.pid.unwrap();
        let etcd = plane.instance("etcd-0").await.pid.unwrap();
        Self {
            directory,
            server: format!("https://127.0.0.1:{}", argument(server, "--secure-port")),
            etcd: argument(etcd, "--listen-client-urls"),
            peer: argument(etcd, "--listen-peer-urls"),
        }
    }

    async fn old_leaves_are_refused(&self, plane: &ControlPlane) {
        for (profile, instance, bundle) in LEAVES {
            let authority = plane.state_directory().join("trust").join(bundle);
            let kept = |file: &str| self.directory.path().join(format!("{profile}-{file}"));
            let old =
                TlsFiles { authority: authority.clone(), certificate: kept("tls.crt"), key: kept("tls.key") };
            let present = leaf(plane, profile, instance);
            let new =
                TlsFiles { authority, certificate: present.join("tls.crt"), key: present.join("tls.key") };
            let (old, new) = (self.accepts(profile, &old).await, self.accepts(profile, &new).await);
            assert!(
                old.is_err() && new.is_ok(),
                "{profile}: with the old leaf {old:?}, with the new one {new:?}"
            );
        }
    }

    async fn accepts(&self, profile: &str, files: &TlsFiles) -> Result<String, String> {
        if profile == "apiserver-etcd-client" {
            return self.etcd_accepts(files).await;
        }
        let url = if profile == "etcd-peer" {
            format!("{}/members", self.peer)
        } else {
            format!("{}/api/v1/namespaces", self.server)
        };
        let http = mutual_tls::http_client(&files.authority, Some(files), Duration::from_secs(5)).unwrap();
        let answer = http.get(url).send().await.map_err(|error| format!("{error:?}"))?;
        if answer.status() == 200 { Ok(String::new()) } else { Err(answer.status().to_string()) }
    }

    async fn etcd_accepts(&self, files: &TlsFiles) -> Result<String, String> {
        let file = |flag: &str, path: &Path| format!("{flag}={}", path.display());
        let spawn = Spawn::new(component("etcdctl"))
            .arguments([format!("--endpoints={}", self.etcd)])
            .arguments([file("--cacert", &files.authority), file("--cert", &files.certificate)])
            .arguments([file("--key", &files.key)])
            .arguments(["get", "nothing", "--command-timeout=4s"])
            .from_thread_that_outlives_it();
        let captured = capture(&spawn, Duration::from_secs(20)).await.expect("etcdctl runs");
        let said = String::from_utf8_lossy(&captured.stderr).into_owned();
        if captured.ending == process_control::ChildEnding::Exited(0) { Ok(said) } else { Err(said) }
    }
}

fn leaf(plane: &ControlPlane, profile: &str, instance: &str) -> PathBuf {
    let state = plane.state_directory();
    let runtime = if instance.is_empty() {
        state.join("instances/pilothouse/runtime")
    } else {
        state.join("instances").join(instance).join("runtime")
    };
    runtime.join("certificates").join(profile)
}

/// What Pods trust, what a certificate request gets, and the bundles: one certificate each, of CA 2.
async fn what_is_inside_is_of_the_new_ca(plane: &ControlPlane) {
    let name_of = |pem: &[u8]| {
        assert_eq!(bundle_certificates(pem).unwrap().len(), 1);
        LeafFacts::parse(pem, None, None).unwrap().contents.common_name
    };
    for authority in ["cluster", "etcd", "etcd-peer", "front-proxy"] {
        let bundle = std::fs::read(plane.state_directory().join(format!("trust/{authority}.crt"))).unwrap();
        assert_eq!(name_of(&bundle), format!("pilothouse {authority} CA 2"));
    }
    let client = client(&plane.kubeconfig()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    eventually("Pods trust the new CA alone", Duration::from_secs(60), async || {
        let map = maps.get("kube-root-ca.crt").await.map_err(|error| error.to_string())?;
        let pem = map.data.unwrap()["ca.crt"].clone();
        if bundle_certificates(pem.as_bytes()).unwrap().len() == 1 {
            Ok(name_of(pem.as_bytes()))
        } else {
            Err(pem)
        }
    })
    .await;
    assert_eq!(signed_request(&client).await, "pilothouse cluster CA 2");
}

/// Has a certificate request signed; gives its signer's name.
async fn signed_request(client: &Client) -> String {
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "somebody");
    let pem = parameters.serialize_request(&key).unwrap().pem().unwrap();
    let request = CertificateSigningRequest {
        metadata: ObjectMeta { name: Some("somebody".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: "kubernetes.io/kube-apiserver-client".to_owned(),
            usages: Some(vec!["client auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    requests.create(&PostParams::default(), &request).await.unwrap();
    let approved =
        json!({ "status": { "conditions": [{ "type": "Approved", "status": "True", "reason": "Test" }] } });
    let (approving, approved) = (PatchParams::default(), Patch::Merge(approved));
    requests.patch_approval("somebody", &approving, &approved).await.expect("it is approved");
    eventually("the request is signed", Duration::from_secs(30), async || {
        let request = requests.get("somebody").await.map_err(|error| error.to_string())?;
        let signed = request.status.and_then(|status| status.certificate).ok_or("not yet")?;
        Ok::<_, String>(LeafFacts::parse(&signed.0, None, None).unwrap().issuer)
    })
    .await
}

/// A flag of a process, `--flag=value`.
fn argument(pid: u32, flag: &str) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments: Vec<&str> = line.split(|byte| *byte == 0).map(|it| str::from_utf8(it).unwrap()).collect();
    let value = arguments.iter().find_map(|argument| argument.strip_prefix(flag)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {flag} in {arguments:?}")).to_owned()
}
