//! Builds one binary with `go build`, checks that it tells the version it should, and only then
//! gives it its name: what lies under a name in the cache is whole and right.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cache::create_directory;
use super::recipe::Recipe;
use crate::program;
use crate::stopwatch::{Stopwatch, with_signs_of_life};

/// Builds the recipe's binary to `place`.
pub(crate) fn build(recipe: &Recipe, place: &Path, title: &str) -> Result<()> {
    let directory = place.parent().with_context(|| format!("{} has no directory", place.display()))?;
    create_directory(directory)?;
    let incoming = directory.join(format!(".{}.incoming", recipe.name));
    eprintln!("{title}: building");
    let stopwatch = Stopwatch::start();
    let still_building = |elapsed: Stopwatch| eprintln!("{title}: still building, {elapsed}");
    with_signs_of_life(Duration::from_secs(30), still_building, || {
        if recipe.copied_from.is_empty() {
            program::output(&mut go_build(recipe, &incoming)).map(drop)
        } else {
            copy(recipe, &incoming)
        }
    })
    .with_context(|| format!("cannot build {} {}", recipe.name, recipe.version))?;
    check_version(recipe, &incoming)?;
    publish(&incoming, place)?;
    let megabytes = fs::metadata(place).map(|metadata| metadata.len() / 1_000_000).unwrap_or_default();
    eprintln!("{title}: built in {stopwatch}, {megabytes} MB");
    Ok(())
}

fn go_build(recipe: &Recipe, target: &Path) -> Command {
    let mut command = go();
    command.current_dir(&recipe.folder);
    command.args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", recipe.tags]);
    command.arg("-ldflags").arg(&recipe.linker_flags).arg("-o").arg(target).arg(&recipe.package);
    command
}

/// Copies a folder of a module, which lies read-only and may be cleaned away where Go keeps it.
fn copy(recipe: &Recipe, target: &Path) -> Result<()> {
    let source = module_directory(&recipe.folder, recipe.copied_from)?.join(&recipe.package);
    // Of a run that was killed.
    let _absent = fs::remove_dir_all(target);
    let mut command = program::program("cp");
    command.args(["--recursive", "--no-preserve=mode", "--"]).arg(source).arg(target);
    program::output(&mut command).map(drop)
}

/// Where Go keeps a module that a folder's go.mod pins; downloads it if it is not there: a binary in our cache outlives it.
pub(crate) fn module_directory(folder: &Path, module: &str) -> Result<PathBuf> {
    let mut download = go();
    download.current_dir(folder).args(["mod", "download", "-json", module]);
    let told: serde_json::Value = serde_json::from_str(&program::output(&mut download)?)
        .with_context(|| format!("go mod download of {module} printed something else than JSON"))?;
    let directory = told["Dir"].as_str();
    Ok(directory.with_context(|| format!("go mod download tells no directory of {module}: {told}"))?.into())
}

/// Go with nothing inherited that would change what comes out; proxies and caches stay the user's.
fn go() -> Command {
    let mut command = program::program("go");
    command.envs([("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", ""), ("GOWORK", "off")]);
    command
}

fn check_version(recipe: &Recipe, binary: &Path) -> Result<()> {
    let arguments: &[&str] = match recipe.name.as_str() {
        // They tell their version nowhere, or not where nobody calls them as kubelets do.
        "helm-unittest" | "cilium-cni" => return Ok(()),
        _ if !recipe.copied_from.is_empty() => return Ok(()),
        "kubectl" => &["version", "--client"],
        "etcdctl" | "etcdutl" => &["version"],
        "helm-3" | "helm-4" => &["version", "--template={{.Version}}"],
        "kubeconform" | "containerd-shim-runc-v2" => &["-v"],
        "coredns" => &["-version"],
        _ => &["--version"],
    };
    let said = program::everything_said(Command::new(binary).args(arguments))?;
    let words = said.split_whitespace();
    let version = |word: &str| word.trim_start_matches("CoreDNS-").trim_start_matches('v') == recipe.version;
    if !words.into_iter().any(version) {
        bail!("{} was built from {} but says: {}", recipe.name, recipe.version, said.trim_end());
    }
    Ok(())
}

fn publish(incoming: &Path, place: &Path) -> Result<()> {
    // Synced first: after a power cut the name must not stand for an empty file.
    File::open(incoming)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(incoming, place))
        .with_context(|| format!("cannot put the binary at {}", place.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a fixture in a temporary directory")]
    fn saying(directory: &Path, version: &str) -> PathBuf {
        let binary = directory.join("says-a-version");
        fs::write(&binary, format!("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Kubernetes {version}'\n"))
            .unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        binary
    }

    fn recipe() -> Recipe {
        Recipe {
            name: "kube-apiserver".to_owned(),
            version: "1.37.2".to_owned(),
            folder: PathBuf::from("folder"),
            package: "example.test/kube-apiserver".to_owned(),
            linker_flags: "-s -w".to_owned(),
            tags: "notest",
            built_in: "kubernetes-1.37.2-abcd".to_owned(),
            copied_from: "",
        }
    }

    #[test]
    fn a_binary_of_another_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        check_version(&recipe(), &saying(directory.path(), "v1.37.2")).unwrap();
        let error = check_version(&recipe(), &saying(directory.path(), "v1.37.20")).unwrap_err().to_string();
        assert_eq!(error, "kube-apiserver was built from 1.37.2 but says: Kubernetes v1.37.20");
    }

    #[test]
    fn the_command_pins_modules_and_is_static() {
        let command = go_build(&recipe(), Path::new("target"));
        let line = program::line(&command);
        assert_eq!(
            line,
            "go build -trimpath -buildvcs=false -mod=readonly -tags notest -ldflags -s -w -o target \
             example.test/kube-apiserver"
        );
        assert!(command.get_envs().any(|(name, value)| name == "CGO_ENABLED" && value == Some("0".as_ref())));
    }
}
