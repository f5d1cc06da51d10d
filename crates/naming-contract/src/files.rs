//! File names inside a supervisor's runtime directory and inside a state directory.
//! Refuses absolute paths: where a directory lies is always an argument.

/// PEM chain of a leaf, inside the directory of its profile.
pub const LEAF_CERTIFICATE: &str = "tls.crt";
/// PEM private key of a leaf, beside its chain.
pub const LEAF_KEY: &str = "tls.key";
/// Directory of leaves below the runtime directory: `certificates/<profile>/tls.crt`.
pub const CERTIFICATES: &str = "certificates";
/// Directory of trust bundles: `trust/<authority>.crt`.
pub const TRUST: &str = "trust";
/// Directory of shared keys: `keys/<name>/…`.
pub const KEYS: &str = "keys";
/// Directory of rendered configuration: kubeconfigs, authentication, encryption.
pub const CONFIGURATION: &str = "configuration";
/// The file with the bearer token by which an instance proves itself to the certificate-authority.
pub const CALLER_TOKEN: &str = "caller-token";

/// What is published beside the bundles: which generation of each shared key set is handed out now.
pub const GENERATIONS: &str = "generations.json";

/// Trust bundle of the cluster CA, below [`TRUST`].
pub const CLUSTER_BUNDLE: &str = "cluster.crt";
/// Trust bundle of the CA of etcd's servers and clients.
pub const ETCD_BUNDLE: &str = "etcd.crt";
/// Trust bundle of the CA of etcd's peers.
pub const ETCD_PEER_BUNDLE: &str = "etcd-peer.crt";
/// Trust bundle of the front-proxy CA.
pub const FRONT_PROXY_BUNDLE: &str = "front-proxy.crt";
