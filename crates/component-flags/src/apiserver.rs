//! The argv of kube-apiserver.
//! Refuses the flags that tie an API server to others: where etcd is, which files, which endpoints, how it drains.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::KubernetesVersion;
use crate::argument::{ArgumentError, Arguments, Rules};
use crate::etcd::TlsServerFiles;
use crate::leader_elected::{ALLOWED_FRONT_PROXY_NAME, OWNED_FILE, RequestHeader};

/// The PEM files by which the API server reaches etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdClientFiles {
    /// CA of etcd's servers; a change needs a restart.
    pub authority: PathBuf,
    /// The client's chain; re-read at each new connection.
    pub certificate: PathBuf,
    /// The client's key.
    pub key: PathBuf,
}

/// The PEM files with which ServiceAccount tokens are signed and checked; a change needs a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountFiles {
    /// All public keys that are trusted.
    pub verification_keys: PathBuf,
    /// The private key that signs.
    pub signing_key: PathBuf,
}

/// All that one API server is told.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiserverFlags {
    /// Client URLs of etcd; one ClusterIP Service or each member.
    pub etcd_endpoints: Vec<String>,
    /// How it proves itself to etcd.
    pub etcd_client: EtcdClientFiles,
    /// Where it listens.
    pub bind_address: IpAddr,
    /// Where it listens.
    pub secure_port: u16,
    /// Where other API servers reach this one; never published as an endpoint of the `kubernetes` Service.
    pub advertise_address: IpAddr,
    /// One range, or one for each IP family.
    pub service_subnets: Vec<String>,
    /// Issuers of ServiceAccount tokens that are accepted; the first one signs.
    pub service_account_issuers: Vec<String>,
    /// Keys of ServiceAccount tokens.
    pub service_account: ServiceAccountFiles,
    /// Serving certificate, and the cluster CA that users' client certificates are checked with.
    pub serving: TlsServerFiles,
    /// Trust in the front proxy, here itself: who may say on whose behalf a request comes.
    pub request_header: RequestHeader,
    /// The front-proxy client's chain, used towards aggregated API servers and towards peers.
    pub front_proxy_certificate: PathBuf,
    /// The front-proxy client's key.
    pub front_proxy_key: PathBuf,
    /// The chain used towards kubelets.
    pub kubelet_client_certificate: PathBuf,
    /// The key used towards kubelets.
    pub kubelet_client_key: PathBuf,
    /// CA of kubelets' serving certificates.
    pub kubelet_authority: PathBuf,
    /// The rendered `AuthenticationConfiguration`.
    pub authentication_configuration: PathBuf,
    /// The rendered `EncryptionConfiguration`.
    pub encryption_configuration: PathBuf,
    /// From SIGTERM until new requests are refused: as long as load balancers need to notice /readyz.
    pub shutdown_delay: Duration,
    /// How long open watches are allowed to end one after the other; without it they hold the stop for 60 s.
    pub watch_grace: Duration,
    /// Whether requests are answered 429 with Retry-After while draining, instead of refused connections.
    pub send_retry_after: bool,
    /// Share of requests, in 0 to 0.02, after which an HTTP/2 client is told to connect anew. None with one replica.
    pub goaway_chance: Option<f64>,
}

const OWNED_LISTEN: &str =
    "set --bind-address, --secure-port and --advertise-address of the supervisor instead";
const OWNED_ISSUER: &str = "set --service-account-issuer of the supervisor instead";
const OWNED_AUTHENTICATION: &str = "the supervisor renders an AuthenticationConfiguration; give its `jwt` list by --jwt-authenticators instead";
const OWNED_ENCRYPTION: &str =
    "the supervisor renders the encryption configuration from the control plane's shared keys";
const OWNED_DRAIN: &str = "the supervisor's stop budget follows from it; set --shutdown-delay and --watch-grace of the supervisor instead";

const OWNED: &[(&str, &str)] = &[
    ("etcd-servers", "set --etcd-endpoint of the supervisor instead"),
    ("etcd-cafile", OWNED_FILE),
    ("etcd-certfile", OWNED_FILE),
    ("etcd-keyfile", OWNED_FILE),
    ("bind-address", OWNED_LISTEN),
    ("secure-port", OWNED_LISTEN),
    ("advertise-address", OWNED_LISTEN),
    ("endpoint-reconciler-type", "cluster-bootstrap keeps the endpoints of the `kubernetes` Service"),
    ("service-cluster-ip-range", "set --service-subnet of the supervisor instead"),
    ("service-account-issuer", OWNED_ISSUER),
    ("service-account-key-file", OWNED_FILE),
    ("service-account-signing-key-file", OWNED_FILE),
    ("service-account-signing-endpoint", OWNED_FILE),
    ("client-ca-file", OWNED_FILE),
    ("tls-cert-file", OWNED_FILE),
    ("tls-private-key-file", OWNED_FILE),
    ("cert-dir", OWNED_FILE),
    ("proxy-client-cert-file", OWNED_FILE),
    ("proxy-client-key-file", OWNED_FILE),
    ("kubelet-client-certificate", OWNED_FILE),
    ("kubelet-client-key", OWNED_FILE),
    ("kubelet-certificate-authority", OWNED_FILE),
    ("requestheader-client-ca-file", OWNED_FILE),
    ("requestheader-allowed-names", "only the control plane's own front proxy may speak for others"),
    ("authentication-config", OWNED_AUTHENTICATION),
    ("anonymous-auth", OWNED_AUTHENTICATION),
    ("oidc-*", OWNED_AUTHENTICATION),
    ("encryption-provider-config", OWNED_ENCRYPTION),
    ("encryption-provider-config-automatic-reload", OWNED_ENCRYPTION),
    ("shutdown-delay-duration", OWNED_DRAIN),
    ("shutdown-watch-termination-grace-period", OWNED_DRAIN),
];

const RULES: Rules = Rules {
    owned: &[OWNED],
    added_to: &["enable-admission-plugins", "authorization-mode"],
    supersedes: &[("authorization-config", "authorization-mode")],
};

/// The first minor version whose API servers forward what they do not serve to a peer without being asked to; before,
/// --peer-ca-file without the feature gate is an error.
const PEER_PROXY_SINCE: u32 = 36;
const PEER_PROXY_OFF: &str = "UnknownVersionInteroperabilityProxy=false";

/// The argv of an API server, without the program.
pub fn kube_apiserver(
    version: KubernetesVersion,
    flags: &ApiserverFlags,
    user: &[String],
) -> Result<Vec<String>, ArgumentError> {
    let mut arguments = Arguments::default();
    arguments
        .set("etcd-servers", flags.etcd_endpoints.join(","))
        .file("etcd-cafile", &flags.etcd_client.authority)
        .file("etcd-certfile", &flags.etcd_client.certificate)
        .file("etcd-keyfile", &flags.etcd_client.key)
        .set("bind-address", flags.bind_address)
        .set("secure-port", flags.secure_port)
        .set("advertise-address", flags.advertise_address)
        .set("endpoint-reconciler-type", "none")
        .set("service-cluster-ip-range", flags.service_subnets.join(","))
        .set("allow-privileged", true)
        .set("profiling", false)
        // No kube-proxy runs where the API server runs: ClusterIPs of hosted Services mean nothing there.
        .set("enable-aggregator-routing", true);
    serving(&mut arguments, flags);
    tokens(&mut arguments, flags);
    towards_others(&mut arguments, flags);
    let peers_known =
        version.minor() >= PEER_PROXY_SINCE && !user.iter().any(|argument| argument.contains(PEER_PROXY_OFF));
    if peers_known {
        arguments.file("peer-ca-file", &flags.serving.trusted_authority);
    }
    arguments
        .set("authorization-mode", "Node,RBAC")
        .set("enable-admission-plugins", "NodeRestriction")
        .file("authentication-config", &flags.authentication_configuration)
        .set("enable-bootstrap-token-auth", true)
        .file("encryption-provider-config", &flags.encryption_configuration)
        .set("encryption-provider-config-automatic-reload", true)
        .set("shutdown-delay-duration", seconds(flags.shutdown_delay))
        .set("shutdown-send-retry-after", flags.send_retry_after)
        .set("shutdown-watch-termination-grace-period", seconds(flags.watch_grace));
    if let Some(chance) = flags.goaway_chance {
        arguments.set("goaway-chance", chance);
    }
    arguments.join(user, &RULES)
}

fn serving(arguments: &mut Arguments, flags: &ApiserverFlags) {
    arguments
        .file("tls-cert-file", &flags.serving.certificate)
        .file("tls-private-key-file", &flags.serving.key)
        .set("tls-min-version", "VersionTLS12")
        .file("client-ca-file", &flags.serving.trusted_authority)
        .file("requestheader-client-ca-file", &flags.request_header.authority)
        .set("requestheader-allowed-names", ALLOWED_FRONT_PROXY_NAME)
        .set("requestheader-username-headers", "X-Remote-User")
        .set("requestheader-group-headers", "X-Remote-Group")
        .set("requestheader-extra-headers-prefix", "X-Remote-Extra-");
}

fn tokens(arguments: &mut Arguments, flags: &ApiserverFlags) {
    for issuer in &flags.service_account_issuers {
        arguments.set("service-account-issuer", issuer);
    }
    arguments
        .file("service-account-key-file", &flags.service_account.verification_keys)
        .file("service-account-signing-key-file", &flags.service_account.signing_key);
}

fn towards_others(arguments: &mut Arguments, flags: &ApiserverFlags) {
    arguments
        .file("proxy-client-cert-file", &flags.front_proxy_certificate)
        .file("proxy-client-key-file", &flags.front_proxy_key)
        .file("kubelet-client-certificate", &flags.kubelet_client_certificate)
        .file("kubelet-client-key", &flags.kubelet_client_key)
        .file("kubelet-certificate-authority", &flags.kubelet_authority)
        // Host names of nodes are rarely resolvable from where a hosted API server runs.
        .set("kubelet-preferred-address-types", "InternalIP,ExternalIP,InternalDNS,ExternalDNS,Hostname");
}

/// Go's notation; milliseconds are kept so that tests can be short.
fn seconds(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}
