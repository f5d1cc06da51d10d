//! `cargo xtask bench`: release binaries, then `tests/benchmarks` beside them; the page goes to docs/benchmarks.md.
//! It measures nothing itself.

use anyhow::Result;

use crate::cargo_metadata::Workspace;
use crate::components::{self, DEFAULT_KUBERNETES, Release};
use crate::machine::{self, Purpose};
use crate::{checkout, program};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The Kubernetes version to measure with: 1.35, 1.36 or 1.37.
    #[arg(long, default_value = DEFAULT_KUBERNETES, value_name = "VERSION")]
    kubernetes: String,
    /// How often each start is measured.
    #[arg(long, default_value_t = 7, value_name = "COUNT")]
    rounds: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let release = Release::pinned(&arguments.kubernetes)?;
    machine::prepare(Purpose::Build, &release.minimum_go())?;
    let workspace = Workspace::read()?;
    program::run(&mut workspace.build_products("release"))?;
    let components = components::ensure(&release)?;
    let mut command = program::cargo();
    command.args([
        "run",
        "--quiet",
        "--package",
        "benchmarks",
        "--",
        "--rounds",
        &arguments.rounds.to_string(),
    ]);
    command.arg("--output").arg(checkout::root().join("docs"));
    command.env("PILOTHOUSE_COMPONENTS", components);
    command.env("PILOTHOUSE_BINARIES", workspace.target_directory.join("release"));
    program::run(&mut command)
}
