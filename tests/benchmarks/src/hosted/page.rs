//! The page docs/benchmarks-hosted.md and its pictures, from the results alone.

use std::fmt::Write as _;
use std::time::Duration;

use super::at_once::AtOnce;
use super::footprint::Footprint;
use super::rounds::Installs;
use crate::page::{Page, range};
use crate::picture::{self, Group, Row};
use crate::sample::Sample;

/// All that was measured.
pub(crate) struct Results {
    pub(crate) ours: Installs,
    pub(crate) floor: Installs,
    pub(crate) at_once: Option<AtOnce>,
    /// From ready Pods to the look at their memory.
    pub(crate) settle: Duration,
    pub(crate) machine: String,
}

impl Results {
    /// Nothing measured yet.
    pub(crate) fn new(settle: Duration, machine: String) -> Self {
        Self { ours: Installs::default(), floor: Installs::default(), at_once: None, settle, machine }
    }
}

/// Renders the page.
pub(crate) fn render(results: &Results) -> Page {
    let mut text = String::from(PREFACE);
    installs(&mut text, results);
    memory(&mut text, results);
    let mut pictures = vec![("hosted.svg", picture(results))];
    if let Some(many) = &results.at_once {
        at_once(&mut text, many);
        pictures.push(("hosted-at-once.svg", picture_at_once(many)));
    }
    Page { name: "benchmarks-hosted.md", markdown: text, pictures }
}

fn installs(text: &mut String, results: &Results) {
    let (floor, ours) = (&results.floor, &results.ours);
    let busy = Sample(floor.busy.0.iter().chain(&ours.busy.0).copied().collect());
    let _infallible = write!(
        text,
        "Machine: {}, shared by three nodes, their control plane and the bench; {} busy before an installation.\n\
         {} installations of each kind, interleaved; median (least to most).\n\n\
         | from the start of `helm install` to | floor | Pilothouse | ratio of medians |\n|---|---|---|---|\n",
        results.machine,
        range(&busy, 0, "%"),
        ours.api_ready.0.len(),
    );
    for (what, floor, ours) in [
        ("the API ready through the Service", &floor.api_ready, &ours.api_ready),
        ("all Pods Ready", &floor.all_ready, &ours.all_ready),
        ("the end of helm itself", &floor.helm, &ours.helm),
    ] {
        let ratio = ours.median() / floor.median();
        let _infallible =
            writeln!(text, "| {what} | {} | {} | {ratio:.2} |", range(floor, 1, "s"), range(ours, 1, "s"));
    }
    let _infallible = write!(
        text,
        "\nContainer restarts in all of these: {} and {}.\n\n![Installs](pictures/hosted.svg)\n\n",
        floor.restarts, ours.restarts
    );
}

fn memory(text: &mut String, results: &Results) {
    let column = |installs: &Installs, value: fn(Footprint) -> f64| {
        range(&Sample(installs.footprints.iter().copied().map(value).collect()), 0, "MiB")
    };
    let ours = Sample(results.ours.footprints.iter().map(|footprint| footprint.ours).collect());
    let _infallible = write!(
        text,
        "## Memory\n\nResident anonymous and shared pages of all processes of the Pods but their sandboxes, {} s after all \
         were Ready.\n\n| | floor | Pilothouse |\n|---|---|---|\n\
         | one control plane | {} | {} |\n| upstream's processes | {} | {} |\n| ours ({} processes) | - | {} |\n\n",
        results.settle.as_secs(),
        column(&results.floor, Footprint::total),
        column(&results.ours, Footprint::total),
        column(&results.floor, |footprint| footprint.upstream),
        column(&results.ours, |footprint| footprint.upstream),
        results.ours.footprints.iter().map(|footprint| footprint.processes_of_ours).max().unwrap_or_default(),
        range(&ours, 1, "MiB"),
    );
}

fn at_once(text: &mut String, many: &AtOnce) {
    let totals = Sample(many.footprints.iter().map(|footprint| footprint.total()).collect());
    let ours = Sample(many.footprints.iter().map(|footprint| footprint.ours).collect());
    let _infallible = write!(
        text,
        "## Many at once\n\n{} control planes with `values-small.yaml` (one of each), installed at the same moment by as many \
         tenants: {} answered\nthrough their Services and all Pods of {} were Ready within {} s, with {} container restarts.\n\n\
         | from the start of `helm install` to | p50 | p99 | fastest |\n|---|---|---|---|\n",
        many.installed,
        many.api_ready.0.len(),
        many.all_ready.0.len(),
        many.limit.as_secs(),
        many.restarts
    );
    for (what, sample) in
        [("the API ready through the Service", &many.api_ready), ("all Pods Ready", &many.all_ready)]
    {
        let _infallible = writeln!(
            text,
            "| {what} | {:.1} s | {:.1} s | {:.1} s |",
            sample.median(),
            sample.percentile(99.0),
            sample.least()
        );
    }
    let _infallible = write!(
        text,
        "\nEach holds {}, of which {} are ours.\n\n![At once](pictures/hosted-at-once.svg)\n",
        range(&totals, 0, "MiB"),
        range(&ours, 1, "MiB")
    );
}

fn picture(results: &Results) -> String {
    let group =
        |text, floor, ours| Group { text, rows: vec![Row::floor("plain Pods", floor), Row::ours(ours)] };
    let (floor, ours) = (&results.floor, &results.ours);
    picture::dots(
        "seconds from helm install; one dot an installation, strokes are medians",
        "Seconds from helm install, plain Pods and Pilothouse",
        &[
            group("API ready", &floor.api_ready, &ours.api_ready),
            group("all Pods Ready", &floor.all_ready, &ours.all_ready),
        ],
    )
}

fn picture_at_once(many: &AtOnce) -> String {
    let group = |text, sample| Group { text, rows: vec![Row::ours(sample)] };
    picture::dots(
        "seconds from helm install of all at once; one dot a control plane",
        "Seconds until each of many control planes installed at once was ready",
        &[group("API ready", &many.api_ready), group("all Pods Ready", &many.all_ready)],
    )
}

const PREFACE: &str = "# Benchmarks of hosted control planes

Made by `cargo xtask bench hosted`; repeat it with the same words (as root: it makes three nodes on this machine and removes
them). Machines are noisy: read the ratios, not the seconds. On one machine without Pods: [benchmarks.md](benchmarks.md).

## From helm install to ready

A whole control plane (three etcd on volumes, two API servers, two controller-managers, two schedulers) as Pods on three nodes
(kubelet, containerd, kube-proxy, CNI), its images there already. The *floor* are the same components in the same images as
plain Pods: StatefulSet and Deployments with the flags, probes and requests that kubeadm renders, without supervisors; its CAs,
keys and certificates are made and in Secrets before the clock starts. *Pilothouse* is `values-ha.yaml`, three Pods more, and
makes its CAs, keys and certificates within the measured time. Ready through the Service: `/readyz` answers the administrator on
a node, looked at every 0.1 s.

";
