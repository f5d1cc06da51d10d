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
    /// With the chart's defaults.
    pub(crate) ours: Installs,
    /// With our images as volumes.
    pub(crate) mounted: Installs,
    pub(crate) floor: Installs,
    pub(crate) at_once: Vec<AtOnce>,
    /// From ready Pods to the look at their memory.
    pub(crate) settle: Duration,
    pub(crate) machine: String,
}

impl Results {
    /// Nothing measured yet.
    pub(crate) fn new(settle: Duration, machine: String) -> Self {
        let [ours, mounted, floor] = std::array::from_fn(|_| Installs::default());
        Self { ours, mounted, floor, at_once: Vec::new(), settle, machine }
    }
}

/// Renders the page.
pub(crate) fn render(results: &Results) -> Page {
    let mut text = String::from(PREFACE);
    installs(&mut text, results);
    memory(&mut text, results);
    let mut pictures = vec![("hosted.svg", picture(results))];
    if !results.at_once.is_empty() {
        at_once(&mut text, &results.at_once);
        pictures.push(("hosted-at-once.svg", picture_at_once(&results.at_once)));
    }
    Page { name: "benchmarks-hosted.md", markdown: text, pictures }
}

fn installs(text: &mut String, results: &Results) {
    let Results { ours, mounted, floor, .. } = results;
    let all = [floor, ours, mounted];
    let busy = Sample(all.iter().flat_map(|installs| installs.busy.0.iter().copied()).collect());
    let _infallible = write!(
        text,
        "Machine: {}, shared by three nodes, their control plane and the bench; {} busy before an installation.\n\
         {} installations of each kind, interleaved; median (least to most), and the ratio of medians to the floor's.\n\n\
         | from the start of `helm install` to | floor | Pilothouse | ratio | with image volumes | ratio |\n\
         |---|---|---|---|---|---|\n",
        results.machine,
        range(&busy, 0, "%"),
        ours.api_ready.0.len(),
    );
    for (what, of) in [
        ("the API ready through the Service", (|installs| &installs.api_ready) as fn(&Installs) -> &Sample),
        ("all Pods Ready", |installs| &installs.all_ready),
        ("the end of helm itself", |installs| &installs.helm),
    ] {
        let _infallible = write!(text, "| {what} | {} |", range(of(floor), 1, "s"));
        for ours in [ours, mounted] {
            let ratio = of(ours).median() / of(floor).median();
            let _infallible = write!(text, " {} | {ratio:.2} |", range(of(ours), 1, "s"));
        }
        text.push('\n');
    }
    let _infallible = write!(
        text,
        "\nContainer restarts in all of these: {}, {} and {}.\n\n![Installs](pictures/hosted.svg)\n\n",
        floor.restarts, ours.restarts, mounted.restarts
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

fn at_once(text: &mut String, kinds: &[AtOnce]) {
    let _infallible = write!(
        text,
        "## Many at once\n\nControl planes with `values-small.yaml` (one of each), installed at the same moment by as many \
         tenants; seconds from\nthe start of `helm install`.\n\n\
         | `images.supervisors` | installed | API ready within {} s | p50 | p99 | fastest | all Pods Ready | p50 | p99 | fastest \
         | container restarts | MiB each | ours |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        kinds.first().map_or(0, |many| many.limit.as_secs()),
    );
    for many in kinds {
        let totals = Sample(many.footprints.iter().map(|footprint| footprint.total()).collect());
        let ours = Sample(many.footprints.iter().map(|footprint| footprint.ours).collect());
        let _infallible = write!(text, "| {} | {} |", many.supervisors, many.installed);
        for sample in [&many.api_ready, &many.all_ready] {
            let _infallible = write!(
                text,
                " {} | {:.1} | {:.1} | {:.1} |",
                sample.0.len(),
                sample.median(),
                sample.percentile(99.0),
                sample.least()
            );
        }
        let _infallible =
            writeln!(text, " {} | {:.0} | {:.1} |", many.restarts, totals.median(), ours.median());
    }
    text.push_str("\n![At once](pictures/hosted-at-once.svg)\n");
}

fn picture(results: &Results) -> String {
    let Results { ours, mounted, floor, .. } = results;
    let group = |text, of: fn(&Installs) -> &Sample| Group {
        text,
        rows: vec![
            Row::floor("plain Pods", of(floor)),
            Row::ours(of(ours)),
            Row::ours(of(mounted)).labelled("image volumes"),
        ],
    };
    picture::dots(
        "seconds from helm install; one dot an installation, strokes are medians",
        "Seconds from helm install, plain Pods and Pilothouse",
        &[group("API ready", |it| &it.api_ready), group("all Pods Ready", |it| &it.all_ready)],
    )
}

fn picture_at_once(kinds: &[AtOnce]) -> String {
    let group = |text, of: fn(&AtOnce) -> &Sample| Group {
        text,
        rows: kinds.iter().map(|many| Row::ours(of(many)).labelled(many.supervisors)).collect(),
    };
    picture::dots(
        "seconds from helm install of all at once; one dot a control plane",
        "Seconds until each of many control planes installed at once was ready",
        &[group("API ready", |it| &it.api_ready), group("all Pods Ready", |it| &it.all_ready)],
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
makes its CAs, keys and certificates within the measured time; *with image volumes* it is the same with
`images.supervisors: ImageVolume`. Ready through the Service: `/readyz` answers the administrator on a node, looked at every
0.1 s.

";
