//! Which replicas new connections may use, which of them they should, and whose open connections are cut: from answers and
//! time alone. Pure. Refuses to cut anything while no other replica serves: the questions may be wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// So long the next leader is waited for. An election takes one to two seconds, or twice that when it ends in a tie.
const NEXT_LEADER_LIMIT: Duration = Duration::from_millis(3500);

/// So long after a replica showed that somebody leads the leader's own answer is waited for: all were asked at once.
const LEADER_ANSWERS: Duration = Duration::from_millis(150);

/// So long a leader takes to hand over and end once its clients' connections are closed, which their fronts do at about the same
/// time. etcd's log tells 0.1 s for it; the rest is for busy cores.
const HANDS_OVER: Duration = Duration::from_millis(600);

/// What a replica said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It serves.
    Serves,
    /// It serves, and others would only pass on to it what is asked of them.
    Leads,
    /// It answers, and does not serve now; why.
    Refuses(String),
    /// It does not answer; what was seen instead.
    Silent(String),
}

impl Answer {
    fn serves(&self) -> bool {
        matches!(self, Self::Serves | Self::Leads)
    }
}

/// How long a replica may fail in one way until its open connections are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutAfter {
    /// While it is silent.
    pub silent: Duration,
    /// While it answers that it does not serve; never, where that is what a draining replica says.
    pub refusing: Option<Duration>,
    /// While it refuses new connections, each open one over which nothing passes; never, where replicas may take long over
    /// the last requests.
    pub ending: Option<Duration>,
}

/// What the front goes by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Whom new connections may use.
    pub usable: Vec<SocketAddr>,
    /// Whom of these they should use.
    pub best: Best,
    /// Whose open connections are cut.
    pub lost: Vec<SocketAddr>,
}

/// Which of the usable replicas is the best for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Best {
    /// All are equal.
    #[default]
    Anyone,
    /// The one that leads.
    Leader(SocketAddr),
    /// The one that leads next: others may pass on to a leader that is gone what is asked of them.
    NextLeader,
}

/// All replicas that are known.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    cut_after: CutAfter,
    known: BTreeMap<SocketAddr, Option<Seen>>,
    /// While nobody is known to lead and somebody did.
    leaderless: Option<Leaderless>,
}

/// The wait for the next leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leaderless {
    since: Duration,
    until: Duration,
}

impl Leaderless {
    fn at(now: Duration) -> Self {
        Self { since: now, until: now + NEXT_LEADER_LIMIT }
    }
}

/// The last answer, and since when the answers are of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    answer: Answer,
    since: Duration,
}

impl Roster {
    pub(crate) fn new(cut_after: CutAfter) -> Self {
        Self { cut_after, known: BTreeMap::new(), leaderless: None }
    }

    /// These are all replicas at `now`. What is known of those that stay is kept.
    pub(crate) fn found(&mut self, addresses: impl IntoIterator<Item = SocketAddr>, now: Duration) {
        let led = self.leader().is_some();
        let mut before = std::mem::take(&mut self.known);
        self.known =
            addresses.into_iter().map(|address| (address, before.remove(&address).flatten())).collect();
        if led && self.leader().is_none() {
            self.leaderless = Some(Leaderless::at(now));
        }
    }

    /// One answer, to a question asked at `asked` and answered at `now` (time since any fixed moment). True if it is another one
    /// than before.
    ///
    /// Who serves could not without somebody who leads. So what was asked after the leader was gone, and is answered well, all
    /// but ends the wait for the next one: there is another already, who answers too, or the old one lives and only ends its
    /// connections.
    pub(crate) fn answered(
        &mut self,
        address: SocketAddr,
        answer: Answer,
        asked: Duration,
        now: Duration,
    ) -> bool {
        let led = self.leader().is_some();
        let Some(entry) = self.known.get_mut(&address) else { return false };
        let same_kind = entry
            .as_ref()
            .is_some_and(|seen| std::mem::discriminant(&seen.answer) == std::mem::discriminant(&answer));
        let since = entry.as_ref().filter(|_| same_kind).map_or(asked, |seen| seen.since);
        let serves = answer.serves();
        *entry = Some(Seen { answer, since });
        if self.leader().is_some() {
            self.leaderless = None;
        } else if led {
            self.leaderless = Some(Leaderless::at(now));
        } else if let Some(wait) = &mut self.leaderless
            && serves
            && asked >= wait.since
        {
            let hands_over = self.cut_after.ending.map_or(Duration::ZERO, |quiet| quiet + HANDS_OVER);
            wait.until = wait.until.min(now + LEADER_ANSWERS + hands_over);
        }
        !same_kind
    }

    /// What follows at `now`.
    pub(crate) fn view(&self, now: Duration) -> View {
        let of = |wanted: &dyn Fn(Option<&Seen>) -> bool| -> Vec<SocketAddr> {
            self.known.iter().filter(|(_, seen)| wanted(seen.as_ref())).map(|(address, _)| *address).collect()
        };
        let best = self.best(now);
        let serving = of(&|seen| seen.is_some_and(|seen| seen.answer.serves()));
        if !serving.is_empty() {
            let lost = of(&|seen| seen.is_some_and(|seen| self.is_lost(seen, now)));
            return View { usable: serving, best, lost };
        }
        let not_silent = of(&|seen| !seen.is_some_and(|seen| matches!(seen.answer, Answer::Silent(_))));
        let usable = if not_silent.is_empty() { of(&|_| true) } else { not_silent };
        View { usable, best, lost: Vec::new() }
    }

    fn best(&self, now: Duration) -> Best {
        match self.leader() {
            Some(leader) => Best::Leader(leader),
            None if self.awaits_leader(now) => Best::NextLeader,
            None => Best::Anyone,
        }
    }

    /// Whether somebody led, and nobody does at `now` as far as is known. Not for ever: it may lead where it cannot be seen.
    pub(crate) fn awaits_leader(&self, now: Duration) -> bool {
        self.leaderless.is_some_and(|wait| now < wait.until)
    }

    fn leader(&self) -> Option<SocketAddr> {
        let leads = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.answer == Answer::Leads);
        self.known.iter().find(|(_, seen)| leads(seen)).map(|(address, _)| *address)
    }

    fn is_lost(&self, seen: &Seen, now: Duration) -> bool {
        let limit = match &seen.answer {
            Answer::Serves | Answer::Leads => None,
            Answer::Refuses(_) => self.cut_after.refusing,
            Answer::Silent(_) => Some(self.cut_after.silent),
        };
        limit.is_some_and(|limit| now.saturating_sub(seen.since) >= limit)
    }

    /// Whether any replica serves.
    pub(crate) fn anybody_serves(&self) -> bool {
        self.known.values().flatten().any(|seen| seen.answer.serves())
    }

    /// All of it in words.
    pub(crate) fn told(&self) -> String {
        let one = |(address, seen): (&SocketAddr, &Option<Seen>)| match seen.as_ref().map(|seen| &seen.answer)
        {
            None => format!("{address} was not asked yet"),
            Some(Answer::Serves) => format!("{address} serves"),
            Some(Answer::Leads) => format!("{address} leads"),
            Some(Answer::Refuses(why)) => format!("{address} does not serve: {why}"),
            Some(Answer::Silent(why)) => format!("{address} does not answer: {why}"),
        };
        self.known.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests;
