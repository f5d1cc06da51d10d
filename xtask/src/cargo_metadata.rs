//! What cargo knows of the workspace: its packages, their dependencies, the target directory.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::program;

#[derive(Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Cargo's words: "lib", "bin", "test" and others.
    pub(crate) kind: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Cargo's words: nothing for an ordinary dependency, else "dev" or "build".
    pub(crate) kind: Option<String>,
}

impl Workspace {
    pub(crate) fn read() -> Result<Self> {
        let text = program::output(program::cargo().args([
            "metadata",
            "--no-deps",
            "--format-version=1",
            "--quiet",
        ]))?;
        serde_json::from_str(&text).context("cannot read the output of `cargo metadata`")
    }

    /// The packages that people install: those under bin/.
    pub(crate) fn products(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.folder(self).starts_with("bin/"))
    }

    /// `--test NAME` for every file of tests of the chosen packages.
    pub(crate) fn tests(&self, of: impl Fn(&Package) -> bool) -> impl Iterator<Item = String> {
        let targets =
            self.packages.iter().filter(move |package| of(package)).flat_map(|package| &package.targets);
        let tests = targets.filter(|target| target.kind.iter().any(|kind| kind == "test"));
        tests.flat_map(|target| ["--test".to_owned(), target.name.clone()])
    }

    /// The command that builds them all, into `target/<profile>`.
    pub(crate) fn build_products(&self, profile: &str) -> Command {
        let mut command = program::cargo();
        command.args(["build", "--profile", profile, "--bins"]);
        for package in self.products() {
            command.args(["--package", &package.name]);
        }
        command
    }
}

impl Package {
    /// The package's folder below the root, with slashes.
    pub(crate) fn folder(&self, workspace: &Workspace) -> String {
        let folder = self.manifest_path.parent().unwrap_or(&self.manifest_path);
        folder.strip_prefix(&workspace.root).unwrap_or(folder).to_string_lossy().into_owned()
    }
}
