//! Which member's Pod goes next when the settings of all members have changed: a sick one first, the leader's own last, one
//! at a time. Pure: the view and the time are arguments. Refuses whatever would leave less than a quorum of members that
//! serve, and haste: what it wants to do must stay right for a while.

mod wording;

use std::time::Duration;

use crate::quorum::decides;

/// The shortest time for which the same Pod must stay the right one. A supervisor whose member lost its leadership may
/// still have an eviction under way, for as long as a call to the management API may take (5 s) and a look before it; the
/// next leader's supervisor begins to count only when it leads, so it never evicts beside it.
pub const LEAST_SETTLE: Duration = Duration::from_secs(8);
/// The usual time. API servers find the new address of a replaced member by DNS, which may keep the old one for 30 s, and
/// need one member that they know when the last of three goes: two of these pauses are between.
pub const USUAL_SETTLE: Duration = Duration::from_secs(15);

/// What the leading member's supervisor sees in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateView {
    /// The name of the member beside me, which leads.
    pub me: String,
    /// The revision that every Pod should have; none while the set's controller has not seen the latest settings.
    pub revision: Option<String>,
    /// Every wanted member, in the order of their ordinals, myself among them.
    pub members: Vec<MemberAtUpdate>,
    /// How many members vote.
    pub voters: usize,
    /// Why the list of members is not the wanted one: somebody joins or leaves.
    pub changing: Option<String>,
}

/// A wanted member and its Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAtUpdate {
    /// Its name, which is its Pod's.
    pub name: String,
    /// Its Pod.
    pub pod: PodAtUpdate,
    /// Whether it is a started voter.
    pub votes: bool,
    /// Whether it answers a linearizable read.
    pub serves: bool,
}

/// A member's Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodAtUpdate {
    /// There is none.
    Missing,
    /// It is being deleted.
    Leaving,
    /// It is there.
    There {
        /// Another Pod of the same name has another.
        uid: String,
        /// The revision that it was made of.
        revision: String,
        /// Whether its kubelet calls it ready: budgets count that.
        ready: bool,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// How far the update is, and what it waits for; none when there is nothing to update.
    pub told: Option<String>,
    /// The Pod to evict now.
    pub evict: Option<Victim>,
}

/// A Pod to evict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// Its name.
    pub name: String,
    /// Its UID: nobody evicts what has replaced it meanwhile.
    pub uid: String,
    /// Why it is its turn.
    pub turn: Turn,
}

/// Why it is a Pod's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It does not serve anyway.
    Sick,
    /// All others serve.
    OthersServe,
    /// All others are of the latest settings: the leader goes last.
    Leader,
    /// There is no other.
    Alone,
}

/// Remembers since when the same Pod is the right one to evict. To be made anew whenever the member beside begins to lead.
#[derive(Debug)]
pub struct Updater {
    settle: Duration,
    /// The revision, the Pod, and since when.
    chosen: Option<(String, Victim, Duration)>,
}

/// What can be done now, but for the time that it must have stayed right.
enum Choice<'a> {
    /// All are of the revision, or will be: who comes back comes back with the latest settings.
    Nothing,
    /// `next` cannot go before this has come.
    Awaits { next: &'a MemberAtUpdate, awaits: String },
    /// This one.
    Go(Victim),
}

impl Updater {
    /// `settle` is how long the same Pod must stay the right one.
    #[must_use]
    pub fn new(settle: Duration) -> Self {
        Self { settle, chosen: None }
    }

    /// What to do now; `now` is any clock that only goes forward.
    pub fn look(&mut self, view: &UpdateView, now: Duration) -> Update {
        let Some(revision) = &view.revision else {
            self.chosen = None;
            return Update { told: Some(wording::unseen()), evict: None };
        };
        match choose(view, revision) {
            Choice::Nothing => {
                self.chosen = None;
                Update { told: None, evict: None }
            }
            Choice::Awaits { next, awaits } => {
                self.chosen = None;
                Update { told: Some(wording::awaits(view, revision, &next.name, &awaits)), evict: None }
            }
            Choice::Go(victim) => {
                let same = self.chosen.as_ref().filter(|(its, known, _)| its == revision && *known == victim);
                let since = same.map_or(now, |(_, _, since)| *since);
                self.chosen = Some((revision.clone(), victim.clone(), since));
                let settled = victim.turn == Turn::Alone || now.saturating_sub(since) >= self.settle;
                let told = wording::goes(view, revision, &victim, self.settle);
                Update { told: Some(told), evict: settled.then_some(victim) }
            }
        }
    }
}

fn choose<'a>(view: &'a UpdateView, revision: &str) -> Choice<'a> {
    let old = || view.members.iter().rev().filter(|member| member.is_not_of(revision));
    let sick = old().find(|member| member.name != view.me && !member.is_well());
    let next = sick.or_else(|| old().find(|member| member.name != view.me)).or_else(|| old().next());
    let Some(next) = next else { return Choice::Nothing };
    match hindrance(view, next, sick.is_some()) {
        Some(awaits) => Choice::Awaits { next, awaits },
        None => go(view, next, sick.is_some()),
    }
}

fn go<'a>(view: &UpdateView, next: &MemberAtUpdate, sick: bool) -> Choice<'a> {
    let PodAtUpdate::There { uid, .. } = &next.pod else { return Choice::Nothing };
    let turn = match (sick, next.name == view.me, view.members.len()) {
        (_, _, 1) => Turn::Alone,
        (true, ..) => Turn::Sick,
        (_, true, _) => Turn::Leader,
        _ => Turn::OthersServe,
    };
    Choice::Go(Victim { name: next.name.clone(), uid: uid.clone(), turn })
}

/// What must come before this one goes. A sick one only leaves a quorum behind and waits for Pods that are on their way:
/// the others may be sick for the very reason that is to be mended.
fn hindrance(view: &UpdateView, next: &MemberAtUpdate, sick: bool) -> Option<String> {
    let others = || view.members.iter().filter(|member| member.name != next.name);
    let away = others().find(|member| !matches!(member.pod, PodAtUpdate::There { .. }));
    if let Some(member) = away {
        return Some(wording::away(member));
    }
    if !sick {
        if let Some(changing) = &view.changing {
            return Some(changing.clone());
        }
        if let Some(unwell) = others().find(|member| !member.is_well()) {
            return Some(wording::unwell(unwell));
        }
    }
    let serving = others().filter(|member| member.is_well()).count();
    let alone = view.members.len() == 1 && view.voters <= 1;
    (!alone && !decides(serving, view.voters)).then(|| wording::too_few(serving, view.voters))
}

impl MemberAtUpdate {
    fn is_not_of(&self, wanted: &str) -> bool {
        matches!(&self.pod, PodAtUpdate::There { revision, .. } if revision != wanted)
    }

    fn is_of(&self, wanted: &str) -> bool {
        matches!(&self.pod, PodAtUpdate::There { revision, .. } if revision == wanted)
    }

    fn is_well(&self) -> bool {
        self.votes && self.serves && matches!(self.pod, PodAtUpdate::There { ready: true, .. })
    }
}

#[cfg(test)]
mod tests;
