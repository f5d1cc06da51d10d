//! The flags that all leader-elected components' supervisors share.
//! Refuses flags of one component only: those are in its binary.

use std::net::IpAddr;

use clap::Args;
use component_runtime::{ReplicaName, RuntimeError};
use naming_contract::ports;
use serving_api_servers::ServingApiServers;

use crate::{ControllerConfiguration, Kind};

/// Where the API servers are, and where the component serves.
#[derive(Debug, Clone, Args)]
pub struct LeaderElectedArguments {
    /// The API server that the component talks to: one URL behind which all of them are
    #[arg(long, env = "PILOTHOUSE_API_SERVER", value_name = "URL")]
    api_server: String,
    /// Each API server that may serve it; connections go to ready ones, and none may be older than it (repeat) [default:
    /// --api-server]
    #[arg(
        long = "serving-api-server",
        env = "PILOTHOUSE_SERVING_API_SERVER",
        value_name = "URL",
        value_delimiter = ','
    )]
    serving_api_servers: Vec<String>,
    /// Name and port behind which the API servers are, ready or not, one address each; connections go to ready ones, and none
    /// of these may be older
    #[arg(
        long,
        env = "PILOTHOUSE_API_SERVER_REPLICAS",
        value_name = "HOST:PORT",
        conflicts_with = "serving_api_servers"
    )]
    api_server_replicas: Option<ReplicaName>,
    /// Where the component serves its health and metrics
    #[arg(long, env = "PILOTHOUSE_BIND_ADDRESS", default_value = "0.0.0.0", value_name = "IP")]
    bind_address: IpAddr,
    /// Where the component serves its health and metrics [default: the component's own default]
    #[arg(long, env = "PILOTHOUSE_SECURE_PORT", value_name = "PORT")]
    secure_port: Option<u16>,
}

impl LeaderElectedArguments {
    /// The configuration of a component of this kind, without what only some of them have.
    pub fn configuration(self, kind: Kind) -> Result<ControllerConfiguration, RuntimeError> {
        let serving_api_servers = match self.api_server_replicas {
            Some(replicas) => ServingApiServers::behind(replicas, &self.api_server)?,
            None if self.serving_api_servers.is_empty() => {
                ServingApiServers::Listed(vec![self.api_server.clone()])
            }
            None => ServingApiServers::Listed(self.serving_api_servers),
        };
        Ok(ControllerConfiguration {
            kind,
            api_server: self.api_server,
            serving_api_servers,
            bind_address: self.bind_address,
            secure_port: self.secure_port.unwrap_or(match kind {
                Kind::ControllerManager => ports::KUBE_CONTROLLER_MANAGER,
                Kind::Scheduler => ports::KUBE_SCHEDULER,
                Kind::CloudControllerManager => ports::CLOUD_CONTROLLER_MANAGER,
            }),
            pod_subnets: Vec::new(),
            service_subnets: Vec::new(),
            cluster_name: None,
        })
    }
}
