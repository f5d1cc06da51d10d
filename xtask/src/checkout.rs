//! Where this checkout lies and where its by-products go. It refuses to guess: a missing
//! directory is an error that names the variable to set.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the checkout: the folder above this package.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where everything lies that outlives a checkout: `PILOTHOUSE_CACHE`, else the user's cache directory.
pub(crate) fn cache_directory() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || set("HOME").map(|home| home.join(".cache"));
    set("PILOTHOUSE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").or_else(home).map(|cache| cache.join("pilothouse")))
        .context(
            "neither PILOTHOUSE_CACHE, XDG_CACHE_HOME nor HOME is set: set PILOTHOUSE_CACHE to a directory",
        )
        .and_then(|directory| {
            std::path::absolute(&directory)
                .with_context(|| format!("cannot make an absolute path of {}", directory.display()))
        })
}
