//! The flags of the cloud-controller-manager's supervisor and what they become.
//! Refuses flags of the cloud-controller-manager itself: those follow after `--`.

use clap::Args;
use component_runtime::{Context, Needs, RuntimeError, SupervisedComponent};
use controller_component::{Controller, ControllerConfiguration, Kind, LeaderElectedArguments};
use naming_contract::Component;
use supervision::Configuration;

/// What the cloud-controller-manager is told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cloud controller manager")]
pub(crate) struct CloudControllerManagerArguments {
    #[command(flatten)]
    leader_elected: LeaderElectedArguments,
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
        let common = self.leader_elected.configuration(KIND)?;
        let configuration = ControllerConfiguration { cluster_name: self.cluster_name, ..common };
        Controller::new(configuration, context)
    }
}

const KIND: Kind = Kind::CloudControllerManager;
