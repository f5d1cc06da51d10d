//! The page docs/benchmarks-disruption.md and its picture, from the results alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Much;
use super::change::Change;
use super::measured::Measured;
use super::side::Kind;
use crate::page::Page;
use crate::picture::{self, Group, Row};
use crate::sample::Sample;

/// At most so many examples of broken promises are on the page.
const MOST_SHOWN: usize = 10;

/// All that was measured.
pub(crate) struct Results {
    machine: String,
    much: Much,
    measured: BTreeMap<Change, BTreeMap<Kind, Vec<Measured>>>,
}

impl Results {
    /// Nothing measured yet.
    pub(crate) fn new(machine: String, much: Much) -> Self {
        Self { machine, much, measured: BTreeMap::new() }
    }

    /// One more measurement.
    pub(crate) fn add(&mut self, change: Change, kind: Kind, measured: Measured) {
        self.measured.entry(change).or_default().entry(kind).or_default().push(measured);
    }

    /// In the order of [`Change::ALL`].
    fn changes(&self) -> impl Iterator<Item = (Change, &BTreeMap<Kind, Vec<Measured>>)> {
        Change::ALL.into_iter().filter_map(|change| Some((change, self.measured.get(&change)?)))
    }

    fn rounds(&self) -> usize {
        self.measured.values().flat_map(BTreeMap::values).map(Vec::len).max().unwrap_or_default()
    }
}

/// Renders the page.
pub(crate) fn render(results: &Results) -> Page {
    let mut text = String::from(PREFACE);
    let much = &results.much;
    let _infallible = write!(
        text,
        "Machine: {}, shared by three nodes, their control plane, both hosted control planes and the clients.\n\
         {} clients, {} requests/s (65 % reads and lists, 35 % writes and deletions), {} watches; each change {}.{}\n\n",
        results.machine,
        much.clients,
        much.rate,
        much.watches,
        match results.rounds() {
            1 => "once".to_owned(),
            rounds => format!(
                "{rounds} times (an upgrade and the\nrenewal of all certificates once), interleaved; median (least to \
                 most) where they differ"
            ),
        },
        if much.set.is_empty() {
            String::new()
        } else {
            format!(" Of ours: `--set {}`.", much.set.join(","))
        }
    );
    table(&mut text, results);
    elections(&mut text, results);
    failures(&mut text, results);
    broken(&mut text, results);
    text.push_str(AFTERWORD);
    Page {
        name: "benchmarks-disruption.md",
        markdown: text,
        pictures: vec![("disruption-pauses.svg", picture(results))],
    }
}

type Column = (&'static str, usize, fn(&Measured) -> f64);

const COLUMNS: [Column; 12] = [
    ("requests/s", 0, |it| it.rate),
    ("failed reads", 0, |it| it.failed_reads),
    ("failed writes", 0, |it| it.failed_writes),
    ("told to retry", 0, |it| it.told_to_retry),
    ("longest gap of reads, s", 1, |it| it.gap_of_reads),
    ("of writes, s", 1, |it| it.gap_of_writes),
    ("watch breaks", 0, |it| it.watch_breaks),
    ("at most in one second", 0, |it| it.watch_breaks_at_once),
    ("missed events", 0, |it| it.missed_events),
    ("lost writes", 0, |it| it.lost_writes),
    ("controllers paused, s", 1, |it| it.controller_pause),
    ("whole after, s", 0, |it| it.whole_after),
];

fn table(text: &mut String, results: &Results) {
    let headings = COLUMNS.map(|(name, ..)| name).join(" | ");
    let _infallible = write!(text, "| change | | {headings} |\n|---|---|{}\n", "---|".repeat(COLUMNS.len()));
    for (change, kinds) in results.changes() {
        for (kind, measured) in kinds {
            let cells = COLUMNS
                .map(|(_, decimals, value)| shown(&Sample(measured.iter().map(value).collect()), decimals));
            let name = if kinds.keys().next() == Some(kind) { change.name() } else { "" };
            let _infallible = writeln!(text, "| {name} | {} | {} |", kind.name(), cells.join(" | "));
        }
    }
    let all = || results.measured.values().flat_map(BTreeMap::values).flatten();
    let (sent, not): (f64, f64) = (all().map(|it| it.succeeded).sum(), all().map(|it| it.not_sent).sum());
    let _infallible = write!(
        text,
        "\n{sent} requests succeeded in all; {not} were due more than a second before their client had the answer to another, \
         and not sent.\n\n\
         ![Pauses](pictures/disruption-pauses.svg)\n\n"
    );
}

/// Where a write may fail, since nobody leads for a moment.
fn elections(text: &mut String, results: &Results) {
    text.push_str(
        "## Where etcd's leadership moved\n\n| change | | elections, by raft's term | failed writes | for each |\n\
         |---|---|---|---|---|\n",
    );
    for (change, kinds) in results.changes() {
        for (kind, measured) in kinds {
            let sum = |of: fn(&Measured) -> f64| measured.iter().map(of).sum::<f64>();
            let (elections, failed) = (sum(|it| it.elections), sum(|it| it.failed_writes));
            if elections > 0.0 {
                let (change, kind, each) = (change.name(), kind.name(), failed / elections);
                let _infallible =
                    writeln!(text, "| {change} | {kind} | {elections} | {failed} | {each:.1} |");
            }
        }
    }
    text.push('\n');
}

fn shown(sample: &Sample, decimals: usize) -> String {
    let text = |value: f64| format!("{value:.decimals$}");
    let (median, least, most) = (text(sample.median()), text(sample.least()), text(sample.most()));
    if least == most { median } else { format!("{median} ({least} to {most})") }
}

/// All of all rounds.
fn failures(text: &mut String, results: &Results) {
    text.push_str("## How requests failed\n\n| change | | in all |\n|---|---|---|\n");
    for (change, kinds) in results.changes() {
        for (kind, measured) in kinds {
            let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
            for (how, count) in measured.iter().flat_map(|it| &it.failures) {
                *sums.entry(how).or_default() += count;
            }
            let sums: Vec<String> = sums.iter().map(|(how, count)| format!("{count} {how}")).collect();
            if !sums.is_empty() {
                let _infallible =
                    writeln!(text, "| {} | {} | {} |", change.name(), kind.name(), sums.join(", "));
            }
        }
    }
    text.push('\n');
}

fn broken(text: &mut String, results: &Results) {
    text.push_str("## What must never happen\n\n");
    let mut any = false;
    for (change, kinds) in results.changes() {
        for (kind, measured) in kinds {
            let found: Vec<&String> = measured.iter().flat_map(|it| &it.broken_promises).collect();
            any |= !found.is_empty();
            for broken in found.iter().take(MOST_SHOWN) {
                let _infallible = writeln!(text, "- {}, {}: {broken}", kind.name(), change.name());
            }
            if let Some(more @ 1..) = found.len().checked_sub(MOST_SHOWN) {
                let _infallible = writeln!(text, "- {}, {}: {more} more", kind.name(), change.name());
            }
        }
    }
    if !any {
        text.push_str("None of it did, on either side.\n");
    }
    text.push('\n');
}

/// Where the two differ most: nobody hands the lease of a controller on that is gone.
fn picture(results: &Results) -> String {
    let pauses = |measured: &Vec<Measured>| Sample(measured.iter().map(|it| it.controller_pause).collect());
    let samples: Vec<(Change, Vec<(Kind, Sample)>)> = results
        .changes()
        .map(|(change, kinds)| (change, kinds.iter().map(|(kind, it)| (*kind, pauses(it))).collect()))
        .collect();
    let groups: Vec<Group<'_>> = samples
        .iter()
        .map(|(change, kinds)| Group {
            text: change.name(),
            rows: kinds
                .iter()
                .map(|(kind, sample)| match kind {
                    Kind::Floor => Row::floor(kind.name(), sample),
                    Kind::Ours => Row::ours(sample),
                })
                .collect(),
        })
        .collect();
    picture::dots(
        "longest pause of the controllers during each change, in seconds",
        "Longest pause of the controllers during each change, plain Pods and Pilothouse",
        &groups,
    )
}

const PREFACE: &str = "# What clients notice while a control plane changes

Made by `cargo xtask bench disruption`; repeat it with the same words (as root: it makes three nodes on this machine and removes
them). Machines are noisy: compare the two lines of a change, not the seconds with yours. Installs and memory:
[benchmarks-hosted.md](benchmarks-hosted.md).

Two highly available control planes stand on the same three nodes (three etcd on volumes, two API servers, two
controller-managers, two schedulers). *Plain Pods* are StatefulSet and Deployments with the flags and probes that kubeadm
renders, without supervisors. *Pilothouse* is `values-ha.yaml`. The same change is made to one and then to the other, while
clients on a node read, list, write, delete and watch through the Service, without any retry of their own. *Told to retry* is
what the protocol itself asks to do again, and nothing was done: GOAWAY, 429 with Retry-After, 503 with Retry-After of an API
server that shuts down. A *gap* is a time in which no
client had a success. *Controllers paused* is the longest time in which a leader's lease was not renewed.

*Minor version upgraded* is 1.36 to 1.37 by one value of the chart; the plain Pods get it by `kubectl set image`, API servers first
by hand. *All certificates renewed* is what happens by itself in the middle of a certificate's life, here of 12 minutes; plain Pods
are restarted for it, as kubeadm says after `kubeadm certs renew all`. *All CAs replaced* is one value of the chart; clients use
the kubeconfig as its Secret has it. *The only API server* is the same with `apiServer.replicas=1`: with one replica the shortest
gap possible, measured.

There are no plain Pods in some rows: members of etcd know each other by their flags, so that each would have to be added and
removed by hand, and keys and CAs are in the hands of many, so that nobody would replace them by one command; without a supervisor
a container is one process, which is killed in another row; and Retry-After was measured to choose our default.

";

const AFTERWORD: &str = "Lost are acknowledged writes that a read-back afterwards does not find; missed are events that a watch \
should have shown. Also counted there: doubled events, reads that are stale, go back or show what nobody wrote, refused writes that \
were done, two leaders at once.
";
