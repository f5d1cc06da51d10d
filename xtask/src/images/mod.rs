//! `cargo xtask images`: one image per binary that runs in Pods, as OCI archives with their names inside.
//! Refuses binaries that are not static, and images above the size that is promised.

mod binaries;
mod builder;
mod provenance;
mod static_binary;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cargo_metadata::Workspace;
use crate::checkout;
use crate::components::{DEFAULT_KUBERNETES, Release};
use crate::machine::{self, Purpose};
use crate::stopwatch::Stopwatch;
use builder::{Builder, Order};
use provenance::Provenance;

/// What is promised for each image, uncompressed: bytes on a node's disk.
const MOST_BYTES: u64 = 15_000_000;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the archives go [default: target/images].
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What stands before `/NAME:TAG`. Container runtimes read `pilothouse/NAME` as the default.
    #[arg(long, default_value = "docker.io/pilothouse", value_name = "PREFIX")]
    repository: String,
    /// The tag [default: the version].
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Cargo's profile: `release`, or `ci`, which is built in a fraction of the time and is a little larger.
    #[arg(long, default_value = "release", value_name = "NAME")]
    profile: String,
}

/// One image, as `images.json` beside the archives lists it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    name: String,
    reference: String,
    digest: String,
    archive: PathBuf,
    #[serde(rename = "bytes")]
    size: u64,
    archive_bytes: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    machine::prepare(Purpose::Images, &Release::pinned(DEFAULT_KUBERNETES)?.minimum_go())?;
    let provenance = Provenance::of_checkout()?;
    let workspace = Workspace::read()?;
    let output = match &arguments.output {
        Some(output) => std::path::absolute(output)?,
        None => default_output(&workspace),
    };
    let context = output.join("context");
    let binaries = binaries::lay_out(&workspace, &arguments.profile, &context)?;
    let images = build(arguments, &provenance, &binaries, &output)?;
    let list = output.join("images.json");
    let file = File::create(&list).with_context(|| format!("cannot create {}", list.display()))?;
    serde_json::to_writer_pretty(file, &images)
        .with_context(|| format!("cannot write {}", list.display()))?;
    print!("{}", table(&images));
    within_limit(&images)?;
    println!("{}", output.display());
    Ok(())
}

/// Where the archives go unless told otherwise.
pub(crate) fn default_output(workspace: &Workspace) -> PathBuf {
    workspace.target_directory.join("images")
}

/// The same with everything but the profile as it is by default, for tests and benches.
pub(crate) fn with_profile(profile: &str) -> Result<()> {
    run(&Arguments {
        output: None,
        repository: "docker.io/pilothouse".to_owned(),
        tag: None,
        profile: profile.to_owned(),
    })
}

fn build(
    arguments: &Arguments,
    provenance: &Provenance,
    binaries: &[binaries::Binary],
    output: &Path,
) -> Result<Vec<Image>> {
    let stopwatch = Stopwatch::start();
    let builder = Builder::open(output.join(format!("storage-{}", std::process::id())))?;
    let mut images = Vec::new();
    for binary in binaries {
        let tag = arguments.tag.as_ref().unwrap_or(&binary.version);
        let reference = format!("{}/{}:{tag}", arguments.repository, binary.name);
        let order = Order {
            name: &binary.name,
            architecture: binaries::architecture()?,
            reference: &reference,
            version: &binary.version,
            provenance,
        };
        let archive = output.join(format!("{}.tar", binary.name));
        let built = builder.build(&order, &output.join("context"), &archive)?;
        images.push(Image {
            name: binary.name.clone(),
            reference,
            digest: built.digest,
            archive: archive.strip_prefix(output).unwrap_or(&archive).to_owned(),
            size: binary.size,
            archive_bytes: built.archive_size,
        });
    }
    eprintln!("{} images of {} built in {stopwatch}", images.len(), checkout_name(provenance));
    Ok(images)
}

fn checkout_name(provenance: &Provenance) -> String {
    match provenance.revision.as_str() {
        "" => format!("{}, {}", checkout::root().display(), provenance.created()),
        revision => format!("{revision}, {}", provenance.created()),
    }
}

/// An image is its one file: nothing else is in it.
fn table(images: &[Image]) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let row = |image: &Image| {
        format!(
            "{:62} {:5.1} MB, {:4.1} MB as archive  {}\n",
            image.reference,
            megabytes(image.size),
            megabytes(image.archive_bytes),
            image.digest
        )
    };
    images.iter().map(row).collect()
}

fn within_limit(images: &[Image]) -> Result<()> {
    let too_large: Vec<_> =
        images.iter().filter(|image| image.size > MOST_BYTES).map(|image| image.name.as_str()).collect();
    if !too_large.is_empty() {
        bail!("larger than the promised {} MB: {}", MOST_BYTES / 1_000_000, too_large.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(size: u64) -> Image {
        Image {
            name: "some".to_owned(),
            reference: "docker.io/pilothouse/some:1".to_owned(),
            digest: "sha256:0".to_owned(),
            archive: "some.tar".into(),
            size,
            archive_bytes: size / 2,
        }
    }

    #[test]
    fn an_image_above_the_promise_is_refused_by_name() {
        within_limit(&[image(MOST_BYTES)]).unwrap();
        let refusal = within_limit(&[image(1), image(MOST_BYTES + 1)]).unwrap_err().to_string();
        assert_eq!(refusal, "larger than the promised 15 MB: some");
    }

    /// The Dockerfile says of each binary what cargo says of it, and has no stage too few or too many.
    #[test]
    fn the_dockerfile_has_a_stage_for_each_binary_that_runs_in_pods() {
        let dockerfile = std::fs::read_to_string(checkout::root().join("images/Dockerfile")).unwrap();
        let workspace = Workspace::read().unwrap();
        let mut stages = 0;
        for package in binaries::packages(&workspace) {
            let name = &package.name;
            let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
            let description = manifest.lines().find_map(|line| line.strip_prefix("description = ")).unwrap();
            for line in [
                format!("FROM scratch AS {name}\n"),
                format!("LABEL org.opencontainers.image.title=\"{name}\" \\\n"),
                format!("      org.opencontainers.image.description={description} \\\n"),
                format!("COPY --chmod=0755 linux/${{TARGETARCH}}/{name} /{name}\n"),
                format!("ENTRYPOINT [\"/{name}\"]\n"),
            ] {
                assert!(dockerfile.contains(&line), "images/Dockerfile lacks {line}");
            }
            stages += 1;
        }
        assert_eq!(dockerfile.matches("\nFROM ").count(), stages);
        assert_eq!(dockerfile.matches("\nUSER 65532:65532\n").count(), stages);
    }
}
