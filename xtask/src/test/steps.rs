//! The steps of `cargo xtask test`, cheap ones first. Each works alone as well: what it needs from an
//! earlier one (components, binaries) is made by cargo or the cache if it is not there.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::licences;
use crate::cargo_metadata::{Package, Workspace};
use crate::components::{self, DEFAULT_KUBERNETES, Release, Tools, UPGRADE_FROM};
use crate::{chart, images, machine, management_cluster, program, tidy};

/// What is the same for all steps of a run.
pub(super) struct Run<'a> {
    pub(super) release: Release,
    /// Where tests put their temporary files.
    pub(super) scratch: &'a Path,
}

#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) run: fn(&Run<'_>) -> Result<()>,
}

/// Steps that run only when they are asked for: they have not passed often enough yet to hold up everything else.
pub(super) const ON_REQUEST: [&str; 1] = ["hosted-faults"];

pub(super) const STEPS: [Step; 13] = [
    Step { name: "format", purpose: "rustfmt changes nothing", run: |_| format() },
    Step { name: "lint", purpose: "clippy has nothing to say", run: |_| lint() },
    Step { name: "tidy", purpose: "the rules of this repository", run: |_| tidy::run() },
    Step { name: "licences", purpose: "deny.toml: licences, bans, sources", run: |_| licences::check() },
    Step { name: "unit", purpose: "the tests of every crate", run: unit },
    Step {
        name: "components",
        purpose: "upstream's binaries",
        run: |run| components::ensure(&run.release).map(drop),
    },
    Step { name: "binaries", purpose: "our own, as the end-to-end tests run them", run: |_| binaries() },
    Step {
        name: "images",
        purpose: "static binaries, and an image of each",
        run: |_| images::with_profile("ci"),
    },
    Step {
        name: "chart",
        purpose: "the charts without a cluster, and whether they say what the binaries understand",
        run: chart,
    },
    Step {
        name: "end-to-end",
        purpose: "upstream's binaries, single crates with them, and all together",
        run: end_to_end,
    },
    Step {
        name: "robustness",
        purpose: "seeded faults at random moments under load, on one machine",
        run: robustness,
    },
    Step {
        name: "hosted",
        purpose: "the chart and the images on three real nodes",
        run: |run| hosted(run, None),
    },
    Step {
        name: "hosted-faults",
        purpose: "dying Pods, volumes and nodes under load, upgrades, enforced policies, and tenants beside each other",
        run: hosted_faults,
    },
];

fn format() -> Result<()> {
    program::run(program::cargo().args(["fmt", "--all", "--check"]))
}

fn lint() -> Result<()> {
    program::run(program::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// All tests but those that need the real binaries; one build for this step and the two that do.
fn unit(run: &Run<'_>) -> Result<()> {
    program::run(cargo_test(run).args(["--lib", "--bins"]))?;
    let mut command = cargo_test(run);
    let workspace = Workspace::read()?;
    command.args(workspace.tests(|package| ![END_TO_END, HOSTED].contains(&package.name.as_str())));
    program::run(&mut command)
}

/// Everything that the tests start, into target/ci.
fn binaries() -> Result<()> {
    program::run(&mut Workspace::read()?.build_products("ci"))?;
    program::run(&mut management_cluster::build("ci"))
}

/// First what needs no binaries.
fn chart(run: &Run<'_>) -> Result<()> {
    let tools = chart::check()?;
    binaries()?;
    let mut command = tests(run, |package| package.name == CHART_CONTRACT)?;
    program::run(command.env("PILOTHOUSE_HELM", tools.helm()).args(["--", "--ignored"]))
}

/// One control plane at a time: two cores carry no more without making times meaningless. The renewal of leaves that
/// client-go looks at every five minutes only waits, so it runs beside all others and is looked at last.
fn end_to_end(run: &Run<'_>) -> Result<()> {
    binaries()?;
    let of_end_to_end = || tests(run, |package| package.name == END_TO_END);
    program::run(of_end_to_end()?.args(["--no-run", "--quiet"]))?;
    let mut renewal = of_end_to_end()?;
    let renewal = renewal.args(["--", "--ignored", "--nocapture", "--skip", UPGRADE]).stdin(Stdio::null());
    let mut renewal = renewal.spawn().context("cannot start the test of late renewals")?;
    // One failure must not hide another: that would cost whoever mends it a run each.
    let crates = single_crates(run);
    let others = of_end_to_end().and_then(|mut command| {
        program::run(command.args(["--no-fail-fast", "--", "--test-threads=1", "--nocapture"]))
    });
    let renewal = renewal.wait().context("cannot wait for the test of late renewals")?;
    crates?;
    others?;
    ensure!(renewal.success(), "the test of late renewals failed: {renewal}");
    Ok(())
}

/// Tests of single crates that need the real binaries; without those they are ignored.
fn single_crates(run: &Run<'_>) -> Result<()> {
    let others = [END_TO_END, CHART_CONTRACT, HOSTED, NODES, ROBUSTNESS];
    let mut command = tests(run, |package| !others.contains(&package.name.as_str()))?;
    program::run(command.args(["--lib", "--no-fail-fast", "--", "--ignored", "--test-threads=1"]))
}

/// `cargo xtask robustness` does the same with other seeds. One control plane at a time, as in `end_to_end`.
fn robustness(run: &Run<'_>) -> Result<()> {
    binaries()?;
    let mut command = tests(run, |package| package.name == ROBUSTNESS)?;
    program::run(command.args(["--", "--ignored", "--test-threads=1", "--nocapture"]))
}

/// What takes long, and what needs a second version: an upgrade on one machine, and upgrades on the nodes.
fn hosted_faults(run: &Run<'_>) -> Result<()> {
    let before = components::ensure(&Release::pinned(UPGRADE_FROM)?)?;
    binaries()?;
    let newest = Run { release: Release::pinned(DEFAULT_KUBERNETES)?, scratch: run.scratch };
    let mut on_one_machine = tests(&newest, |package| package.name == END_TO_END)?;
    on_one_machine.env("PILOTHOUSE_UPGRADE_FROM", &before);
    program::run(on_one_machine.args(["--", "--ignored", "--nocapture", UPGRADE]))?;
    hosted(run, Some(&before))
}

/// Nodes run one version, so these tests do; the others carry `--kubernetes`. With the components of the version before, those
/// that take long.
fn hosted(run: &Run<'_>, before: Option<&Path>) -> Result<()> {
    let run = Run { release: Release::pinned(DEFAULT_KUBERNETES)?, scratch: run.scratch };
    binaries()?;
    images::with_profile("ci")?;
    if before.is_none() {
        program::run(tests(&run, |package| package.name == NODES)?.args(["--", "--ignored", "--nocapture"]))?;
    }
    let mut command = tests(&run, |package| package.name == HOSTED)?;
    management_cluster::stage(&mut command)?;
    command.args(["--no-fail-fast", "--", "--test-threads=1", "--nocapture"]);
    if let Some(before) = before {
        command.env("PILOTHOUSE_UPGRADE_FROM", before).arg("--ignored");
        command.env("PILOTHOUSE_POLICY_TOOLS", components::ensure_tools(Tools::Policies)?);
    }
    program::run(&mut command)
}

/// The test files of some packages, all built as for `unit`: with fewer packages cargo would build everything anew.
fn tests(run: &Run<'_>, of: impl Fn(&Package) -> bool) -> Result<Command> {
    let workspace = Workspace::read()?;
    let mut command = cargo_test(run);
    command.args(workspace.tests(of));
    command.env("PILOTHOUSE_COMPONENTS", components::ensure(&run.release)?);
    command.env("PILOTHOUSE_NODE_TOOLS", components::ensure_tools(Tools::Node)?);
    command.env("PILOTHOUSE_BINARIES", workspace.target_directory.join("ci"));
    if let Some(library) = machine::fake_clock() {
        command.env("PILOTHOUSE_FAKE_CLOCK", library);
    }
    Ok(command)
}

fn cargo_test(run: &Run<'_>) -> Command {
    let mut command = program::cargo();
    command.args(["test", "--workspace"]).env("TMPDIR", run.scratch);
    command
}

const END_TO_END: &str = "end-to-end";
/// In the name of the one test of `end-to-end` that needs two versions.
const UPGRADE: &str = "an_upgrade";
const CHART_CONTRACT: &str = "chart-contract";
const HOSTED: &str = "hosted-control-plane";
const ROBUSTNESS: &str = "robustness";
const NODES: &str = "management-cluster";
