//! `cargo xtask bench`: builds what is measured, then starts `tests/benchmarks`; its pages go to docs/.
//! It measures nothing itself.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Subcommand;

use crate::cargo_metadata::Workspace;
use crate::components::{self, DEFAULT_KUBERNETES, Release, Tools, UPGRADE_FROM};
use crate::machine::{self, Purpose};
use crate::scratch::Scratch;
use crate::{checkout, images, management_cluster, program};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A start on this machine beside a bare start of the same processes; writes docs/benchmarks.md.
    Start(Start),
    /// `helm install` on three nodes beside the same components as plain Pods; writes docs/benchmarks-hosted.md.
    Hosted(Hosted),
    /// What clients notice while a control plane changes, beside plain Pods; writes docs/benchmarks-disruption.md.
    Disruption(Disruption),
}

#[derive(clap::Args)]
struct Start {
    /// The Kubernetes version to measure with: 1.35, 1.36 or 1.37.
    #[arg(long, default_value = DEFAULT_KUBERNETES, value_name = "VERSION")]
    kubernetes: String,
    /// How often each start is measured.
    #[arg(long, default_value_t = 7, value_name = "COUNT")]
    rounds: usize,
}

#[derive(clap::Args)]
struct Hosted {
    /// How often each installation is measured, from 1.
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    rounds: u32,
    /// How many small control planes are installed at once; 0 leaves that out.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    control_planes: usize,
    #[command(flatten)]
    nodes: OnNodes,
}

#[derive(clap::Args)]
struct Disruption {
    /// How often each change is measured, from 1.
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    rounds: u32,
    /// Which changes, separated by commas; a wrong name prints all that there are.
    #[arg(long, value_name = "NAMES")]
    changes: Option<String>,
    /// Requests per second of all clients together.
    #[arg(long, default_value_t = 200, value_name = "NUMBER")]
    rate: u32,
    /// Values of the chart, as helm takes them, to compare settings (repeat).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Leave the plain Pods out.
    #[arg(long)]
    without_floor: bool,
    #[command(flatten)]
    nodes: OnNodes,
}

/// What is measured on three nodes.
#[derive(clap::Args)]
struct OnNodes {
    /// Cargo's profile of what runs in Pods: `release`, or `ci`, which is built in a fraction of the time.
    #[arg(long, default_value = "release", value_name = "NAME")]
    profile: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Start(start) => start.run(),
        What::Hosted(hosted) => hosted.run(),
        What::Disruption(disruption) => disruption.run(),
    }
}

impl Start {
    fn run(&self) -> Result<()> {
        let release = Release::pinned(&self.kubernetes)?;
        machine::prepare(Purpose::Build, &release.minimum_go())?;
        let workspace = Workspace::read()?;
        program::run(&mut workspace.build_products("release"))?;
        let mut bench = bench(&workspace, "release", &release)?;
        let scratch = Scratch::claim()?;
        program::run(bench.env("TMPDIR", scratch.path()).args([
            "start",
            "--rounds",
            &self.rounds.to_string(),
        ]))
    }
}

impl Hosted {
    fn run(&self) -> Result<()> {
        let (rounds, control_planes) = (self.rounds.to_string(), self.control_planes.to_string());
        self.nodes.run(&["hosted", "--rounds", &rounds, "--control-planes", &control_planes], &[])
    }
}

impl Disruption {
    fn run(&self) -> Result<()> {
        let (rounds, rate) = (self.rounds.to_string(), self.rate.to_string());
        let mut line = vec!["disruption", "--rounds", &rounds, "--rate", &rate];
        line.extend(self.changes.iter().flat_map(|names| ["--changes", names.as_str()]));
        line.extend(self.set.iter().flat_map(|value| ["--set", value.as_str()]));
        line.extend(self.without_floor.then_some("--without-floor"));
        let before = components::ensure(&Release::pinned(UPGRADE_FROM)?)?;
        self.nodes.run(&line, &[("PILOTHOUSE_UPGRADE_FROM", &before)])
    }
}

impl OnNodes {
    fn run(&self, line: &[&str], environment: &[(&str, &Path)]) -> Result<()> {
        // Nodes run one version.
        let release = Release::pinned(DEFAULT_KUBERNETES)?;
        machine::prepare(Purpose::Nodes, &release.minimum_go())?;
        let workspace = Workspace::read()?;
        program::run(&mut workspace.build_products(&self.profile))?;
        program::run(&mut management_cluster::build(&self.profile))?;
        images::with_profile(&self.profile)?;
        let mut bench = bench(&workspace, &self.profile, &release)?;
        management_cluster::stage(&mut bench)?;
        bench.env("PILOTHOUSE_NODE_TOOLS", components::ensure_tools(Tools::Node)?);
        let scratch = Scratch::claim()?;
        program::run(bench.env("TMPDIR", scratch.path()).envs(environment.iter().copied()).args(line))
    }
}

/// tests/benchmarks with where everything is, to be completed with what is measured.
fn bench(workspace: &Workspace, profile: &str, release: &Release) -> Result<Command> {
    let mut command = program::cargo();
    command.args(["run", "--quiet", "--package", "benchmarks", "--"]);
    command.arg("--output").arg(checkout::root().join("docs"));
    command.env("PILOTHOUSE_COMPONENTS", components::ensure(release)?);
    command.env("PILOTHOUSE_BINARIES", workspace.target_directory.join(profile));
    Ok(command)
}
