//! `cargo xtask chart`: what is generated from the chart's annotated values, and everything about the chart that is checked
//! without a cluster. It refuses the network: Helm, its plugins and all schemas come from pinned Go modules.

mod annotated;
mod checks;
mod openapi;
mod schema;
mod table;
mod unused;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::checkout;
use annotated::Annotated;

pub(crate) use checks::check;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Write values.schema.json and the table of values in README.md from the annotated values.yaml.
    Generate,
    /// Check the charts without a cluster: generated files, lint, unit tests, schemas of every supported Kubernetes.
    Check,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.action {
        Action::Generate => {
            for generated in generated()? {
                generated.write()?;
            }
            Ok(())
        }
        Action::Check => check().map(drop),
    }
}

/// The chart of a hosted control plane.
fn folder() -> PathBuf {
    checkout::root().join("charts/hosted-control-plane")
}

/// A file that follows from others.
struct Generated {
    path: PathBuf,
    content: String,
}

fn annotated() -> Result<Annotated> {
    Annotated::parse(&read(&folder().join("values.yaml"))?)
}

fn generated() -> Result<[Generated; 2]> {
    let annotated = annotated()?;
    let schema = serde_json::to_string_pretty(&schema::schema(&annotated)?)? + "\n";
    let readme = folder().join("README.md");
    let table = table::in_readme(&read(&readme)?, &annotated)?;
    Ok([
        Generated { path: folder().join("values.schema.json"), content: schema },
        Generated { path: readme, content: table },
    ])
}

impl Generated {
    fn write(&self) -> Result<()> {
        File::create(&self.path)
            .and_then(|mut file| file.write_all(self.content.as_bytes()))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn check(&self) -> Result<()> {
        if fs::read_to_string(&self.path).is_ok_and(|found| found == self.content) {
            return Ok(());
        }
        bail!("{} does not follow from values.yaml: run `cargo xtask chart generate`", self.path.display())
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
