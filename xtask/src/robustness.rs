//! `cargo xtask robustness`: builds what is hurt, then starts `tests/robustness`, which needs root for a network of its own.
//! It hurts nothing itself.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cargo_metadata::Workspace;
use crate::components::{self, DEFAULT_KUBERNETES, Release};
use crate::machine::{self, Purpose};
use crate::program;
use crate::scratch::Scratch;

/// Prints the plan, each fault as it is done, and what came of all of them. As root.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The Kubernetes version: 1.35, 1.36 or 1.37.
    #[arg(long, default_value = DEFAULT_KUBERNETES, value_name = "VERSION")]
    kubernetes: String,
    /// The seed of the first run; the next ones follow it. A random one if it is not given.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many runs, each on a control plane of its own.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    runs: u64,
    /// Seconds from the first to the last fault of a run.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    seconds: u64,
    /// Do what this file says instead: a plan that was printed, or one of tests/robustness/regressions.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seconds"])]
    plan: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let release = Release::pinned(&arguments.kubernetes)?;
    machine::prepare(Purpose::Tests, &release.minimum_go())?;
    let workspace = Workspace::read()?;
    program::run(&mut workspace.build_products("ci"))?;
    let scratch = Scratch::claim()?;
    let mut command = program::cargo();
    command.args(["run", "--quiet", "--package", "robustness", "--"]);
    command.args(["--runs", &arguments.runs.to_string()]);
    match &arguments.plan {
        // It is started at the root of the checkout, from where a path as it was given may lead elsewhere.
        Some(file) => {
            let file = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
            command.arg("--plan").arg(file)
        }
        None => command.args(["--seconds", &arguments.seconds.to_string()]),
    };
    command.args(arguments.seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
    command.env("TMPDIR", scratch.path());
    if let Some(library) = machine::fake_clock() {
        command.env("PILOTHOUSE_FAKE_CLOCK", library);
    }
    command.env("PILOTHOUSE_COMPONENTS", components::ensure(&release)?);
    program::run(command.env("PILOTHOUSE_BINARIES", workspace.target_directory.join("ci")))
}
