//! The flags of kube-controller-manager's supervisor and what they become.
//! Refuses flags of kube-controller-manager itself: those follow after `--`.

use clap::Args;
use component_runtime::{Context, Needs, RuntimeError, SupervisedComponent};
use controller_component::{Controller, ControllerConfiguration, Kind, LeaderElectedArguments};
use naming_contract::Component;
use supervision::Configuration;

/// What kube-controller-manager is told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Controller manager")]
pub(crate) struct ControllerManagerArguments {
    #[command(flatten)]
    leader_elected: LeaderElectedArguments,
    /// Range from which nodes get their Pod ranges, one for each IP family (repeat) [default: nodes get none]
    #[arg(long = "pod-subnet", env = "PILOTHOUSE_POD_SUBNET", value_name = "CIDR", value_delimiter = ',')]
    pod_subnets: Vec<String>,
    /// Range of Service addresses, one for each IP family (repeat)
    #[arg(
        long = "service-subnet",
        env = "PILOTHOUSE_SERVICE_SUBNET",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    service_subnets: Vec<String>,
    /// Name that cloud resources carry
    #[arg(long, env = "PILOTHOUSE_CLUSTER_NAME", value_name = "NAME")]
    cluster_name: Option<String>,
}

impl SupervisedComponent for ControllerManagerArguments {
    const COMPONENT: Component = KIND.component();
    const ABOUT: &'static str =
        "Waits for the API server, runs kube-controller-manager and hands its leader lease on";
    type Supervised = Controller;

    fn needs(&self) -> Needs {
        KIND.needs()
    }

    fn policy(&self) -> Configuration {
        KIND.policy()
    }

    fn supervised(self, context: Context) -> Result<Controller, RuntimeError> {
        let configuration = ControllerConfiguration {
            pod_subnets: self.pod_subnets,
            service_subnets: self.service_subnets,
            cluster_name: self.cluster_name,
            ..self.leader_elected.configuration(KIND)?
        };
        Controller::new(configuration, context)
    }
}

const KIND: Kind = Kind::ControllerManager;
