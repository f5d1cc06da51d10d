//! The flags of kube-apiserver's supervisor and what they become.
//! Refuses flags of kube-apiserver itself: those follow after `--`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use apiserver_component::{Apiserver, ApiserverConfiguration, EtcdMembers, NEEDS};
use clap::Args;
use component_runtime::{Context, Needs, ReplicaName, RuntimeError, SupervisedComponent};
use naming_contract::{Component, ports};
use serving_api_servers::ServingApiServers;
use supervision::Configuration;
use version_record::VersionRecord;

/// What one API server is told, and where its etcd is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "API server")]
pub(crate) struct ApiserverArguments {
    /// Client URL of etcd: one Service, or each member (repeat); of several members the API server uses those that serve
    #[arg(
        long = "etcd-endpoint",
        env = "PILOTHOUSE_ETCD_ENDPOINT",
        value_name = "URL",
        required = true,
        value_delimiter = ','
    )]
    etcd_endpoints: Vec<String>,
    /// Name and port behind which all members of etcd are, one address each: the API server uses those that serve, and leaves
    /// one that is lost; --etcd-endpoint tells the name in their certificates
    #[arg(long, env = "PILOTHOUSE_ETCD_MEMBERS", value_name = "HOST:PORT")]
    etcd_members: Option<ReplicaName>,
    /// Where kube-apiserver listens
    #[arg(long, env = "PILOTHOUSE_BIND_ADDRESS", default_value = "0.0.0.0", value_name = "IP")]
    bind_address: IpAddr,
    /// Where kube-apiserver listens
    #[arg(long, env = "PILOTHOUSE_SECURE_PORT", default_value_t = ports::KUBE_APISERVER, value_name = "PORT")]
    secure_port: u16,
    /// Where the other API servers reach this one; the Pod's address
    #[arg(long, env = "PILOTHOUSE_ADVERTISE_ADDRESS", value_name = "IP")]
    advertise_address: IpAddr,
    /// Range of Service addresses, one for each IP family (repeat)
    #[arg(
        long = "service-subnet",
        env = "PILOTHOUSE_SERVICE_SUBNET",
        value_name = "CIDR",
        required = true,
        value_delimiter = ','
    )]
    service_subnets: Vec<String>,
    /// Issuer of ServiceAccount tokens; further ones are only accepted (repeat)
    #[arg(
        long = "service-account-issuer",
        env = "PILOTHOUSE_SERVICE_ACCOUNT_ISSUER",
        default_value = "https://kubernetes.default.svc",
        value_name = "URL",
        value_delimiter = ','
    )]
    service_account_issuers: Vec<String>,
    /// Seconds from SIGTERM until new requests are refused: what load balancers need to notice
    #[arg(long, env = "PILOTHOUSE_SHUTDOWN_DELAY", default_value_t = 15, value_name = "SECONDS")]
    shutdown_delay: u64,
    /// Seconds that open watches get to end
    #[arg(long, env = "PILOTHOUSE_WATCH_GRACE", default_value_t = 25, value_name = "SECONDS")]
    watch_grace: u64,
    /// Answer 429 with Retry-After while draining instead of refusing connections
    #[arg(
        long,
        env = "PILOTHOUSE_SHUTDOWN_SEND_RETRY_AFTER",
        default_value_t = false,
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL",
        action = clap::ArgAction::Set
    )]
    shutdown_send_retry_after: bool,
    /// Seconds from a crash to the next start, at least: what a Service needs to leave this replica out. Until its caches are
    /// filled an API server that starts again answers 403; only with two or more replicas
    #[arg(long, env = "PILOTHOUSE_PAUSE_AFTER_CRASH", default_value_t = 0, value_name = "SECONDS")]
    pause_after_crash: u64,
    /// Share of requests, 0 to 0.02, after which a client connects anew; only with two or more replicas
    #[arg(long, env = "PILOTHOUSE_GOAWAY_CHANCE", value_name = "SHARE")]
    goaway_chance: Option<f64>,
    /// File shared by all API servers' supervisors: the highest version that all of them ever ran, below which none starts
    #[arg(
        long,
        env = "PILOTHOUSE_VERSION_RECORD",
        value_name = "FILE",
        conflicts_with = "version_record_config_map"
    )]
    version_record: Option<PathBuf>,
    /// The same in a ConfigMap of the management cluster, which is made once all API servers run one version
    #[arg(long, env = "PILOTHOUSE_VERSION_RECORD_CONFIG_MAP", value_name = "NAME")]
    version_record_config_map: Option<String>,
    /// Each API server that may serve, this one among them; none may be more than one minor version apart (repeat)
    /// [default: this one alone]
    #[arg(
        long = "serving-api-server",
        env = "PILOTHOUSE_SERVING_API_SERVER",
        value_name = "URL",
        value_delimiter = ','
    )]
    serving_api_servers: Vec<String>,
    /// Name and port behind which the API servers are that serve now, one address each; none of these may be further apart
    #[arg(
        long,
        env = "PILOTHOUSE_API_SERVER_REPLICAS",
        value_name = "HOST:PORT",
        conflicts_with = "serving_api_servers"
    )]
    api_server_replicas: Option<ReplicaName>,
    /// Name and port behind which the supervisors of all API servers are, ready or not: while one of these tells an older minor
    /// version, it is not written down that all of them have run a newer one
    #[arg(
        long,
        env = "PILOTHOUSE_API_SERVER_SUPERVISORS",
        value_name = "HOST:PORT",
        conflicts_with = "serving_api_servers"
    )]
    api_server_supervisors: Option<ReplicaName>,
    /// File with a JSON list: the entries of the `jwt` list of Kubernetes' authentication configuration; changes are taken up
    #[arg(long, env = "PILOTHOUSE_JWT_AUTHENTICATORS", value_name = "FILE")]
    jwt_authenticators: Option<PathBuf>,
}

impl ApiserverArguments {
    fn version_record(&self, context: &Context) -> Result<Option<VersionRecord>, RuntimeError> {
        if let Some(name) = &self.version_record_config_map {
            return Ok(Some(VersionRecord::config_map(context.management.api()?, name)));
        }
        Ok(self.version_record.as_ref().map(VersionRecord::file))
    }

    fn configuration(self, version_record: Option<VersionRecord>) -> ApiserverConfiguration {
        ApiserverConfiguration {
            version_record,
            serving_api_servers: match self.api_server_replicas {
                Some(replicas) => {
                    ServingApiServers::Behind { replicas, server_name: EVERY_API_SERVERS_NAME.to_owned() }
                }
                None if self.serving_api_servers.is_empty() => {
                    let own = preflight::reached_at(self.bind_address, self.secure_port);
                    ServingApiServers::Listed(vec![format!("https://{own}")])
                }
                None => ServingApiServers::Listed(self.serving_api_servers),
            },
            api_server_supervisors: self.api_server_supervisors,
            etcd: EtcdMembers { endpoints: self.etcd_endpoints, replicas: self.etcd_members },
            bind_address: self.bind_address,
            secure_port: self.secure_port,
            advertise_address: self.advertise_address,
            service_subnets: self.service_subnets,
            service_account_issuers: self.service_account_issuers,
            shutdown_delay: Duration::from_secs(self.shutdown_delay),
            watch_grace: Duration::from_secs(self.watch_grace),
            pause_after_crash: Duration::from_secs(self.pause_after_crash),
            send_retry_after: self.shutdown_send_retry_after,
            goaway_chance: self.goaway_chance,
            jwt_authenticators: self.jwt_authenticators,
        }
    }
}

/// In the certificate of each API server; the one by which they reach each other.
const EVERY_API_SERVERS_NAME: &str = "kubernetes.default.svc";

impl SupervisedComponent for ApiserverArguments {
    const COMPONENT: Component = Component::KubeApiserver;
    const ABOUT: &'static str =
        "Waits for etcd, runs kube-apiserver, keeps its certificates fresh and drains it";
    type Supervised = Apiserver;

    fn needs(&self) -> Needs {
        NEEDS
    }

    fn policy(&self) -> Configuration {
        self.clone().configuration(None).policy()
    }

    fn supervised(self, context: Context) -> Result<Apiserver, RuntimeError> {
        let record = self.version_record(&context)?;
        Apiserver::new(self.configuration(record), context)
    }
}
