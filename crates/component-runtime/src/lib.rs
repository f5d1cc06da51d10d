//! What every supervisor and service does the same way: command line, logs, certificates, health endpoints, run, exit code.
//! Refuses to know any component: what is particular comes through [`SupervisedComponent`] or [`Service`].

mod arguments;
mod authorities_in_use;
mod command_line;
mod context;
mod error;
mod in_use;
mod keys_in_use;
mod memory_limit;
mod needs;
mod pod_events;
mod provisioned;
mod replica_name;
mod replicas;
mod restart_lease;
mod restart_turns;
mod restarts;
mod run;
mod trust_mirror;

pub use arguments::{CommonArguments, SupervisionArguments};
pub use command_line::{
    FurtherCommand, NoFurtherCommand, Service, SupervisedComponent, service_main, supervisor_main,
    supervisor_main_with,
};
pub use context::{ChildBinary, Context, Management, Paths, Replacement};
pub use error::RuntimeError;
pub use needs::Needs;
pub use pod_events::PodEvents;
pub use replica_name::ReplicaName;
