//! The page docs/benchmarks.md and its picture, from the results alone.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::cost::Cost;
use crate::picture;
use crate::sample::{Sample, Starts};

/// All that was measured.
pub(crate) struct Results {
    pub(crate) bare: Starts,
    pub(crate) ours: Starts,
    pub(crate) cost: Cost,
    pub(crate) machine: String,
}

/// What is written.
pub(crate) struct Page {
    pub(crate) markdown: String,
    picture: String,
}

/// Renders the page.
pub(crate) fn render(results: &Results) -> Page {
    let mut text = String::from(PREFACE);
    let rounds = results.ours.api_ready.0.len();
    let _infallible = write!(
        text,
        "Machine: {}. {rounds} starts of each kind, interleaved; median (least to most).\n\n\
         | from the first process to | bare | Pilothouse | ratio of medians |\n|---|---|---|---|\n",
        results.machine
    );
    for (what, bare, ours) in [
        ("the first ready API server", &results.bare.api_ready, &results.ours.api_ready),
        ("both leader leases held", &results.bare.leases_held, &results.ours.leases_held),
    ] {
        let ratio = ours.median() / bare.median();
        let _infallible = writeln!(text, "| {what} | {} | {} | {ratio:.2} |", range(bare), range(ours));
    }
    text.push_str("\n![Starts](pictures/starts.svg)\n\n## What our processes cost\n\n");
    let cost = &results.cost;
    let _infallible = write!(
        text,
        "A ready control plane that nobody uses, watched for {} s. Memory is resident, anonymous and shared pages; the\n\
         largest of a component's instances is shown. All children together hold {:.0} MiB.\n\n\
         | process of ours | memory, MiB | one core, % |\n|---|---|---|\n",
        cost.watched.as_secs(),
        cost.children_memory
    );
    for (component, memory) in &cost.memory {
        let processor = cost.processor.get(component).copied().unwrap_or_default();
        let _infallible =
            writeln!(text, "| {} | {memory:.1} | {processor:.2} |", end_to_end::supervisor_of(component));
    }
    text.push_str("\n| binary | MiB |\n|---|---|\n");
    for (name, size) in &cost.size {
        let _infallible = writeln!(text, "| {name} | {size:.1} |");
    }
    Page { markdown: text, picture: picture::starts(&results.bare, &results.ours) }
}

/// Writes page and picture below `directory`.
pub(crate) fn write(directory: &Path, page: &Page) -> Result<()> {
    let pictures = directory.join("pictures");
    std::fs::create_dir_all(&pictures)?;
    durable_files::write_public(&directory.join("benchmarks.md"), page.markdown.as_bytes())?;
    durable_files::write_public(&pictures.join("starts.svg"), page.picture.as_bytes())?;
    Ok(())
}

fn range(sample: &Sample) -> String {
    format!("{:.2} s ({:.2} to {:.2})", sample.median(), sample.least(), sample.most())
}

const PREFACE: &str = "# Benchmarks

Made by `cargo xtask bench`; repeat it with the same words. Machines are noisy: read the ratios, not the seconds.

## Start

A whole control plane (three etcd, two API servers, two controller-managers, two schedulers) from an empty state directory.
*Bare* are the very same binaries with the same flags, all started at once without supervisors; their CAs, keys and
certificates are there already. *Pilothouse* makes its CAs, keys and certificates within the measured time.

";
