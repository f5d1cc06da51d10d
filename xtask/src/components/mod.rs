//! `cargo xtask components`: the upstream binaries of one Kubernetes version, built once from the
//! Go modules pinned in tests/components/, kept outside the checkout. Downloads nothing but modules.

mod build;
mod cache;
mod go_module;
mod recipe;
mod release;
mod set;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub(crate) use build::module_directory;
pub(crate) use release::Release;
pub(crate) use set::Tools;

use crate::machine::{self, Purpose};
use crate::stopwatch::Stopwatch;
use cache::Cache;
use set::ComponentSet;

/// The newest version that the checkout pins.
pub(crate) const DEFAULT_KUBERNETES: &str = "1.37";
/// The minor version before it, from which upgrades are shown.
pub(crate) const UPGRADE_FROM: &str = "1.36";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The Kubernetes version: 1.35, 1.36 or 1.37, or the exact patch version that is pinned.
    #[arg(long, default_value = DEFAULT_KUBERNETES, value_name = "VERSION")]
    kubernetes: String,
    /// Build tools instead of a control plane.
    #[arg(long, value_enum, value_name = "PURPOSE", conflicts_with = "kubernetes")]
    tools: Option<Tools>,
    /// Also put the binaries themselves (not links into the cache) into this directory.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Builds what is missing; the last line on standard output is the directory with all binaries.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut directory = match arguments.tools {
        Some(tools) => ensure_tools(tools)?,
        None => ensure(&Release::pinned(&arguments.kubernetes)?)?,
    };
    if let Some(output) = &arguments.output {
        cache::copy_out(&directory, output)?;
        directory = std::path::absolute(output)?;
    }
    println!("{}", directory.display());
    Ok(())
}

/// Builds what is missing and gives the directory with all binaries, for `pilothouse up --components`. When all is
/// built, it takes a fraction of a second.
pub(crate) fn ensure(release: &Release) -> Result<PathBuf> {
    build_set(&ComponentSet::of_release(release)?)
}

/// The same for the tools of a purpose.
pub(crate) fn ensure_tools(tools: Tools) -> Result<PathBuf> {
    build_set(&ComponentSet::of_tools(tools)?)
}

fn build_set(set: &ComponentSet) -> Result<PathBuf> {
    let ComponentSet { title: of, recipes, minimum_go, .. } = set;
    machine::prepare(Purpose::Components, minimum_go)?;
    let cache = Cache::open()?;
    let directory = cache.set_directory(set);
    // Looked at without the lock: nobody waits for another version's build to use what is there.
    if cache::is_complete(&directory, recipes) {
        eprintln!("{} components of {of}: all built before", recipes.len());
        return Ok(directory);
    }
    let _lock = cache.lock()?;
    let stopwatch = Stopwatch::start();
    let mut built = 0;
    for (index, recipe) in recipes.iter().enumerate() {
        let place = cache.binary(recipe);
        let title = format!("[{}/{}] {} {}", index + 1, recipes.len(), recipe.name, recipe.version);
        if place.exists() {
            eprintln!("{title}: already built");
        } else {
            build::build(recipe, &place, &title)?;
            built += 1;
        }
    }
    cache::link_set(&directory, recipes)?;
    eprintln!("{} components of {of}: {built} built in {stopwatch}", recipes.len());
    Ok(directory)
}

/// The names of the binaries in a directory of components.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
