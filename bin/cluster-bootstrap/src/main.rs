//! Keeps in place what a hosted cluster needs inside and Kubernetes does not make itself.
//! Refuses logic: flags are in `args`, everything else is in the rooms.

mod args;

use std::process::ExitCode;

fn main() -> ExitCode {
    component_runtime::service_main::<args::ClusterBootstrapArguments>()
}
