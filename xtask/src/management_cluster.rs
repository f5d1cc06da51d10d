//! `cargo xtask management-cluster …`: builds what `up` needs, then becomes tests/management-cluster's own command.
//! It refuses to interpret that command's flags, but for what has to be built for them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo_metadata::Workspace;
use crate::components::{self, DEFAULT_KUBERNETES, Release, Tools};
use crate::machine::{self, Purpose};
use crate::{checkout, images, program};

/// The package and its binary.
const NAME: &str = "management-cluster";
/// The flag of `up` that needs more than the others.
const ENFORCE_POLICIES: &str = "--enforce-policies";
/// As the end-to-end tests run it.
const PROFILE: &str = "ci";

/// `up`, `down`, `kubeconfig`, `status`, `load-images`, `kill-node`, `revive-node`; `--help` tells more about each.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// The subcommand and its flags.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let release = Release::pinned(DEFAULT_KUBERNETES)?;
    let starts = starts(&arguments.words);
    let enforces = starts && arguments.words.iter().any(|word| word == ENFORCE_POLICIES);
    let purpose = match (starts, enforces) {
        (false, _) => Purpose::Build,
        (true, false) => Purpose::Nodes,
        (true, true) => Purpose::Policies,
    };
    machine::prepare(purpose, &release.minimum_go())?;
    let workspace = Workspace::read()?;
    if starts {
        program::run(workspace.build_products(PROFILE).arg("--quiet"))?;
    }
    program::run(build(PROFILE).arg("--quiet"))?;
    let mut command = program::program(workspace.target_directory.join(PROFILE).join(NAME));
    // Relative paths among the flags are meant from where the user stands.
    command.current_dir(std::env::current_dir().context("cannot tell the current directory")?);
    if starts {
        command.env("PILOTHOUSE_COMPONENTS", components::ensure(&release)?);
        command.env("PILOTHOUSE_NODE_TOOLS", components::ensure_tools(Tools::Node)?);
        if enforces {
            command.env("PILOTHOUSE_POLICY_TOOLS", components::ensure_tools(Tools::Policies)?);
        }
    }
    command.args(&arguments.words);
    let line = program::line(&command);
    Err(command.exec()).with_context(|| format!("cannot start `{line}`"))
}

/// What tests and benches of the chart on nodes are told, beside where the binaries are: helm, our images, and where
/// upstream's are kept.
pub(crate) fn stage(command: &mut Command) -> Result<()> {
    command.env("PILOTHOUSE_HELM", components::ensure_tools(Tools::Chart)?.join("helm-4"));
    command.env("PILOTHOUSE_IMAGES", images::default_output(&Workspace::read()?));
    command.env("PILOTHOUSE_IMAGE_CACHE", checkout::cache_directory()?.join("images"));
    Ok(())
}

/// The command that builds its binary into `target/<profile>`.
pub(crate) fn build(profile: &str) -> Command {
    let mut command = program::cargo();
    command.args(["build", "--profile", profile, "--package", NAME, "--bins"]);
    command
}

/// Only `up` needs binaries, and not when only its help is wanted.
fn starts(words: &[OsString]) -> bool {
    words.first().is_some_and(|word| word == "up")
        && !words.iter().any(|word| word == "--help" || word == "-h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_start_builds_everything() {
        let words = |line: &[&str]| line.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(starts(&words(&["up", "--nodes", "2"])));
        assert!(!starts(&words(&["up", "--help"])));
        assert!(!starts(&words(&["down"])));
        assert!(!starts(&words(&[])));
    }
}
