//! The command line of certificate-authority. Refuses logic: it only says what may be given.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use certificate_signing::{ExternalAddress, PlannedInstance, parse_duration};
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
    pub(crate) rotation: Rotation,
    #[command(flatten)]
    pub(crate) logs: LogArguments,
    #[command(flatten)]
    pub(crate) directories: OnOneMachine,
    #[command(flatten)]
    pub(crate) release: InCluster,
    #[command(flatten)]
    pub(crate) management: ManagementArguments,
}

/// Rotation of the keys that several processes share, and of the CAs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rotation of shared keys and CAs")]
pub(crate) struct Rotation {
    /// Number of the service-account key that is wanted, from 1; a rotation begins when it is above that of the key in use
    #[arg(long, env = "PILOTHOUSE_SERVICE_ACCOUNT_KEY", default_value_t = 1, value_name = "NUMBER")]
    pub(crate) service_account_key: u64,
    /// Number of the encryption key that is wanted, likewise
    #[arg(long, env = "PILOTHOUSE_ENCRYPTION_KEY", default_value_t = 1, value_name = "NUMBER")]
    pub(crate) encryption_key: u64,
    /// How long an old service-account key is trusted after nobody signs with it any more, such as 25h: kubelet renews
    /// the tokens of Pods after 24 hours at the latest, and tokens that were asked for with longer lives end with the key
    #[arg(
        long,
        env = "PILOTHOUSE_SERVICE_ACCOUNT_KEY_OVERLAP",
        default_value = "25h",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub(crate) service_account_key_overlap: Duration,
    /// Number of the CAs that are wanted, from 1, likewise; all CAs are replaced in step
    #[arg(long, env = "PILOTHOUSE_CERTIFICATE_AUTHORITIES", default_value_t = 1, value_name = "NUMBER")]
    pub(crate) certificate_authorities: u64,
    /// How long new CAs are known before they sign, and old ones are trusted after nobody inside shows their certificates
    /// any more: for kubeconfigs, nodes and Pods outside, of which nobody here knows what they trust. Read anew at each
    /// start: a longer one holds a rotation up, a shorter one lets it go on
    #[arg(
        long,
        env = "PILOTHOUSE_CERTIFICATE_AUTHORITY_OVERLAP",
        default_value = "7d",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub(crate) certificate_authority_overlap: Duration,
}

/// Keys in files; exactly one of this and [`InCluster`].
#[derive(Debug, Args)]
#[command(next_help_heading = "On one machine, all three")]
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
    /// File that `pilothouse rotate` writes: the numbers of the keys and CAs that are wanted
    #[arg(
        long,
        env = "PILOTHOUSE_WANTED_KEYS_FILE",
        value_name = "FILE",
        conflicts_with = "release",
        requires = "state_directory"
    )]
    pub(crate) wanted_keys_file: Option<PathBuf>,
    /// An instance and its health endpoints, such as kube-apiserver-0=http://127.0.0.1:8686: a rotation goes on when it
    /// has taken keys and CAs up (repeat)
    #[arg(
        long = "planned-instance",
        env = "PILOTHOUSE_PLANNED_INSTANCE",
        value_delimiter = ',',
        value_name = "NAME=URL",
        conflicts_with = "release",
        requires = "state_directory"
    )]
    pub(crate) planned_instances: Vec<PlannedInstance>,
    /// The administrators' kubeconfig, which somebody else keeps: a rotation of CAs goes on when it has been written anew
    #[arg(
        long,
        env = "PILOTHOUSE_KUBECONFIG",
        value_name = "FILE",
        conflicts_with = "release",
        requires = "state_directory"
    )]
    pub(crate) kubeconfig: Option<PathBuf>,
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

fn duration(given: &str) -> Result<Duration, String> {
    parse_duration(given).ok_or_else(|| "a duration is a number and s, m, h or d".to_owned())
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
