//! The real binary as a process, with the files that kubelet would mount; killed when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use certificates::{IssuedCertificate, Profile, Refusal, certificate_path};
use end_to_end::{binary, eventually};
use k8s_openapi::api::core::v1::Pod;
use process_control::{Child, ChildEnding, Output, Signal, Spawn};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde::Deserialize;
use tempfile::TempDir;

use crate::LIMIT;
use crate::tenancy::Tenancy;

/// What /statusz tells, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) ready: bool,
    #[serde(default)]
    pub(crate) not_ready_because: String,
}

pub(crate) struct Authority {
    process: Child,
    directory: TempDir,
    url: String,
    health: String,
    tenancy: Tenancy,
}

impl Authority {
    pub(crate) fn start(
        tenancy: &Tenancy,
        server: &str,
        pod: &Pod,
        token: &str,
        bundle: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let directory = TempDir::with_prefix("pilothouse-authority-").unwrap();
        let credentials = directory.path().join("credentials");
        std::fs::create_dir(&credentials).unwrap();
        for (name, content) in [("token", token), ("ca.crt", bundle), ("namespace", &tenancy.namespace)] {
            write(&credentials.join(name), content);
        }
        let (listen, health) = (free_address(), free_address());
        let spawn = Spawn::new(binary("certificate-authority"))
            .arguments(["run", "--release", "demo", "--log-format", "text"])
            .arguments(["--pod-uid", pod.metadata.uid.as_deref().unwrap()])
            .arguments(["--instance-name", pod.metadata.name.as_deref().unwrap()])
            .arguments(["--management-api-server", server])
            .arguments([Path::new("--management-credentials"), &credentials])
            .arguments(["--listen-address", &listen, "--health-address", &health])
            .arguments(["--service-subnet", "10.128.0.0/16", "--cluster-domain", "example.internal"])
            .arguments(["--certificate-name", "api.example.com"])
            .arguments(arguments);
        let process = environment
            .iter()
            .fold(spawn, |spawn, (name, value)| spawn.environment(*name, *value))
            .output(Output::Append(log_file(&directory)))
            .death_signal(Some(Signal::SIGKILL))
            .from_thread_that_outlives_it()
            .start()
            .unwrap();
        Self {
            process,
            directory,
            url: format!("https://{listen}"),
            health: format!("http://{health}"),
            tenancy: tenancy.clone(),
        }
    }

    /// Waits until /statusz satisfies `wanted`.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Document) -> bool) -> Document {
        eventually(what, LIMIT, async || {
            let told = match reqwest::get(format!("{}/statusz", self.health)).await {
                Ok(answer) => answer.text().await.unwrap(),
                Err(error) => return Err(error.to_string()),
            };
            let document: Document =
                serde_json::from_str(&told).map_err(|error| format!("{error}: {told}"))?;
            if wanted(&document) { Ok(document) } else { Err(format!("{document:?}\n{}", self.log())) }
        })
        .await
    }

    /// A new key's certificate, or status and refusal.
    pub(crate) async fn issue(&self, profile: Profile, token: &str) -> Result<String, String> {
        let client = self.http_client().await;
        self.issue_by(&client, profile, token).await
    }

    /// A client that trusts the published bundle.
    pub(crate) async fn http_client(&self) -> reqwest::Client {
        self.client(|builder| builder).await
    }

    /// The same from an authority whose own certificate begins in our future.
    pub(crate) async fn issue_unchecked(&self, profile: Profile, token: &str) -> Result<String, String> {
        let client = self.client(|builder| builder.danger_accept_invalid_certs(true)).await;
        self.issue_by(&client, profile, token).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> (u16, String) {
        self.get_by(&self.http_client().await, path, token).await
    }

    pub(crate) async fn get_by(&self, client: &reqwest::Client, path: &str, token: &str) -> (u16, String) {
        let request = client.get(format!("{}{path}", self.url)).bearer_auth(token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn post_by(
        &self,
        client: &reqwest::Client,
        path: &str,
        token: &str,
        body: String,
    ) -> (u16, String) {
        let request = client.post(format!("{}{path}", self.url)).bearer_auth(token).body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Asks it to stop; it must end well.
    pub(crate) async fn stop(mut self) {
        assert!(self.process.signal(Signal::SIGTERM).unwrap(), "it has ended already: {}", self.log());
        let ending = tokio::time::timeout(LIMIT, self.process.wait()).await.expect("it ends").unwrap();
        assert_eq!(ending, ChildEnding::Exited(0), "{}", self.log());
    }

    /// What the process alone needs in memory.
    pub(crate) fn anonymous_kibibytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(log_file(&self.directory)).unwrap_or_default()
    }

    pub(crate) async fn issue_by(
        &self,
        client: &reqwest::Client,
        profile: Profile,
        token: &str,
    ) -> Result<String, String> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let request = parameters.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let (status, body) = self.post_by(client, &certificate_path(profile), token, request).await;
        if status == 200 {
            return Ok(serde_json::from_str::<IssuedCertificate>(&body).unwrap().certificate);
        }
        let refusal: Refusal = serde_json::from_str(&body).unwrap();
        assert!(!body.contains(token), "a refusal repeats the token");
        Err(format!("{} {}; {}", status, refusal.error, refusal.remedy))
    }

    async fn client(
        &self,
        change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> reqwest::Client {
        let bundle = self.tenancy.bundle("cluster.crt").await;
        let roots = reqwest::Certificate::from_pem_bundle(bundle.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only(roots).timeout(Duration::from_secs(10));
        change(builder.no_proxy()).build().unwrap()
    }
}

fn log_file(directory: &TempDir) -> PathBuf {
    directory.path().join("log")
}

fn write(path: &Path, content: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// Below what the kernel gives to outgoing connections, and above what control planes under test begin to look at.
fn free_address() -> String {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(31) + TURN.fetch_add(1, Ordering::Relaxed) * 3;
    (0..9_000)
        .map(|step| format!("127.0.0.1:{}", 21_000 + (begin + step) % 9_000))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}
