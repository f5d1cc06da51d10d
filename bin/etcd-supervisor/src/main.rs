//! Founds, joins or rejoins an etcd cluster, runs one member, cares for the others and leaves without a gap.
//! Refuses logic: flags are in `args`, everything else is in the rooms.

mod args;

use std::process::ExitCode;

fn main() -> ExitCode {
    component_runtime::supervisor_main_with::<args::EtcdArguments, args::EtcdCommand>()
}
