//! The flags of the cloud-controller-manager's supervisor and what they become.
//! Refuses flags of the cloud-controller-manager itself: those follow after `--`.

use std::net::IpAddr;

use clap::Args;
use component_runtime::{Context, Needs, RuntimeError, SupervisedComponent};
use controller_component::{Controller, ControllerConfiguration, Kind};
use naming_contract::{Component, ports};
use supervision::Configuration;

/// What the cloud-controller-manager is told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cloud controller manager")]
pub(crate) struct CloudControllerManagerArguments {
    /// The API server that the cloud-controller-manager talks to: one URL behind which all of them are
    #[arg(long, env = "PILOTHOUSE_API_SERVER", value_name = "URL")]
    api_server: String,
    /// Each API server that may serve it; none may be older than it (repeat) [default: --api-server]
    #[arg(
        long = "serving-api-server",
        env = "PILOTHOUSE_SERVING_API_SERVER",
        value_name = "URL",
        value_delimiter = ','
    )]
    serving_api_servers: Vec<String>,
    /// Where the cloud-controller-manager serves its health and metrics
    #[arg(long, env = "PILOTHOUSE_BIND_ADDRESS", default_value = "0.0.0.0", value_name = "IP")]
    bind_address: IpAddr,
    /// Where the cloud-controller-manager serves its health and metrics
    #[arg(long, env = "PILOTHOUSE_SECURE_PORT", default_value_t = ports::CLOUD_CONTROLLER_MANAGER, value_name = "PORT")]
    secure_port: u16,
    /// Name that cloud resources carry
    #[arg(long, env = "PILOTHOUSE_CLUSTER_NAME", value_name = "NAME")]
    cluster_name: Option<String>,
}

impl SupervisedComponent for CloudControllerManagerArguments {
    const COMPONENT: Component = KIND.component();
    const ABOUT: &'static str =
        "Waits for the API server, runs any cloud-controller-manager and hands its leader lease on";
    type Supervised = Controller;

    fn needs(&self) -> Needs {
        KIND.needs()
    }

    fn policy(&self) -> Configuration {
        KIND.policy()
    }

    fn supervised(self, context: Context) -> Result<Controller, RuntimeError> {
        let serving_api_servers = if self.serving_api_servers.is_empty() {
            vec![self.api_server.clone()]
        } else {
            self.serving_api_servers
        };
        let configuration = ControllerConfiguration {
            kind: KIND,
            api_server: self.api_server,
            serving_api_servers,
            bind_address: self.bind_address,
            secure_port: self.secure_port,
            pod_subnets: Vec::new(),
            service_subnets: Vec::new(),
            cluster_name: self.cluster_name,
        };
        Ok(Controller::new(configuration, context))
    }
}

const KIND: Kind = Kind::CloudControllerManager;
