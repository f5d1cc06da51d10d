//! The report as text: what a person reads in a terminal or in a test's output.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Report;
use crate::model::{Gap, LeaseSummary, OperationSummary};

/// How many examples of broken promises are shown.
const MOST_SHOWN: usize = 10;

impl Report {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let load = &self.load;
        writeln!(
            text,
            "{:.1} s at {}: {} clients, {} more with new connections, {} requests/s wanted, {:.1} sent, {} watches",
            self.seconds,
            load.servers.join(" "),
            load.clients,
            load.fresh_clients,
            load.rate,
            self.achieved_rate(),
            load.watches
        )?;
        writeln!(text, "{:10}{:>10}{:>8}{:>8}   median / p99 / slowest", "", "succeeded", "failed", "retry")?;
        for (operation, summary) in &self.operations {
            let [median, slow, slowest] = summary.latency.map(|seconds| seconds * 1000.0);
            writeln!(
                text,
                "{:10}{:>10}{:>8}{:>8}   {median:.0} / {slow:.0} / {slowest:.0} ms",
                operation.name(),
                summary.succeeded,
                summary.failures(),
                summary.retries()
            )?;
        }
        self.write_kinds(text, "failed", |summary| &summary.failed)?;
        self.write_kinds(text, "told to retry", |summary| &summary.told_to_retry)?;
        writeln!(
            text,
            "longest gap: reads {}, writes {}",
            shown(self.longest_gap_of_reads),
            shown(self.longest_gap_of_writes)
        )?;
        let writes = &self.writes;
        writeln!(
            text,
            "writes: {} acknowledged, {} lost; {} without a clear answer, of which {} were done",
            writes.acknowledged,
            writes.lost.len(),
            writes.ambiguous,
            writes.ambiguous_but_done
        )?;
        let reads = &self.reads;
        writeln!(
            text,
            "reads: {} objects compared with their writes, {} stale, {} went back, {} of what nobody wrote",
            reads.compared,
            reads.stale.len(),
            reads.went_back.len(),
            reads.never_written.len()
        )?;
        let watches = &self.watches;
        writeln!(
            text,
            "watches: {} events, {} missed, {} doubled; {} breaks{}, at most {} in one second, \
             longest {:.1} s; {} relists; slowest event {:.2} s",
            watches.events,
            watches.missed.len(),
            watches.doubled.len(),
            self.watch_breaks(),
            counted(&watches.breaks),
            watches.most_breaks_in_one_second,
            watches.longest_break,
            watches.relists,
            watches.slowest_event
        )?;
        for lease in &self.leases {
            writeln!(text, "{}", described(lease))?;
        }
        writeln!(
            text,
            "not sent because a client still waited: {}; kept connections that ended between requests: {}",
            self.not_sent, self.reconnects
        )?;
        for mark in &self.marks {
            writeln!(text, "at {:.1} s: {}", mark.at, mark.text)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(text, "note: {note}"))?;
        let broken = self.broken_promises();
        broken.iter().take(MOST_SHOWN).try_for_each(|broken| writeln!(text, "BROKEN: {broken}"))?;
        if broken.len() > MOST_SHOWN {
            writeln!(text, "BROKEN: and {} more", broken.len() - MOST_SHOWN)?;
        }
        Ok(())
    }

    fn write_kinds(
        &self,
        text: &mut String,
        what: &str,
        kinds: impl Fn(&OperationSummary) -> &BTreeMap<String, u64>,
    ) -> std::fmt::Result {
        for (operation, summary) in &self.operations {
            for (kind, count) in kinds(summary) {
                let example =
                    self.examples.get(kind).filter(|example| *example != kind && !example.is_empty());
                let example = example.map(|example| format!(" ({example})")).unwrap_or_default();
                writeln!(text, "  {what}: {count} x {}: {kind}{example}", operation.name())?;
            }
        }
        Ok(())
    }
}

fn shown(gap: Gap) -> String {
    format!("{:.2} s at {:.1} s", gap.seconds, gap.from)
}

fn counted(kinds: &BTreeMap<String, u64>) -> String {
    if kinds.is_empty() {
        return String::new();
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!(" ({})", kinds.join(", "))
}

fn described(lease: &LeaseSummary) -> String {
    format!(
        "{}: {} changes of leader, longest pause {:.1} s at {:.1} s, {} renewals",
        lease.name,
        lease.changes(),
        lease.longest_pause,
        lease.pause_from,
        lease.renewals
    )
}
