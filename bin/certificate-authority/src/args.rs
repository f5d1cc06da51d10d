//! The command line of certificate-authority. Refuses logic: it only says what may be given.

use std::net::SocketAddr;
use std::path::PathBuf;

use certificate_signing::ExternalAddress;
use certificates::LeafName;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use management_api::ManagementArguments;
use naming_contract::objects::LONGEST_RELEASE_NAME;
use telemetry::LogArguments;

/// The only holder of a hosted control plane's CA keys: signs what a caller is entitled to, hands out shared keys
#[derive(Debug, Parser)]
#[command(name = "certificate-authority", version = telemetry::VERSION, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Sign and hand out, until a stop is asked for
    Run(Box<Run>),
    /// Copy this binary into DIR, for an init container that equips an unmodified image
    Install {
        /// Where to
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print every certificate in the state directory of a control plane
    Inspect(Inspect),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("keys").required(true).args(["release", "state_directory"]))]
pub(crate) struct Run {
    /// The instance's name; the Pod's name in a cluster [default: the hostname]
    #[arg(long, env = "PILOTHOUSE_INSTANCE_NAME", value_name = "NAME")]
    pub(crate) instance_name: Option<LeafName>,
    /// Where to serve, HTTPS
    #[arg(long, env = "PILOTHOUSE_LISTEN_ADDRESS", default_value = "0.0.0.0:8443", value_name = "IP:PORT")]
    pub(crate) listen_address: SocketAddr,
    /// Address of the health endpoints: /livez /readyz /startupz /statusz /metrics
    #[arg(long, env = "PILOTHOUSE_HEALTH_ADDRESS", default_value = "0.0.0.0:8686", value_name = "IP:PORT")]
    pub(crate) health_address: SocketAddr,
    /// Subnet of Services in the hosted cluster; API servers' certificates carry its first address (repeat)
    #[arg(long, env = "PILOTHOUSE_SERVICE_SUBNET", value_delimiter = ',', value_name = "CIDR")]
    pub(crate) service_subnet: Vec<IpNet>,
    /// Further name or address in API servers' certificates (repeat)
    #[arg(long, env = "PILOTHOUSE_CERTIFICATE_NAME", value_delimiter = ',', value_name = "NAME")]
    pub(crate) certificate_name: Vec<LeafName>,
    /// DNS domain inside the hosted cluster
    #[arg(long, env = "PILOTHOUSE_CLUSTER_DOMAIN", default_value = "cluster.local", value_name = "DOMAIN")]
    pub(crate) cluster_domain: LeafName,
    /// How long certificates of a profile live, such as etcd-server=72h (repeat)
    #[arg(long, env = "PILOTHOUSE_LIFETIME", value_delimiter = ',', value_name = "PROFILE=DURATION")]
    pub(crate) lifetime: Vec<String>,
    #[command(flatten)]
    pub(crate) logs: LogArguments,
    #[command(flatten)]
    pub(crate) directories: OnOneMachine,
    #[command(flatten)]
    pub(crate) release: InCluster,
    #[command(flatten)]
    pub(crate) management: ManagementArguments,
}

/// Keys in files; exactly one of this and [`InCluster`].
#[derive(Debug, Args)]
#[command(next_help_heading = "On one machine, all three")]
#[expect(clippy::struct_field_names, reason = "the flags are called so")]
pub(crate) struct OnOneMachine {
    /// Directory of the CA keys and shared keys, made at the first start; back it up
    #[arg(
        long,
        env = "PILOTHOUSE_STATE_DIRECTORY",
        value_name = "DIR",
        requires_all = ["callers_directory", "publish_directory"]
    )]
    pub(crate) state_directory: Option<PathBuf>,
    /// Directory of those who may ask, by the hashes of their tokens
    #[arg(
        long,
        env = "PILOTHOUSE_CALLERS_DIRECTORY",
        value_name = "DIR",
        conflicts_with = "release",
        requires = "state_directory"
    )]
    pub(crate) callers_directory: Option<PathBuf>,
    /// Directory where trust bundles are published
    #[arg(
        long,
        env = "PILOTHOUSE_PUBLISH_DIRECTORY",
        value_name = "DIR",
        conflicts_with = "release",
        requires = "state_directory"
    )]
    pub(crate) publish_directory: Option<PathBuf>,
}

/// Keys in Secrets; exactly one of this and [`OnOneMachine`].
#[derive(Debug, Args)]
#[command(next_help_heading = "In a management cluster, instead of the directories")]
pub(crate) struct InCluster {
    /// The release: keys in its Secrets, callers by the tokens of its Pods, bundles and kubeconfig in its objects
    #[arg(
        long,
        env = "PILOTHOUSE_RELEASE",
        value_name = "NAME",
        value_parser = release_name,
        requires = "pod_uid"
    )]
    pub(crate) release: Option<String>,
    /// The UID of this Pod, by which it is told from other replicas (metadata.uid of the downward API)
    #[arg(long, env = "PILOTHOUSE_POD_UID", value_name = "UID", requires = "release")]
    pub(crate) pod_uid: Option<String>,
    /// Whether Secrets with keys outlive the release; if not, they go with its ConfigMap NAME-anchor
    #[arg(
        long,
        env = "PILOTHOUSE_KEEP_STATE",
        value_name = "BOOLEAN",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) keep_state: bool,
    /// Where clients outside reach the API servers; the first is in the admin kubeconfig (repeat) [default: the Service's load balancer, else its name; port 6443]
    #[arg(
        long,
        env = "PILOTHOUSE_EXTERNAL_ADDRESS",
        value_delimiter = ',',
        value_name = "HOST[:PORT]",
        requires = "release"
    )]
    pub(crate) external_address: Vec<ExternalAddress>,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The state directory of `pilothouse up`
    #[arg(long, value_name = "DIR")]
    pub(crate) state_directory: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table for people
    #[default]
    Table,
    /// A JSON list of objects
    Json,
}

fn release_name(given: &str) -> Result<String, String> {
    match given.parse() {
        Ok(LeafName::Dns(name))
            if name == given && !name.contains('.') && name.len() <= LONGEST_RELEASE_NAME =>
        {
            Ok(name)
        }
        _ => Err(format!(
            "a release is named by at most {LONGEST_RELEASE_NAME} lower-case letters, digits and -"
        )),
    }
}
