//! The page docs/benchmarks.md and its picture, from the results alone.

use std::fmt::Write as _;

use super::cost::Cost;
use crate::page::{Page, range};
use crate::picture::{self, Group, Row};
use crate::sample::{Sample, Starts};

/// All that was measured.
pub(crate) struct Results {
    pub(crate) bare: Starts,
    pub(crate) ours: Starts,
    pub(crate) cost: Cost,
    pub(crate) machine: String,
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
        let _infallible = writeln!(text, "| {what} | {} | {} | {ratio:.2} |", seconds(bare), seconds(ours));
    }
    text.push_str("\n![Starts](pictures/starts.svg)\n\n## What our processes cost\n\n");
    let cost = &results.cost;
    let _infallible = write!(
        text,
        "A ready control plane that nobody uses, watched for {} s. *Own memory* is resident and no file's; what is resident of\n\
         the program file besides is the same pages for all its processes on a machine, and the kernel may drop it. The largest of\n\
         a component's instances is shown. All children together hold {:.0} MiB, their programs included.\n\n\
         | process of ours | own memory, MiB | with the program, MiB | one core, % |\n|---|---|---|---|\n",
        cost.watched.as_secs(),
        cost.children_memory
    );
    for (component, memory) in &cost.memory {
        let [with_program, processor] =
            [&cost.with_program, &cost.processor].map(|of| of.get(component).copied().unwrap_or_default());
        let name = end_to_end::supervisor_of(component);
        let _infallible = writeln!(text, "| {name} | {memory:.1} | {with_program:.1} | {processor:.2} |");
    }
    text.push_str("\n| binary | MiB |\n|---|---|\n");
    for (name, size) in &cost.size {
        let _infallible = writeln!(text, "| {name} | {size:.1} |");
    }
    Page {
        name: "benchmarks.md",
        markdown: text,
        pictures: vec![("starts.svg", picture(&results.bare, &results.ours))],
    }
}

fn picture(bare: &Starts, ours: &Starts) -> String {
    let group = |text, bare, ours| Group { text, rows: vec![Row::floor("bare", bare), Row::ours(ours)] };
    picture::dots(
        "seconds from the first process; one dot a start, strokes are medians",
        "Seconds from the first process, bare and under Pilothouse",
        &[
            group("first ready API server", &bare.api_ready, &ours.api_ready),
            group("both leases held", &bare.leases_held, &ours.leases_held),
        ],
    )
}

fn seconds(sample: &Sample) -> String {
    range(sample, 2, "s")
}

const PREFACE: &str = "# Benchmarks

Made by `cargo xtask bench start`; repeat it with the same words. Machines are noisy: read the ratios, not the seconds.
Control planes as Pods: [benchmarks-hosted.md](benchmarks-hosted.md); while they change:
[benchmarks-disruption.md](benchmarks-disruption.md).

## Start

A whole control plane (three etcd, two API servers, two controller-managers, two schedulers) from an empty state directory.
*Bare* are the very same binaries with the same flags, all started at once without supervisors; their CAs, keys and
certificates are there already. *Pilothouse* makes its CAs, keys and certificates within the measured time.

";
