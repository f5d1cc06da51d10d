//! A copy of a chart in a temporary directory: under another version, or as a dependency of a chart of somebody else's.
//! It refuses to change the checkout.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::rendered::{Rendered, checkout};

/// Charts made for a test; gone when dropped.
#[derive(Debug)]
pub struct Copies {
    directory: TempDir,
}

impl Copies {
    /// A directory for them.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: tempfile::tempdir().context("cannot make a temporary directory")? })
    }

    /// The chart under another version.
    pub fn with_version(&self, chart: &str, version: &str) -> Result<PathBuf> {
        let copy = self.directory.path().join("copy");
        copy_directory(&checkout().join(chart), &copy)?;
        let file = copy.join("Chart.yaml");
        let text = fs::read_to_string(&file)?;
        let version = |line: &str| match line.split_once(": ") {
            Some((key @ ("version" | "appVersion"), _)) => format!("{key}: {version}\n"),
            _ => format!("{line}\n"),
        };
        write(&file, &text.lines().map(version).collect::<String>())?;
        Ok(copy)
    }

    /// The chart under another version, rendered.
    pub fn under_version(
        &self,
        chart: &str,
        version: &str,
        values: &[&str],
        settings: &[&str],
    ) -> Result<Rendered> {
        Rendered::at(&self.with_version(chart, version)?, values, settings)
    }

    /// A parent chart with the chart as a dependency under a condition, rendered.
    pub fn in_parent(&self, chart: &str, settings: &[&str]) -> Result<Rendered> {
        let parent = self.directory.path().join("parent");
        let name =
            Path::new(chart).file_name().and_then(|name| name.to_str()).context("a chart has a name")?;
        copy_directory(&checkout().join(chart), &parent.join("charts").join(name))?;
        let dependency =
            format!("dependencies: [{{name: {name}, version: '*', condition: {name}.enabled}}]\n");
        write(
            &parent.join("Chart.yaml"),
            &format!("apiVersion: v2\nname: parent\nversion: 1.0.0\n{dependency}"),
        )?;
        Rendered::at(&parent, &[], settings)
    }
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
