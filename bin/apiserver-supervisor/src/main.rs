//! Waits for etcd, runs kube-apiserver, keeps its certificates fresh and drains it.
//! Refuses logic: flags are in `args`, everything else is in the rooms.

mod args;

use std::process::ExitCode;

fn main() -> ExitCode {
    component_runtime::supervisor_main::<args::ApiserverArguments>()
}
