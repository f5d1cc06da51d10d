//! The flags that every binary of ours has, so that all of them look alike in `--help`; each is an environment variable too.
//! Refuses component flags: those live beside the component.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use management_api::ManagementArguments;
use supervision::Configuration;
use telemetry::LogArguments;

use crate::context::ChildBinary;
use crate::{ReplicaName, RuntimeError};

/// Who we are, where we are watched, and where certificates come from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Instance")]
pub struct CommonArguments {
    /// The instance's name; the Pod's name in a cluster [default: the hostname]
    #[arg(long, env = "PILOTHOUSE_INSTANCE_NAME", value_name = "NAME")]
    pub instance_name: Option<String>,
    /// Address of the health endpoints: /livez /readyz /startupz /statusz /metrics
    #[arg(long, env = "PILOTHOUSE_HEALTH_ADDRESS", default_value = "0.0.0.0:8686", value_name = "IP:PORT")]
    pub health_address: SocketAddr,
    /// Directory for certificates, keys and rendered configuration; memory-backed in Pods
    #[arg(long, env = "PILOTHOUSE_RUNTIME_DIRECTORY", default_value = "/run/pilothouse", value_name = "DIR")]
    pub runtime_directory: PathBuf,
    /// The Pod's own address, by which it knows itself among its replicas
    #[arg(long, env = "PILOTHOUSE_POD_ADDRESS", value_name = "IP")]
    pub pod_address: Option<IpAddr>,
    #[command(flatten)]
    /// Where certificates come from.
    pub authority: AuthorityArguments,
    #[command(flatten)]
    /// The cluster that hosts us; asked only where another flag names one of its objects.
    pub management: ManagementArguments,
    #[command(flatten)]
    /// What is logged.
    pub logs: LogArguments,
}

/// Where certificates come from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Certificates", group(ArgGroup::new("trust").required(true).args(["trust_directory", "trust_config_map"])))]
pub struct AuthorityArguments {
    /// The certificate-authority
    #[arg(long, env = "PILOTHOUSE_AUTHORITY_URL", value_name = "URL")]
    pub authority_url: String,
    /// File with the bearer token that proves to the certificate-authority who we are
    #[arg(long, env = "PILOTHOUSE_CALLER_TOKEN_FILE", value_name = "FILE")]
    pub caller_token_file: PathBuf,
    /// Directory where the certificate-authority publishes its trust bundles
    #[arg(long, env = "PILOTHOUSE_TRUST_DIRECTORY", value_name = "DIR")]
    pub trust_directory: Option<PathBuf>,
    /// ConfigMap of the management cluster where the certificate-authority publishes its trust bundles
    #[arg(long, env = "PILOTHOUSE_TRUST_CONFIG_MAP", value_name = "NAME")]
    pub trust_config_map: Option<String>,
    /// Directory shared by the replicas of this component: only one of them restarts for a certificate at a time
    #[arg(
        long,
        env = "PILOTHOUSE_RESTART_LOCK_DIRECTORY",
        value_name = "DIR",
        conflicts_with = "restart_lease"
    )]
    pub restart_lock_directory: Option<PathBuf>,
    /// Lease of the management cluster, shared likewise; made if it does not exist
    #[arg(long, env = "PILOTHOUSE_RESTART_LEASE", value_name = "NAME")]
    pub restart_lease: Option<String>,
}

/// How patiently the child is supervised, and the child itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Supervision")]
pub struct SupervisionArguments {
    /// Seconds a child gets to end after SIGTERM before it is killed [default: by component]
    #[arg(long, env = "PILOTHOUSE_DRAIN_BUDGET", value_name = "SECONDS")]
    pub drain_budget: Option<u64>,
    /// Seconds a stop may be held back while it would do harm [default: by component]
    #[arg(long, env = "PILOTHOUSE_HOLD_LIMIT", value_name = "SECONDS")]
    pub hold_limit: Option<u64>,
    /// Seconds of failing liveness after which a child counts as wedged and is killed [default: by component]
    #[arg(long, env = "PILOTHOUSE_WEDGED_AFTER", value_name = "SECONDS")]
    pub wedged_after: Option<u64>,
    /// Seconds from a child's start until its liveness must have answered once
    #[arg(long, env = "PILOTHOUSE_START_LIMIT", value_name = "SECONDS")]
    pub start_limit: Option<u64>,
    /// Crashes within the crash window that end the supervisor with the child's code
    #[arg(long, env = "PILOTHOUSE_CRASH_LIMIT", value_name = "COUNT")]
    pub crash_limit: Option<usize>,
    /// The crash window in seconds
    #[arg(long, env = "PILOTHOUSE_CRASH_WINDOW", value_name = "SECONDS")]
    pub crash_window: Option<u64>,
    /// Health endpoints of another replica; a restart for a certificate waits until one of them is ready (repeat)
    #[arg(long, env = "PILOTHOUSE_REPLICA_HEALTH", value_name = "URL", value_delimiter = ',')]
    pub replica_health: Vec<String>,
    /// Name and port behind which the health endpoints of all replicas are, one address each; its own address is left out
    #[arg(
        long,
        env = "PILOTHOUSE_REPLICA_SERVICE",
        value_name = "HOST:PORT",
        conflicts_with = "replica_health",
        requires = "pod_address"
    )]
    pub replica_service: Option<ReplicaName>,
    /// UID of the Pod: what the supervisor refuses is written as an Event of it, and the supervisor stays to tell it on
    /// /statusz for five minutes before it ends
    #[arg(long, env = "PILOTHOUSE_POD_UID", value_name = "UID")]
    pub pod_uid: Option<String>,
    /// File that gets the reason when the supervisor gives up
    #[arg(
        long,
        env = "PILOTHOUSE_TERMINATION_MESSAGE_PATH",
        default_value = "/dev/termination-log",
        value_name = "FILE"
    )]
    pub termination_message_path: PathBuf,
    /// The upstream binary, and flags of its own after it
    #[arg(last = true, required = true, value_name = "CHILD [FLAGS]")]
    pub child: Vec<String>,
}

impl CommonArguments {
    /// The instance's name, by default the hostname; at most 63 characters, since it goes into certificates and leases.
    pub(crate) fn instance(&self) -> Result<String, RuntimeError> {
        let name = match &self.instance_name {
            Some(name) => name.clone(),
            None => nix::unistd::gethostname()
                .map_err(|errno| RuntimeError::Process(errno.into()))?
                .to_string_lossy()
                .into_owned(),
        };
        let valid = (1..=63).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if valid {
            Ok(name)
        } else {
            Err(RuntimeError::setting(
                format!("the instance name `{name}` is no DNS label"),
                "give one of 1 to 63 lower-case letters, digits and dashes with --instance-name",
            ))
        }
    }
}

impl SupervisionArguments {
    /// The child and the operator's flags for it.
    pub(crate) fn child_binary(&self) -> ChildBinary {
        let mut words = self.child.iter();
        ChildBinary {
            program: words.next().map(PathBuf::from).unwrap_or_default(),
            extra_arguments: words.cloned().collect(),
        }
    }

    /// The component's policy with what the operator set.
    pub(crate) fn apply_to(&self, mut configuration: Configuration) -> Configuration {
        let timings = &mut configuration.timings;
        let seconds = |given: Option<u64>, target: &mut Duration| {
            if let Some(seconds) = given {
                *target = Duration::from_secs(seconds);
            }
        };
        seconds(self.drain_budget, &mut timings.drain_budget);
        seconds(self.hold_limit, &mut timings.hold_limit);
        seconds(self.wedged_after, &mut timings.wedge_after);
        seconds(self.start_limit, &mut timings.start_limit);
        seconds(self.crash_window, &mut timings.crash_window);
        if let Some(limit) = self.crash_limit {
            timings.crash_limit = limit;
        }
        configuration.termination_message = Some(self.termination_message_path.clone());
        configuration
    }
}
