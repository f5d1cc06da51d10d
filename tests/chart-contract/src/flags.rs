//! The flags that a binary of ours has, as its `--help` tells them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The long flags of one subcommand.
#[derive(Debug)]
pub struct Flags {
    binary: String,
    names: BTreeSet<String>,
}

impl Flags {
    /// Asks the binary in `PILOTHOUSE_BINARIES`.
    pub fn of(binary: &str, subcommand: &str) -> Result<Self> {
        let path = place(binary)?;
        let output = Command::new(&path).args([subcommand, "--help"]).output();
        let output = output.with_context(|| format!("cannot start {}", path.display()))?;
        if !output.status.success() {
            bail!("{binary} {subcommand} --help failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self { binary: binary.to_owned(), names: parse(std::str::from_utf8(&output.stdout)?) })
    }

    /// Which of a container's arguments, up to `--`, are no flags of the binary.
    #[must_use]
    pub fn unknown<'a>(&self, arguments: &[&'a str]) -> Vec<&'a str> {
        let own = arguments.iter().copied().take_while(|argument| *argument != "--");
        own.skip(1)
            .filter(|argument| {
                let name = argument.split_once('=').map_or(*argument, |(name, _)| name);
                !name.strip_prefix("--").is_some_and(|name| self.names.contains(name))
            })
            .collect()
    }

    /// The binary's name.
    #[must_use]
    pub fn binary(&self) -> &str {
        &self.binary
    }
}

/// Whether a binary understands all of a container's arguments. It is started outside of any Pod, so it ends as soon as it has
/// read them and looks for the API of the cluster that it is in; gives its exit code and what it said.
pub fn understood(binary: &str, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let runtime = directory.path().to_string_lossy();
    // Only what kubelet would have put in, and what would be in the way of others on this machine.
    let argument = |argument: &&str| match argument.split_once('=') {
        Some((flag @ "--health-address", _)) => format!("{flag}=127.0.0.1:0"),
        _ => argument
            .replace("$(POD_IP)", "192.0.2.1")
            .replace("$(POD_UID)", "uid")
            .replace("/run/pilothouse", &runtime),
    };
    let mut command = Command::new(place(binary)?);
    command.args(arguments.iter().map(argument)).env_remove("KUBERNETES_SERVICE_HOST");
    let output = command.output().with_context(|| format!("cannot start {binary}"))?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn place(binary: &str) -> Result<PathBuf> {
    let directory = std::env::var_os("PILOTHOUSE_BINARIES");
    let directory = directory.context("PILOTHOUSE_BINARIES does not say where our binaries are")?;
    Ok(PathBuf::from(directory).join(binary))
}

/// Flags stand at the beginning of their line: `      --some-flag <VALUE>`, or after a short one.
fn parse(help: &str) -> BTreeSet<String> {
    let flag = |line: &str| {
        let line = line.trim_start();
        let line = line
            .strip_prefix('-')
            .filter(|rest| rest.as_bytes().get(1) == Some(&b','))
            .map_or(line, |rest| rest[2..].trim_start());
        let name = line.strip_prefix("--")?;
        let end = name.find(|character: char| !character.is_ascii_alphanumeric() && character != '-');
        Some(name[..end.unwrap_or(name.len())].to_owned()).filter(|name| !name.is_empty())
    };
    help.lines().filter_map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_help() {
        let help = "Usage: x run [OPTIONS] --needed <A>\n\n      --needed <A>\n          With --other text\n  -h, --help\n      --switch [<BOOL>]\n";
        let flags = Flags { binary: "x".to_owned(), names: parse(help) };
        assert_eq!(flags.names, ["help", "needed", "switch"].map(str::to_owned).into());
        assert_eq!(flags.unknown(&["run", "--needed=1", "--lost=2", "--", "--child"]), ["--lost=2"]);
    }
}
