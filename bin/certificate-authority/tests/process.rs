//! The real binary: two at once, a stop, refusals with their exit codes, `inspect`, and logs without secrets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and spoils files"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use caller_identity::{Caller, enrol};
use certificates::{AuthorityClient, CertificateKeeper, KeeperConfiguration, Profile, SharedKeySet};
use health_endpoints::{ReloadBehaviour, StatusBoard};
use naming_contract::Component;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use time::OffsetDateTime;

const LIMIT: Duration = Duration::from_secs(20);

struct Place {
    root: tempfile::TempDir,
}

/// A running authority; killed when dropped.
struct Running {
    child: Child,
    url: String,
    lines: Receiver<String>,
    log: String,
}

impl Place {
    fn new() -> Self {
        mutual_tls::install_provider();
        let place = Self { root: tempfile::tempdir().unwrap() };
        durable_files::create_private_directory(&place.path("callers")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, further: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("certificate-authority"));
        command.arg("run").args(further);
        for directory in ["state", "callers", "publish"] {
            let path = self.path(if directory == "state" { "authority" } else { directory });
            command.arg(format!("--{directory}-directory")).arg(path);
        }
        command.args(["--health-address", "127.0.0.1:0", "--instance-name", "certificate-authority-0"]);
        command
    }

    fn start(&self) -> Running {
        let mut child = self
            .command(&["--listen-address", "127.0.0.1:0", "--service-subnet", "10.96.0.0/12"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Running { child, url: String::new(), lines, log: String::new() }
    }

    /// Runs to its end, which must be a refusal; gives what it said.
    fn refused(&self, further: &[&str]) -> String {
        let output = self.command(further).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{told}");
        told
    }

    fn enrol(&self, instance: &str, component: Component) -> PathBuf {
        let file = self.path("instances").join(instance).join("caller-token");
        let caller = Caller { component, instance: instance.to_owned(), names: Vec::new() };
        enrol(&self.path("callers"), &caller, &file, OffsetDateTime::now_utc(), LIMIT * 60).unwrap();
        file
    }
}

impl Running {
    fn until_it_serves(mut self) -> Self {
        loop {
            let line =
                self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("never serves:\n{}", self.log));
            self.log.push_str(&line);
            self.log.push('\n');
            if let Some((_, url)) = line.split_once("serves ") {
                url.trim_matches(['"', '\n']).clone_into(&mut self.url);
                return self;
            }
        }
    }

    /// Asks it to stop; gives its whole log.
    fn stop(mut self) -> String {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log);
        std::mem::take(&mut self.log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

fn on_one_thread<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.unwrap() })
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn two_that_start_at_once_agree_and_log_no_secret() {
    let place = Place::new();
    let token = place.enrol("kube-apiserver-0", Component::KubeApiserver);
    let both = [place.start(), place.start()].map(Running::until_it_serves);
    let bundle = place.path("publish/cluster.crt");
    let mut secrets = vec![text(&token)];
    for running in &both {
        let client = AuthorityClient::new(&running.url, &token, &bundle);
        on_one_thread(async {
            client.issue(Profile::ApiserverServing).await.unwrap();
            let refused = client.issue(Profile::SchedulerClient).await.unwrap_err().explained();
            assert!(refused.contains("403"), "{refused}");
            let keys = client.shared_keys(SharedKeySet::ServiceAccount, None).await.unwrap().unwrap();
            secrets.push(keys.files["signing.key"].clone());
            let keys = client.shared_keys(SharedKeySet::Encryption, None).await.unwrap().unwrap();
            let listed: serde_json::Value = serde_json::from_str(&keys.files["keys.json"]).unwrap();
            secrets.push(listed[0]["secret"].as_str().unwrap().to_owned());
        });
    }
    assert_eq!(secrets[1..3], secrets[3..5], "both hand out the same keys");
    let logs = both.map(Running::stop).concat();
    for line in ["certificate issued", "refused", "shared keys handed out"] {
        assert_eq!(
            logs.matches(line).count(),
            if line.starts_with("shared") { 4 } else { 2 },
            "{line}:\n{logs}"
        );
    }
    for secret in secrets.iter().flat_map(|secret| secret.lines()).chain(["PRIVATE KEY"]) {
        assert!(secret.starts_with("-----") || !logs.contains(secret), "{secret} in\n{logs}");
    }
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    let place = Place::new();
    let short = place.refused(&["--listen-address", "127.0.0.1:0", "--lifetime", "scheduler-client=20s"]);
    assert!(short.contains("--lifetime") && short.contains("720s"), "{short}");
    assert!(!place.path("authority").exists(), "nothing is made by a start that is refused");

    let running = place.start().until_it_serves();
    let address = running.url.trim_start_matches("https://").to_owned();
    let taken = place.refused(&["--listen-address", &address]);
    assert!(taken.contains(&address) && taken.contains("--listen-address"), "{taken}");
    running.stop();

    let key = place.path("authority/etcd.key");
    let again = ["--listen-address", "127.0.0.1:0"];
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = place.refused(&again);
    assert!(open.contains(&format!("chmod 600 {}", key.display())), "{open}");
    fs::remove_file(&key).unwrap();
    let missing = place.refused(&again);
    assert!(missing.contains(&format!("{} is missing", key.display())), "{missing}");
}

#[test]
fn keys_lie_in_files_or_in_secrets_but_not_in_both() {
    let refused = |arguments: &[&str]| {
        let mut command = assert_cmd::cargo::cargo_bin_cmd!("certificate-authority");
        let output = command.arg("run").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let neither = refused(&[]);
    assert!(neither.contains("--release") && neither.contains("--state-directory"), "{neither}");
    let release = ["--release", "demo", "--pod-uid", "uid"];
    let both = refused(&[&release[..], &["--callers-directory", "callers"]].concat());
    assert!(both.contains("cannot be used with"), "{both}");
    assert!(refused(&release[..2]).contains("--pod-uid"));
    assert!(refused(&["--state-directory", "state"]).contains("--callers-directory"));
    for name in ["Demo", "a.b", "-a", &"a".repeat(31)] {
        let given = format!("--release={name}");
        assert!(refused(&[&given, "--pod-uid", "uid"]).contains("at most 30"), "{name}");
    }
}

#[test]
fn inspect_shows_every_certificate_and_who_takes_it_up() {
    let place = Place::new();
    let running = place.start().until_it_serves();
    let token = place.enrol("etcd-0", Component::Etcd);
    let admin_token = place.enrol("pilothouse", Component::CertificateAuthority);
    let keeper = CertificateKeeper::new(
        KeeperConfiguration {
            instance: "etcd-0".to_owned(),
            authority_url: running.url.clone(),
            caller_token_file: token,
            published_trust: place.path("publish"),
            runtime_directory: place.path("instances/etcd-0/runtime"),
            leaves: vec![(Profile::EtcdServer, ReloadBehaviour::Reloads)],
            shared_keys: Vec::new(),
            bundles: Vec::new(),
        },
        StatusBoard::new("etcd-0", Component::Etcd, "test"),
    );
    let bundle = place.path("publish/cluster.crt");
    on_one_thread(async {
        keeper.obtain(&conditions::Silent).await.unwrap();
        let admin = AuthorityClient::new(&running.url, admin_token, &bundle);
        let leaf = admin.issue(Profile::Administrator).await.unwrap();
        let kubeconfig = kubeconfig::render_embedded(
            "one",
            "https://127.0.0.1:6443",
            "pilothouse-administrator",
            &fs::read(&bundle).unwrap(),
            leaf.certificate_pem.as_bytes(),
            leaf.key_pem.as_bytes(),
        );
        durable_files::write_private(&place.path("kubeconfig"), kubeconfig.as_bytes()).unwrap();
    });
    let inspect = |output: &str| {
        let mut command = assert_cmd::cargo::cargo_bin_cmd!("certificate-authority");
        command.args(["inspect", "-o", output, "--state-directory"]).arg(place.root.path()).output().unwrap()
    };
    let listed = inspect("json");
    assert!(listed.status.success());
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let found = |file: &str, what: &str| {
        let entry = listed.iter().find(|entry| entry["file"] == file && entry["what"] == what);
        entry.unwrap_or_else(|| panic!("no {what} in {file}: {listed:#?}")).clone()
    };
    let server = found("instances/etcd-0/runtime/certificates/etcd-server/tls.crt", "etcd-server");
    assert_eq!(server["subject"], "CN=etcd-0");
    assert_eq!(server["usages"], serde_json::json!(["server"]));
    assert_eq!(server["names"], serde_json::json!(["etcd-0", "localhost", "127.0.0.1", "::1"]));
    assert!(server["remainingSeconds"].as_i64().unwrap() > 71 * 3600);
    assert_eq!(server["takenUpBy"], "etcd --cert-file, at every handshake");
    let admin = found("kubeconfig", "administrator");
    assert_eq!(admin["subject"], "CN=pilothouse-administrator, O=pilothouse:cluster-admins");
    for authority in ["cluster", "etcd", "etcd-peer", "front-proxy"] {
        found(&format!("authority/{authority}.crt"), &format!("{authority} CA"));
    }
    found("instances/etcd-0/runtime/trust/etcd.crt", "etcd CA");
    let table = String::from_utf8(inspect("table").stdout).unwrap();
    let line = table.lines().find(|line| line.contains("etcd-server/tls.crt")).unwrap();
    assert!(line.contains("2d 23h") && line.contains("at every handshake"), "{line}");
    assert!(!table.contains("PRIVATE"));

    fs::write(place.path("publish/etcd.crt"), "half").unwrap();
    let damaged = inspect("table");
    assert_eq!(damaged.status.code(), Some(1));
    assert!(String::from_utf8(damaged.stdout).unwrap().contains("unreadable"));
    running.stop();
}
