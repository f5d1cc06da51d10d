//! What the supervisor beside the leading member does for the others: promote learners, remove those that stall.
//! Pure: the view and the time are arguments. Refuses to touch voters.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{ListedMember, MemberId};

/// A learner that makes no progress for so long is removed: etcd admits one at a time (k3s and Talos use the same).
pub const CARETAKER_PATIENCE: Duration = Duration::from_secs(300);

/// What the leading member's supervisor sees in one look.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// The member beside me.
    pub me: MemberId,
    /// Who leads, if anybody.
    pub leader: Option<MemberId>,
    /// All members.
    pub members: Vec<ListedMember>,
    /// Applied raft index of each member that answers.
    pub applied: BTreeMap<MemberId, u64>,
}

/// What to do for another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Make a voter of it; etcd refuses while it lags.
    Promote(MemberId),
    /// Remove it: it blocks the place of a learner.
    RemoveStalled(MemberId),
}

/// Remembers since when each learner makes no progress.
#[derive(Debug, Default)]
pub struct Caretaker {
    learners: BTreeMap<MemberId, Progress>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    applied: u64,
    started: bool,
    at: Duration,
}

impl Caretaker {
    /// What to do now; `now` is any clock that only goes forward. Nothing unless the member beside me leads.
    pub fn look(&mut self, view: &ClusterView, now: Duration) -> Vec<Care> {
        if view.leader != Some(view.me) {
            self.learners.clear();
            return Vec::new();
        }
        let learners: Vec<&ListedMember> = view.members.iter().filter(|member| member.learner).collect();
        self.learners.retain(|known, _| learners.iter().any(|learner| learner.id == *known));
        let mut cares = Vec::new();
        for learner in learners {
            let answers = view.applied.get(&learner.id).copied();
            let seen = Progress { applied: answers.unwrap_or(0), started: learner.started, at: now };
            let last = self.learners.entry(learner.id).or_insert(seen);
            if seen.applied > last.applied || (seen.started && !last.started) {
                *last = seen;
            }
            let stalled = now.saturating_sub(last.at) >= CARETAKER_PATIENCE;
            if stalled {
                cares.push(Care::RemoveStalled(learner.id));
            } else if learner.started && answers.is_some() {
                cares.push(Care::Promote(learner.id));
            }
        }
        cares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learner(id: u64, started: bool) -> ListedMember {
        ListedMember { id: MemberId(id), name: String::new(), peer_urls: Vec::new(), started, learner: true }
    }

    fn view(leader: u64, members: Vec<ListedMember>, applied: &[(u64, u64)]) -> ClusterView {
        let applied = applied.iter().map(|(id, index)| (MemberId(*id), *index)).collect();
        ClusterView { me: MemberId(1), leader: Some(MemberId(leader)), members, applied }
    }

    #[test]
    fn only_beside_the_leader_and_only_a_learner_that_answers() {
        let mut caretaker = Caretaker::default();
        let now = Duration::ZERO;
        assert_eq!(caretaker.look(&view(2, vec![learner(9, true)], &[(9, 5)]), now), []);
        assert_eq!(caretaker.look(&view(1, vec![learner(9, false)], &[]), now), []);
        assert_eq!(caretaker.look(&view(1, vec![learner(9, true)], &[]), now), []);
        assert_eq!(
            caretaker.look(&view(1, vec![learner(9, true)], &[(9, 5)]), now),
            [Care::Promote(MemberId(9))]
        );
        let voter = ListedMember { learner: false, ..learner(3, true) };
        assert_eq!(caretaker.look(&view(1, vec![voter], &[(3, 5)]), now + 2 * CARETAKER_PATIENCE), []);
    }

    #[test]
    fn a_learner_is_removed_after_five_minutes_without_progress_and_not_while_it_advances() {
        let mut caretaker = Caretaker::default();
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(caretaker.look(&view(1, vec![learner(9, false)], &[(9, 1)]), at(0)), []);
        assert_eq!(caretaker.look(&view(1, vec![learner(9, false)], &[(9, 2)]), at(290)), []);
        assert_eq!(caretaker.look(&view(1, vec![learner(9, false)], &[(9, 2)]), at(589)), []);
        let removal = [Care::RemoveStalled(MemberId(9))];
        assert_eq!(caretaker.look(&view(1, vec![learner(9, false)], &[]), at(590)), removal);
        assert_eq!(caretaker.look(&view(2, vec![learner(9, false)], &[]), at(591)), [], "another leads now");
        assert_eq!(
            caretaker.look(&view(1, vec![learner(9, false)], &[]), at(592)),
            [],
            "patience begins anew"
        );
    }
}
