//! Waits for the API server, runs any cloud-controller-manager and hands its leader lease on.
//! Refuses logic: flags are in `args`, everything else is in the rooms.

mod args;

use std::process::ExitCode;

fn main() -> ExitCode {
    component_runtime::supervisor_main::<args::CloudControllerManagerArguments>()
}
