//! Real supervisors with real etcds on free ports below one temporary directory, and how to look at them from outside.
//! Everything that was started is killed by its process id when the cluster is dropped.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use end_to_end::free_port;
use etcd_client::{Client, GetOptions};
use health_endpoints::{HealthClient, StatusDocument};
use mutual_tls::{TlsFiles, etcd_client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::pki::Pki;

pub(crate) struct Cluster {
    directory: TempDir,
    members: Vec<Member>,
    pki: Pki,
    health: HealthClient,
    extra: Vec<String>,
}

struct Member {
    name: String,
    ports: [u16; 4],
    process: Option<Child>,
}

impl Member {
    fn url(&self, port: usize) -> String {
        format!("https://127.0.0.1:{}", self.ports[port])
    }

    fn health_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[3])
    }
}

impl Cluster {
    /// Names, ports and certificates; nothing runs yet.
    pub(crate) fn new(size: usize, extra: &[&str]) -> Self {
        mutual_tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        pki.publish(&directory.path().join("trust"));
        let members: Vec<Member> = (0..size)
            .map(|ordinal| Member {
                name: format!("etcd-{ordinal}"),
                ports: std::array::from_fn(|_| free_port()),
                process: None,
            })
            .collect();
        for member in &members {
            pki.equip(&directory.path().join(&member.name).join("runtime"), &member.name);
        }
        let health = HealthClient::new(Duration::from_secs(1)).unwrap();
        Self { directory, members, pki, health, extra: extra.iter().map(ToString::to_string).collect() }
    }

    /// The first stage of a rotation: all are to trust the CAs that will sign next.
    pub(crate) fn trust_the_next_authorities(&self) {
        self.pki.publish_beside(&self.directory.path().join("trust"), &[&Pki::new()]);
    }

    pub(crate) fn start_all(&mut self) {
        (0..self.members.len()).for_each(|member| self.start(member));
    }

    pub(crate) fn start(&mut self, member: usize) {
        let components =
            PathBuf::from(std::env::var("PILOTHOUSE_COMPONENTS").expect("PILOTHOUSE_COMPONENTS"));
        let me = &self.members[member];
        let home = self.directory.path().join(&me.name);
        let log = std::fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-supervisor"));
        command
            .args(["run", "--log-level", "info", "--instance-name", &me.name])
            .args(["--health-address", &format!("127.0.0.1:{}", me.ports[3])])
            .args(["--authority-url", "https://127.0.0.1:1"])
            .arg("--runtime-directory")
            .arg(home.join("runtime"))
            .arg("--caller-token-file")
            .arg(home.join("no-token"))
            .arg("--trust-directory")
            .arg(self.directory.path().join("trust"))
            .arg("--data-directory")
            .arg(self.volume(member))
            .arg("--cluster-record")
            .arg(self.record())
            .arg("--termination-message-path")
            .arg(home.join("termination-message"))
            .arg("--restart-lock-directory")
            .arg(self.directory.path().join("turns"))
            .args(["--http-port", &me.ports[2].to_string()]);
        for other in &self.members {
            command.args(["--member", &format!("{}={},{}", other.name, other.url(0), other.url(1))]);
            if other.name != me.name {
                command.args(["--peer-health", &format!("{}={}", other.name, other.health_url())]);
                command.args(["--replica-health", &other.health_url()]);
            }
        }
        command.args(&self.extra).arg("--").arg(components.join("etcd"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.members[member].process = Some(command.spawn().unwrap());
    }

    /// Starts whatever ended, as kubelet and `pilothouse up` do.
    pub(crate) fn restart_ended(&mut self) {
        for member in 0..self.members.len() {
            let ended = self.members[member]
                .process
                .as_mut()
                .is_some_and(|process| process.try_wait().unwrap().is_some());
            if ended {
                self.start(member);
            }
        }
    }

    pub(crate) fn signal_supervisor(&self, member: usize, signal: Signal) {
        let process = self.members[member].process.as_ref().unwrap();
        kill(Pid::from_raw(process.id().cast_signed()), signal).unwrap();
    }

    /// SIGKILL for the supervisor; its child dies with it.
    pub(crate) fn kill_supervisor(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn terminate_all(&mut self) {
        for member in 0..self.members.len() {
            self.signal_supervisor(member, Signal::SIGTERM);
        }
    }

    /// The exit code of a supervisor that was asked to stop.
    pub(crate) async fn stopped(&mut self, member: usize, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.members[member].process.as_mut().unwrap().try_wait().unwrap() {
                self.members[member].process = None;
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "etcd-{member} does not stop within {limit:?}:\n{}",
                self.log(member)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn signal_child(&self, member: usize, signal: Signal) -> u32 {
        let pid = self.status(member).await.and_then(|document| document.pid).expect("a child");
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
        pid
    }

    /// SIGKILL for the child, if there is one at the moment.
    pub(crate) async fn kill_child_if_any(&self, member: usize) {
        if let Some(pid) = self.status(member).await.and_then(|document| document.pid) {
            let _gone_already = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }

    pub(crate) async fn status(&self, member: usize) -> Option<StatusDocument> {
        self.health.status(&self.members[member].health_url()).await.ok()
    }

    /// The id that a member tells once it serves.
    pub(crate) async fn member_id(&self, member: usize) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let told =
                self.status(member).await.and_then(|document| document.details.get("memberId").cloned());
            match told {
                Some(id) => return id,
                None => assert!(Instant::now() < deadline, "{}", self.log(member)),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The statuses of all that answer.
    pub(crate) async fn statuses(&self) -> Vec<StatusDocument> {
        let mut statuses = Vec::new();
        for member in 0..self.members.len() {
            statuses.extend(self.status(member).await);
        }
        statuses
    }

    pub(crate) fn volume(&self, member: usize) -> PathBuf {
        self.directory.path().join(&self.members[member].name).join("data")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.directory.path().join("cluster-record.json")
    }

    pub(crate) fn log(&self, member: usize) -> String {
        let path = self.directory.path().join(&self.members[member].name).join("log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let ours: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"level\":\"info\"")).collect();
        ours[ours.len().saturating_sub(60)..].join("\n")
    }

    pub(crate) fn logs(&self) -> String {
        let logs = (0..self.members.len()).map(|member| format!("--- etcd-{member}\n{}", self.log(member)));
        logs.collect::<Vec<_>>().join("\n")
    }

    /// `etcd-supervisor recover` beside a member, not awaited.
    pub(crate) fn recovering(&self, member: usize, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-supervisor"));
        command.arg("recover").arg("--data-directory").arg(self.volume(member)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The same, to its end: exit code and all that it printed.
    pub(crate) async fn recover(&self, member: usize, arguments: &[&str]) -> (i32, String) {
        ended(self.recovering(member, arguments), Vec::new()).await
    }

    /// Upstream's etcdctl, asking one member; what it wrote.
    pub(crate) async fn etcdctl(&self, member: usize, arguments: &[&str]) {
        let files = self.files();
        let components = PathBuf::from(std::env::var("PILOTHOUSE_COMPONENTS").unwrap());
        let mut command = Command::new(components.join("etcdctl"));
        command.args(["--endpoints", &self.members[member].url(1)]);
        command.arg("--cacert").arg(&files.authority).arg("--cert").arg(&files.certificate);
        command.arg("--key").arg(&files.key).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, printed) = ended(command.spawn().unwrap(), Vec::new()).await;
        assert_eq!(code, 0, "{printed}");
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    fn files(&self) -> TlsFiles {
        let runtime = self.directory.path().join("etcd-0/runtime");
        TlsFiles {
            authority: runtime.join("trust/etcd.crt"),
            certificate: runtime.join("certificates/etcd-member-client/tls.crt"),
            key: runtime.join("certificates/etcd-member-client/tls.key"),
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let endpoints: Vec<String> = self.members.iter().map(|member| member.url(1)).collect();
        etcd_client(&endpoints, &self.files()).await.unwrap()
    }

    pub(crate) async fn client_of(&self, member: usize) -> Client {
        etcd_client(&[self.members[member].url(1)], &self.files()).await.unwrap()
    }

    /// Waits until all members are ready, and are as many voters as there are members.
    pub(crate) async fn until_whole(&mut self, limit: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let statuses = self.statuses().await;
            let ready = statuses.iter().filter(|document| document.ready).count();
            let voters = self.voters().await;
            if ready == self.members.len() && voters == Some(self.members.len()) {
                return began.elapsed();
            }
            self.restart_ended();
            let reasons: Vec<String> = statuses
                .iter()
                .map(|document| {
                    format!(
                        "{} {} {:?} {:?} {}",
                        document.name,
                        document.state,
                        document.reason,
                        document.last_observation,
                        document.not_ready_because
                    )
                })
                .collect();
            assert!(
                began.elapsed() < limit,
                "not whole within {limit:?}: {ready} ready, {voters:?} voters\n{}\n{}",
                reasons.join("\n"),
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many voters the cluster has, if there are no others and somebody with a quorum answers.
    pub(crate) async fn voters(&self) -> Option<usize> {
        for member in 0..self.members.len() {
            if TcpListener::bind(("127.0.0.1", self.members[member].ports[1])).is_ok() {
                continue;
            }
            let mut client = self.client_of(member).await;
            let asked = async {
                client.get("probe", None).await.ok()?;
                client.member_list().await.ok()
            };
            if let Ok(Some(list)) = tokio::time::timeout(Duration::from_secs(1), asked).await {
                let voters = list.members().iter().filter(|member| !member.is_learner()).count();
                return (voters == list.members().len()).then_some(voters);
            }
        }
        None
    }

    /// Waits for something that statuses show.
    pub(crate) async fn until(&self, what: &str, limit: Duration, holds: impl Fn(&[StatusDocument]) -> bool) {
        let began = Instant::now();
        loop {
            let statuses = self.statuses().await;
            if holds(&statuses) {
                return;
            }
            assert!(began.elapsed() < limit, "not {what} within {limit:?}: {statuses:#?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The cluster ids that members tell; one, if all is well.
    pub(crate) async fn cluster_ids(&self) -> Vec<String> {
        let statuses = self.statuses().await;
        let mut ids: Vec<String> =
            statuses.iter().filter_map(|document| document.details.get("clusterId").cloned()).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // For people who look into a run: keep what it left.
        if std::env::var_os("PILOTHOUSE_KEEP").is_some() {
            self.directory.disable_cleanup(true);
            println!("kept in {}", self.directory.path().display());
        }
        for member in &mut self.members {
            if let Some(mut process) = member.process.take() {
                let _gone = process.kill();
                let _reaped = process.wait();
            }
        }
    }
}

/// Writes without pause and remembers what was acknowledged.
pub(crate) struct Writer {
    task: tokio::task::JoinHandle<BTreeMap<String, String>>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Writer {
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let mut client = cluster.client().await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(async move {
            let mut acknowledged = BTreeMap::new();
            let mut number = 0_u64;
            while !*stopped.borrow() {
                number += 1;
                let (key, value) = (format!("written/{number:08}"), number.to_string());
                let put = client.put(key.clone(), value.clone(), None);
                if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), put).await {
                    acknowledged.insert(key, value);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            acknowledged
        });
        Self { task, stop }
    }

    /// Ends writing and reads everything back; returns how much was acknowledged.
    pub(crate) async fn check(self, cluster: &Cluster) -> usize {
        self.stop.send(true).unwrap();
        let acknowledged = self.task.await.unwrap();
        let mut client = cluster.client().await;
        let answer = client.get("written/", Some(GetOptions::new().with_prefix())).await.unwrap();
        let stored: BTreeMap<String, String> = answer
            .kvs()
            .iter()
            .map(|entry| (entry.key_str().unwrap().to_owned(), entry.value_str().unwrap().to_owned()))
            .collect();
        let lost: Vec<&String> = acknowledged
            .iter()
            .filter(|(key, value)| stored.get(*key) != Some(value))
            .map(|(key, _)| key)
            .collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(!acknowledged.is_empty());
        acknowledged.len()
    }
}

/// Feeds a process and waits for its end.
pub(crate) async fn ended(mut process: Child, input: Vec<u8>) -> (i32, String) {
    tokio::task::spawn_blocking(move || {
        if let Some(mut stdin) = process.stdin.take() {
            // Whoever reads nothing closes the pipe.
            let _unread = std::io::Write::write_all(&mut stdin, &input);
        }
        let output = process.wait_with_output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&printed).into_owned())
    })
    .await
    .unwrap()
}
