//! Which replicas new connections may use, and whose open connections are cut: from answers and time alone. Pure.
//! Refuses to cut anything while no other replica serves: the questions may be wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// What a replica said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It serves.
    Serves,
    /// It answers, and does not serve now; why.
    Refuses(String),
    /// It does not answer; what was seen instead.
    Silent(String),
}

/// How long a replica may fail in one way until its open connections are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutAfter {
    /// While it is silent.
    pub silent: Duration,
    /// While it answers that it does not serve; never, where that is what a draining replica says.
    pub refusing: Option<Duration>,
}

/// What the front goes by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Whom new connections may use.
    pub usable: Vec<SocketAddr>,
    /// Whose open connections are cut.
    pub lost: Vec<SocketAddr>,
}

/// All replicas that are known.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    cut_after: CutAfter,
    known: BTreeMap<SocketAddr, Option<Seen>>,
}

/// The last answer, and since when the answers are of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    answer: Answer,
    since: Duration,
}

impl Roster {
    pub(crate) fn new(cut_after: CutAfter) -> Self {
        Self { cut_after, known: BTreeMap::new() }
    }

    /// These are all replicas now. What is known of those that stay is kept.
    pub(crate) fn found(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let mut before = std::mem::take(&mut self.known);
        self.known =
            addresses.into_iter().map(|address| (address, before.remove(&address).flatten())).collect();
    }

    /// One answer, to a question asked at `asked` (time since any fixed moment). True if it is another one than before.
    pub(crate) fn answered(&mut self, address: SocketAddr, answer: Answer, asked: Duration) -> bool {
        let Some(entry) = self.known.get_mut(&address) else { return false };
        let same_kind = entry
            .as_ref()
            .is_some_and(|seen| std::mem::discriminant(&seen.answer) == std::mem::discriminant(&answer));
        let since = entry.as_ref().filter(|_| same_kind).map_or(asked, |seen| seen.since);
        *entry = Some(Seen { answer, since });
        !same_kind
    }

    /// What follows at `now`.
    pub(crate) fn view(&self, now: Duration) -> View {
        let of = |wanted: &dyn Fn(Option<&Seen>) -> bool| -> Vec<SocketAddr> {
            self.known.iter().filter(|(_, seen)| wanted(seen.as_ref())).map(|(address, _)| *address).collect()
        };
        let serving = of(&|seen| seen.is_some_and(|seen| seen.answer == Answer::Serves));
        if !serving.is_empty() {
            return View {
                lost: of(&|seen| seen.is_some_and(|seen| self.is_lost(seen, now))),
                usable: serving,
            };
        }
        let not_silent = of(&|seen| !seen.is_some_and(|seen| matches!(seen.answer, Answer::Silent(_))));
        let usable = if not_silent.is_empty() { of(&|_| true) } else { not_silent };
        View { usable, lost: Vec::new() }
    }

    fn is_lost(&self, seen: &Seen, now: Duration) -> bool {
        let limit = match &seen.answer {
            Answer::Serves => None,
            Answer::Refuses(_) => self.cut_after.refusing,
            Answer::Silent(_) => Some(self.cut_after.silent),
        };
        limit.is_some_and(|limit| now.saturating_sub(seen.since) >= limit)
    }

    /// Whether any replica serves.
    pub(crate) fn anybody_serves(&self) -> bool {
        self.known.values().flatten().any(|seen| seen.answer == Answer::Serves)
    }

    /// All of it in words.
    pub(crate) fn told(&self) -> String {
        let one = |(address, seen): (&SocketAddr, &Option<Seen>)| match seen.as_ref().map(|seen| &seen.answer)
        {
            None => format!("{address} was not asked yet"),
            Some(Answer::Serves) => format!("{address} serves"),
            Some(Answer::Refuses(why)) => format!("{address} does not serve: {why}"),
            Some(Answer::Silent(why)) => format!("{address} does not answer: {why}"),
        };
        self.known.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests;
