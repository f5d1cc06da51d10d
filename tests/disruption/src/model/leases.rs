//! The history of a leader lease: who held it when, how long nobody renewed it, and whether two ever led at once.
//! Times are those that the holders wrote: a watch that arrives late makes no pause.

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
    /// Each time that somebody took it while its holder could still believe to lead, or came back after it was taken.
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
#[must_use]
pub fn examine_lease(name: &str, views: &[LeaseView], began: Duration, ended: Duration) -> LeaseSummary {
    let mut summary = LeaseSummary { name: name.to_owned(), ..LeaseSummary::default() };
    let mut renewed: Option<Duration> = None;
    let mut before: Option<&LeaseView> = None;
    for (index, view) in views.iter().enumerate() {
        if summary.tenures.last().is_none_or(|last| last.holder != view.holder) {
            summary.tenures.push(Tenure { from: rounded(view.at), holder: view.holder.clone() });
        }
        if let Some(before) = before
            && let Some(fault) = fault(before, view, &views[..index])
        {
            summary.two_leaders.push(fault);
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

fn fault(before: &LeaseView, now: &LeaseView, earlier: &[LeaseView]) -> Option<String> {
    if now.holder.is_empty() || now.holder == before.holder {
        return None;
    }
    let at = rounded(now.at);
    if !before.holder.is_empty() && now.acquired < before.renewed + before.term {
        return Some(format!("{at} s: {} took it from {}, which still held it", now.holder, before.holder));
    }
    // Who takes a lease anew writes when; the old time means that it never noticed its loss.
    let unaware = earlier.iter().any(|view| view.holder == now.holder && view.acquired == now.acquired);
    unaware.then(|| format!("{at} s: {} renewed it after it was taken", now.holder))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Duration = Duration::from_secs(1_000);

    /// Holder, acquired, renewed: seconds of the run.
    fn view(holder: &str, acquired: u64, renewed: u64) -> LeaseView {
        LeaseView {
            at: Duration::from_secs(renewed),
            holder: holder.to_owned(),
            acquired: BEGAN + Duration::from_secs(acquired),
            renewed: BEGAN + Duration::from_secs(renewed),
            term: Duration::from_secs(15),
        }
    }

    fn examine(views: &[LeaseView], seconds: u64) -> LeaseSummary {
        examine_lease("some", views, BEGAN, BEGAN + Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_that_is_cleared_and_taken_is_one_change_and_a_short_pause() {
        let summary = examine(
            &[view("a_1", 0, 1), view("a_1", 0, 3), view("", 0, 4), view("b_2", 6, 6), view("b_2", 6, 7)],
            8,
        );
        assert_eq!(summary.changes(), 1);
        assert_eq!((summary.longest_pause, summary.pause_from), (3.0, 3.0));
        assert_eq!(summary.renewals, 4);
        assert_eq!(summary.two_leaders, [""; 0]);
    }

    #[test]
    fn a_lease_that_ran_out_may_be_taken() {
        let summary = examine(&[view("a_1", 0, 1), view("b_2", 16, 16)], 17);
        assert_eq!((summary.longest_pause, summary.two_leaders.len()), (15.0, 0));
    }

    #[test]
    fn a_lease_that_is_taken_from_a_living_holder_is_found() {
        let summary = examine(&[view("a_1", 0, 1), view("b_2", 15, 15)], 16);
        assert_eq!(summary.two_leaders, ["15 s: b_2 took it from a_1, which still held it"]);
    }

    #[test]
    fn a_holder_that_renews_what_was_taken_from_it_is_found_and_one_that_takes_it_back_is_not() {
        let unaware =
            examine(&[view("a_1", 0, 1), view("b_2", 16, 16), view("", 16, 17), view("a_1", 0, 18)], 19);
        assert_eq!(unaware.two_leaders, ["18 s: a_1 renewed it after it was taken"]);
        let again = examine(&[view("a_1", 0, 1), view("", 0, 2), view("a_1", 3, 3)], 4);
        assert_eq!(again.two_leaders, [""; 0]);
    }

    #[test]
    fn silence_to_the_end_is_a_pause() {
        let pause = |views: &[LeaseView]| Duration::from_secs_f64(examine(views, 31).longest_pause);
        assert_eq!(pause(&[view("a_1", 0, 1)]), Duration::from_secs(30));
        assert_eq!(pause(&[]), Duration::from_secs(31));
    }
}
