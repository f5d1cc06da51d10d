//! The argv of one etcd member; the same for etcd 3.6 and 3.7.
//! Refuses to decide whether a member founds, joins or restarts: that is given.

use std::path::PathBuf;

use crate::argument::{ArgumentError, Arguments, Rules};

/// All that one member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdFlags {
    /// The member's name in `initial_cluster`.
    pub name: String,
    /// Where its data lies; the directory itself is made 0700 by the supervisor.
    pub data_directory: PathBuf,
    /// Where it listens for peers.
    pub listen_peer_urls: Vec<String>,
    /// How peers reach it.
    pub advertise_peer_urls: Vec<String>,
    /// Where it listens for gRPC clients.
    pub listen_client_urls: Vec<String>,
    /// How clients reach it.
    pub advertise_client_urls: Vec<String>,
    /// Where it serves /livez, /readyz and /metrics, under the same client-certificate check as gRPC.
    pub listen_client_http_urls: Vec<String>,
    /// Name and peer URL of every member that founds, or that is there when this one joins; ignored once data exists.
    pub initial_cluster: Vec<(String, String)>,
    /// Keeps members of different clusters apart; random, from the cluster record.
    pub initial_cluster_token: String,
    /// Whether the members in `initial_cluster` found a cluster together or one of them joins.
    pub initial_cluster_state: InitialClusterState,
    /// Certificate for clients, and the CA whose clients are let in.
    pub client_tls: TlsServerFiles,
    /// Certificate for peers (server and client side), and the CA of all peers.
    pub peer_tls: TlsServerFiles,
    /// Size in bytes at which the member stops taking writes; none: etcd's default (2 GiB).
    pub quota_backend_bytes: Option<u64>,
}

/// Whether a member without data founds or joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialClusterState {
    /// All members of `initial_cluster` begin together.
    New,
    /// The cluster runs and already lists this member.
    Existing,
}

/// The PEM files of a TLS server that demands client certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsServerFiles {
    /// CAs that clients' certificates are checked with.
    pub trusted_authority: PathBuf,
    /// The server's chain.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

const OWNED_FILE: &str = "the supervisor obtains and renews this certificate";
const OWNED_CLUSTER: &str =
    "the supervisor decides from the cluster record and the live member list how this member starts";
const OWNED_ADDRESS: &str = "set --member, --listen-address and --http-port of the supervisor instead";

const OWNED: &[(&str, &str)] = &[
    ("name", "set --instance-name of the supervisor instead"),
    ("data-dir", "set --data-directory of the supervisor instead"),
    (
        "wal-dir",
        "a lost or moved volume must be seen as one; the write-ahead log stays below --data-directory",
    ),
    ("config-file", "etcd would ignore every other argument; give single flags instead"),
    ("listen-peer-urls", OWNED_ADDRESS),
    ("initial-advertise-peer-urls", OWNED_ADDRESS),
    ("listen-client-urls", OWNED_ADDRESS),
    ("advertise-client-urls", OWNED_ADDRESS),
    ("listen-client-http-urls", OWNED_ADDRESS),
    ("initial-cluster*", OWNED_CLUSTER),
    ("discovery*", OWNED_CLUSTER),
    ("force-new-cluster", OWNED_CLUSTER),
    ("strict-reconfig-check", "without it a change of members can cost the quorum"),
    ("quota-backend-bytes", "set --quota-backend-bytes of the supervisor instead"),
    ("cert-file", OWNED_FILE),
    ("key-file", OWNED_FILE),
    ("client-cert-file", OWNED_FILE),
    ("client-key-file", OWNED_FILE),
    ("trusted-ca-file", OWNED_FILE),
    ("client-cert-auth", "without it everybody who reaches the port owns every object"),
    ("auto-tls", OWNED_FILE),
    ("peer-cert-file", OWNED_FILE),
    ("peer-key-file", OWNED_FILE),
    ("peer-client-cert-file", OWNED_FILE),
    ("peer-client-key-file", OWNED_FILE),
    ("peer-trusted-ca-file", OWNED_FILE),
    ("peer-client-cert-auth", "without it everybody who reaches the port can speak raft"),
    ("peer-auto-tls", OWNED_FILE),
    ("peer-skip-client-san-verification", "peers change their addresses; their own CA keeps others out"),
    ("enable-grpc-gateway", "HTTP and gRPC on one port make every stop cut all requests"),
    ("unsafe-no-fsync", "an acknowledged write would be lost with the machine"),
];

const RULES: Rules = Rules { owned: &[OWNED], added_to: &[], supersedes: &[] };

/// The argv of a member, without the program. `InitialCorruptCheck` is left to the user: members that all start at once
/// ask each other before anyone serves, and wait 7 s for each peer. Set nothing beside it: etcd ends at once when its environment holds an
/// `ETCD_*` variable of a flag that is also given here.
pub fn etcd(flags: &EtcdFlags, user: &[String]) -> Result<Vec<String>, ArgumentError> {
    let initial_cluster: Vec<String> =
        flags.initial_cluster.iter().map(|(name, peer_url)| format!("{name}={peer_url}")).collect();
    let mut arguments = Arguments::default();
    arguments
        .set("name", &flags.name)
        .file("data-dir", &flags.data_directory)
        .set("listen-peer-urls", flags.listen_peer_urls.join(","))
        .set("initial-advertise-peer-urls", flags.advertise_peer_urls.join(","))
        .set("listen-client-urls", flags.listen_client_urls.join(","))
        .set("advertise-client-urls", flags.advertise_client_urls.join(","))
        .set("listen-client-http-urls", flags.listen_client_http_urls.join(","))
        .set("enable-grpc-gateway", false)
        .set("initial-cluster", initial_cluster.join(","))
        .set("initial-cluster-token", &flags.initial_cluster_token)
        .set(
            "initial-cluster-state",
            match flags.initial_cluster_state {
                InitialClusterState::New => "new",
                InitialClusterState::Existing => "existing",
            },
        )
        .set("client-cert-auth", true)
        .file("trusted-ca-file", &flags.client_tls.trusted_authority)
        .file("cert-file", &flags.client_tls.certificate)
        .file("key-file", &flags.client_tls.key)
        .set("peer-client-cert-auth", true)
        .file("peer-trusted-ca-file", &flags.peer_tls.trusted_authority)
        .file("peer-cert-file", &flags.peer_tls.certificate)
        .file("peer-key-file", &flags.peer_tls.key)
        .set("peer-skip-client-san-verification", true)
        .set("tls-min-version", "TLS1.2")
        // The API server's watch cache learns from these that nothing happened; kubeadm sets the same.
        .set("watch-progress-notify-interval", "5s")
        .set("logger", "zap")
        .set("log-format", "json");
    if let Some(bytes) = flags.quota_backend_bytes {
        arguments.set("quota-backend-bytes", bytes);
    }
    arguments.join(user, &RULES)
}
