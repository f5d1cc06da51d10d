//! The static binaries and the builder's context made of them, as linux/ARCHITECTURE/NAME.
//! Refuses a binary that is not static: it would not start in an image that holds nothing else.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::static_binary;
use crate::cargo_metadata::{Package, Workspace};
use crate::stopwatch::Stopwatch;
use crate::{checkout, program};

/// The command that people type: it runs on their machine, not in a Pod.
const NOT_IN_PODS: &str = "pilothouse";

/// A binary in the context.
pub(super) struct Binary {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) size: u64,
}

/// The packages whose binaries run in Pods.
pub(super) fn packages(workspace: &Workspace) -> impl Iterator<Item = &Package> {
    workspace.products().filter(|package| package.name != NOT_IN_PODS)
}

/// This machine's architecture in the words of images.
pub(super) fn architecture() -> Result<&'static str> {
    match env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images are built on x86_64 and aarch64, not on {other}"),
    }
}

/// Builds them, checks each and lays them out.
pub(super) fn lay_out(workspace: &Workspace, profile: &str, context: &Path) -> Result<Vec<Binary>> {
    let folder = context.join("linux").join(architecture()?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let stopwatch = Stopwatch::start();
    program::run(&mut build(workspace, profile))?;
    eprintln!("static binaries ({profile}) built in {stopwatch}");
    let built = workspace.target_directory.join(target()).join(profile);
    packages(workspace).map(|package| lay_out_one(package, &built, &folder)).collect()
}

fn lay_out_one(package: &Package, built: &Path, folder: &Path) -> Result<Binary> {
    let binary = built.join(&package.name);
    let content = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    static_binary::demand(&content, architecture()?)
        .with_context(|| format!("{} cannot be an image", binary.display()))?;
    let place = folder.join(&package.name);
    // By way of a rename: an image built at the same time sees a whole file.
    let incoming = folder.join(format!(".{}.{}", package.name, std::process::id()));
    fs::copy(&binary, &incoming)
        .and_then(|_| fs::set_permissions(&incoming, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&incoming, &place))
        .with_context(|| format!("cannot copy {} to {}", binary.display(), place.display()))?;
    Ok(Binary { name: package.name.clone(), version: package.version.clone(), size: content.len() as u64 })
}

/// The target is named even though it is this machine's own: without that, cargo would link procedural macros
/// statically too, which cannot work.
fn build(workspace: &Workspace, profile: &str) -> Command {
    let mut command = program::cargo();
    command.args(["build", "--profile", profile, "--target", &target(), "--bins"]);
    for package in packages(workspace) {
        command.args(["--package", &package.name]);
    }
    command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}"));
    command
}

/// Static, and without the paths of this machine, which would make each checkout's binaries differ.
fn flags() -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.push(format!("--remap-path-prefix={}=.", checkout::root().display()));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=cargo", home.display())));
    flags
}

fn target() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}
