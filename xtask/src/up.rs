//! `cargo xtask up`: from a fresh clone to a running control plane. It builds, then becomes
//! `pilothouse up`; it refuses to interpret that command's flags.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context, Result};

use crate::cargo_metadata::Workspace;
use crate::components::{self, DEFAULT_KUBERNETES, Release};
use crate::machine::{self, Purpose};
use crate::program;

/// Flags are those of `pilothouse up`, passed on unchanged. With `--components DIR` among them, nothing upstream is
/// built.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// The Kubernetes version to build: 1.35, 1.36 or 1.37. Must come before all other flags.
    #[arg(long, default_value = DEFAULT_KUBERNETES, value_name = "VERSION")]
    kubernetes: String,
    /// Anything that `pilothouse up` takes; `--help` shows it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS OF pilothouse up")]
    flags: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let release = Release::pinned(&arguments.kubernetes)?;
    machine::prepare(Purpose::Build, &release.minimum_go())?;
    let workspace = Workspace::read()?;
    program::run(&mut workspace.build_products("release"))?;
    let mut pilothouse = program::program(workspace.target_directory.join("release/pilothouse"));
    // Relative paths among the flags are meant from where the user stands.
    pilothouse.current_dir(std::env::current_dir().context("cannot tell the current directory")?);
    pilothouse.arg("up");
    if needs_components(&arguments.flags) {
        pilothouse.arg("--components").arg(components::ensure(&release)?);
    }
    pilothouse.args(&arguments.flags);
    let line = program::line(&pilothouse);
    Err(pilothouse.exec()).with_context(|| format!("cannot start `{line}`"))
}

/// Not when the user brings components, nor when only the help is wanted.
fn needs_components(flags: &[OsString]) -> bool {
    !flags.iter().any(|flag| {
        let flag = flag.to_string_lossy();
        flag == "--components" || flag.starts_with("--components=") || flag == "--help" || flag == "-h"
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Arguments,
    }

    fn flags(line: &[&str]) -> Vec<OsString> {
        Line::try_parse_from([&["up"], line].concat()).unwrap().up.flags
    }

    #[test]
    fn flags_are_passed_on_as_they_stand() {
        for line in [&["--name", "a", "--etcd", "1"][..], &["--detach"], &["--help"], &[]] {
            assert_eq!(flags(line), line);
        }
    }

    #[test]
    fn the_version_is_ours_when_it_comes_first() {
        let parsed = Line::try_parse_from(["up", "--kubernetes", "1.36", "--detach"]).unwrap().up;
        assert_eq!(parsed.kubernetes, "1.36");
        assert_eq!(parsed.flags, ["--detach"]);
    }

    #[test]
    fn components_of_the_user_are_not_built_again() {
        assert!(needs_components(&flags(&["--name", "a"])));
        assert!(!needs_components(&flags(&["--components", "somewhere"])));
        assert!(!needs_components(&flags(&["--components=somewhere"])));
        assert!(!needs_components(&flags(&["--help"])));
    }
}
