//! The history of a leader lease: who held it when, how long nobody renewed it, and whether two ever led at once.
//! Times are those that the holders wrote: a watch that arrives late makes no pause.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::{Moment, rounded};

/// A lease as one event shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// When the event arrived.
    pub at: Moment,
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// When the holder took it, by the holder's clock, since 1970.
    pub acquired: Duration,
    /// When the holder last renewed it, by the holder's clock, since 1970.
    pub renewed: Duration,
    /// How long the holder may be silent.
    pub term: Duration,
    /// A list brought it: what lay between it and the view before was perhaps not seen.
    pub after_a_gap: bool,
}

/// One holder's time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenure {
    /// When it was seen, in seconds.
    pub from: f64,
    /// `hostname_uuid`, or empty.
    pub holder: String,
}

/// What a lease's history says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseSummary {
    /// The lease's name.
    pub name: String,
    /// Who held it, in order.
    pub tenures: Vec<Tenure>,
    /// How often it was renewed.
    pub renewals: u64,
    /// The longest time without a renewal, in seconds: a pause of the controllers behind it.
    pub longest_pause: f64,
    /// When that pause began, in seconds.
    pub pause_from: f64,
    /// Each time that somebody took it, or it was cleared, while its holder could still believe to lead.
    pub two_leaders: Vec<String>,
}

impl LeaseSummary {
    /// How often another holder came.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.tenures.iter().filter(|tenure| !tenure.holder.is_empty()).count().saturating_sub(1)
    }
}

/// Goes through the events of one lease. `began` and `ended` are the run's, since 1970.
///
/// A holder's name is that of one process (hostname and a random part), which ends when it no longer leads
/// (client-go/tools/leaderelection: `renew` returns, and every component of Kubernetes exits). So the history proves that somebody
/// could believe to lead while another one was free to
///
/// - when the lease is taken from a holder before the term of its last renewal is over, unless it was cleared in between;
/// - when a holder is there again after its lease was cleared, whether it noticed, and took it anew, or did not, and renewed it:
///   only who is dead, or ends by itself, may be cleared;
/// - when a holder took it anew without anybody's having been seen in between, which is the same, unseen;
/// - when a holder renews with the time at which it took it before somebody else did.
///
/// What no history of a lease can show is a holder that is cleared while it lives and finds another one's name at its next
/// attempt: it ends without having written anything.
#[must_use]
pub fn examine_lease(name: &str, views: &[LeaseView], began: Duration, ended: Duration) -> LeaseSummary {
    let mut summary = LeaseSummary { name: name.to_owned(), ..LeaseSummary::default() };
    let mut renewed: Option<Duration> = None;
    let mut before: Option<&LeaseView> = None;
    let mut cleared: BTreeSet<&str> = BTreeSet::new();
    for (index, view) in views.iter().enumerate() {
        if summary.tenures.last().is_none_or(|last| last.holder != view.holder) {
            summary.tenures.push(Tenure { from: rounded(view.at), holder: view.holder.clone() });
        }
        if let Some(before) = before {
            if view.holder.is_empty() && !before.holder.is_empty() {
                cleared.insert(&before.holder);
            }
            let was_cleared = cleared.remove(&*view.holder);
            summary.two_leaders.extend(fault(before, view, &views[..index], was_cleared));
        }
        // Clearing a lease writes a time too, but renews nothing.
        if !view.holder.is_empty() && renewed != Some(view.renewed) {
            summary.renewals += 1;
            pause(&mut summary, renewed.unwrap_or(began), view.renewed, began);
            renewed = Some(view.renewed);
        }
        before = Some(view);
    }
    pause(&mut summary, renewed.unwrap_or(began), ended, began);
    summary
}

fn pause(summary: &mut LeaseSummary, from: Duration, until: Duration, began: Duration) {
    // What was before the run is not its pause.
    let from = from.max(began);
    let seconds = rounded(until.saturating_sub(from));
    if seconds > summary.longest_pause {
        summary.longest_pause = seconds;
        summary.pause_from = rounded(from.saturating_sub(began));
    }
}

fn fault(before: &LeaseView, now: &LeaseView, earlier: &[LeaseView], was_cleared: bool) -> Option<String> {
    let LeaseView { holder, acquired, .. } = now;
    if holder.is_empty() {
        return None;
    }
    let at = rounded(now.at);
    if was_cleared {
        return Some(format!("{at} s: {holder} was alive when its lease was cleared, and is there again"));
    }
    if *holder == before.holder {
        // A renewal leaves the time at which it was taken as it is.
        return (*acquired != before.acquired).then(|| {
            format!("{at} s: {holder} was alive when its lease was cleared or taken, and took it again")
        });
    }
    let still_held = *acquired < before.renewed + before.term;
    if still_held && !before.holder.is_empty() && !now.after_a_gap {
        return Some(format!("{at} s: {holder} took it from {}, which still held it", before.holder));
    }
    // Who takes a lease anew writes when; the old time means that it never noticed its loss.
    let unaware = earlier.iter().any(|view| view.holder == *holder && view.acquired == *acquired);
    unaware.then(|| format!("{at} s: {holder} renewed it after it was taken"))
}

#[cfg(test)]
mod tests;
