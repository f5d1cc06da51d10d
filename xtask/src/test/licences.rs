//! Runs cargo-deny over deny.toml, built once into the cache directory when it is not installed.
//! Advisories are left out: they need a database from the network, and change without a commit.

use std::ffi::OsString;

use anyhow::Result;

use crate::{checkout, machine, program};

/// What deny.toml is written for.
const VERSION: &str = "0.20.2";

pub(super) fn check() -> Result<()> {
    let deny = installed_or_built()?;
    program::run(program::program(deny).args(["--workspace", "check", "bans", "licenses", "sources"]))
}

fn installed_or_built() -> Result<OsString> {
    if let Some(installed) = machine::find("cargo-deny") {
        return Ok(installed.into());
    }
    let root = checkout::cache_directory()?.join("tools").join(format!("cargo-deny-{VERSION}"));
    let binary = root.join("bin/cargo-deny");
    if !binary.is_file() {
        eprintln!("building cargo-deny {VERSION} (once; 2.5 minutes on 2 cores)");
        let mut install = program::cargo();
        install
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"])
            .arg(&root);
        program::run(&mut install)?;
    }
    Ok(binary.into())
}
