//! The flags of kube-scheduler's supervisor and what they become.
//! Refuses flags of kube-scheduler itself: those follow after `--`.

use clap::Args;
use component_runtime::{Context, Needs, RuntimeError, SupervisedComponent};
use controller_component::{Controller, Kind, LeaderElectedArguments};
use naming_contract::Component;
use supervision::Configuration;

/// What kube-scheduler is told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scheduler")]
pub(crate) struct SchedulerArguments {
    #[command(flatten)]
    leader_elected: LeaderElectedArguments,
}

impl SupervisedComponent for SchedulerArguments {
    const COMPONENT: Component = KIND.component();
    const ABOUT: &'static str = "Waits for the API server, runs kube-scheduler and hands its leader lease on";
    type Supervised = Controller;

    fn needs(&self) -> Needs {
        KIND.needs()
    }

    fn policy(&self) -> Configuration {
        KIND.policy()
    }

    fn supervised(self, context: Context) -> Result<Controller, RuntimeError> {
        Controller::new(self.leader_elected.configuration(KIND)?, context)
    }
}

const KIND: Kind = Kind::Scheduler;
