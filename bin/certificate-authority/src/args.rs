//! The command line of certificate-authority. Refuses logic: it only says what may be given.

use std::net::SocketAddr;
use std::path::PathBuf;

use certificates::LeafName;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
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
pub(crate) struct Run {
    /// The instance's name; the Pod's name in a cluster [default: the hostname]
    #[arg(long, env = "PILOTHOUSE_INSTANCE_NAME", value_name = "NAME")]
    pub(crate) instance_name: Option<LeafName>,
    /// Directory of the CA keys and shared keys, made at the first start; back it up
    #[arg(long, env = "PILOTHOUSE_STATE_DIRECTORY", value_name = "DIR")]
    pub(crate) state_directory: PathBuf,
    /// Directory of those who may ask, by the hashes of their tokens
    #[arg(long, env = "PILOTHOUSE_CALLERS_DIRECTORY", value_name = "DIR")]
    pub(crate) callers_directory: PathBuf,
    /// Directory where trust bundles are published
    #[arg(long, env = "PILOTHOUSE_PUBLISH_DIRECTORY", value_name = "DIR")]
    pub(crate) publish_directory: PathBuf,
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
