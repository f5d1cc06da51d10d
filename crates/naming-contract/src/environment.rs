//! Environment variables: every supervisor flag `--some-flag` is also `PILOTHOUSE_SOME_FLAG`.
//! Refuses secrets: nothing secret ever travels in an environment.

/// The prefix of all our environment variables.
pub const PREFIX: &str = "PILOTHOUSE_";
/// Variables that etcd and etcdctl read as flags; withheld from children, since etcd ends when one repeats a flag.
pub const ETCD_PREFIX: &str = "ETCD_";
/// Go's soft memory limit; set for children to 90 % of the container's limit unless given.
pub const GOMEMLIMIT: &str = "GOMEMLIMIT";
/// client-go: seconds without a frame before an HTTP/2 connection is pinged (Kubernetes default 30).
pub const HTTP2_READ_IDLE_TIMEOUT_SECONDS: &str = "HTTP2_READ_IDLE_TIMEOUT_SECONDS";
/// client-go: seconds until an unanswered ping closes the connection (Kubernetes default 15).
pub const HTTP2_PING_TIMEOUT_SECONDS: &str = "HTTP2_PING_TIMEOUT_SECONDS";
