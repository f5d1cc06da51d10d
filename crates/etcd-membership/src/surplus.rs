//! Members beyond the wanted number: who removes them from the cluster, and when they may stop. One at a time, those that
//! are dead first, then the highest; it stops before it is removed where the others decide without it, since a stop loses no
//! request, and is removed before it stops where they do not. Pure. Refuses any step that could cost the quorum.

use std::collections::BTreeSet;

use crate::MemberId;
use crate::quorum::{decides, removal_is_safe};

/// A listed member that is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Whether it has no vote.
    pub learner: bool,
    /// Whether its Pod is being deleted, or gone.
    pub going: bool,
    /// Whether its etcd runs.
    pub runs: bool,
}

/// What the leading member's supervisor sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurplusView {
    /// All of them, the highest ordinal first.
    pub surplus: Vec<Surplus>,
    /// The member beside me, which leads.
    pub me: MemberId,
    /// How many members vote.
    pub voters: usize,
    /// The voters that answer a linearizable read.
    pub serving: BTreeSet<MemberId>,
    /// A wanted voter that serves.
    pub heir: Option<MemberId>,
}

/// What the leading member's supervisor does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// Remove it from the cluster.
    Remove(MemberId),
    /// Hand leadership to this one, which then removes me.
    HandOver(MemberId),
    /// Nothing yet; waits for this.
    Wait(String),
    /// Nobody is left to be removed.
    Nobody,
}

/// Decides for the leader.
#[must_use]
pub fn removal(view: &SurplusView) -> Removal {
    // Without a dead voter the others are more of a majority, whoever goes next.
    let dead = view.surplus.iter().find(|surplus| surplus.going && !surplus.runs);
    let Some(next) = dead.or_else(|| view.surplus.first()) else { return Removal::Nobody };
    let Surplus { id, name, learner, going, runs } = next;
    let others_serving = view.serving.iter().filter(|serving| *serving != id).count();
    if !going {
        return Removal::Wait(format!("{name} to be told to stop"));
    }
    if *learner {
        return Removal::Remove(*id);
    }
    if *runs && may_stop(others_serving, view.voters) {
        return Removal::Wait(format!("{name} to stop"));
    }
    if !removal_is_safe(others_serving, view.voters) {
        return Removal::Wait(format!(
            "more members that serve: without {name} {others_serving} of {} would",
            view.voters.saturating_sub(1)
        ));
    }
    match (*id == view.me, view.heir) {
        (false, _) => Removal::Remove(*id),
        (true, Some(heir)) => Removal::HandOver(heir),
        (true, None) => Removal::Wait("a wanted member that serves, to lead".to_owned()),
    }
}

/// What a surplus member that was asked to stop sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingView {
    /// Whether it is listed, and if so whether it votes.
    pub listed: Option<Vote>,
    /// A listed surplus member with a higher ordinal.
    pub higher: Option<String>,
    /// How many members vote.
    pub voters: usize,
    /// How many voters but this one answer a linearizable read.
    pub others_serving: usize,
}

/// Whether a listed member votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// It does.
    Voter,
    /// It does not.
    Learner,
}

/// Whether a surplus member may stop: the error is what it waits for.
pub fn leaving(view: &LeavingView) -> Result<(), String> {
    match (view.listed, &view.higher) {
        (None | Some(Vote::Learner), _) => Ok(()),
        (Some(Vote::Voter), Some(higher)) => Err(format!("{higher} to leave the cluster first")),
        (Some(Vote::Voter), None) if may_stop(view.others_serving, view.voters) => Ok(()),
        (Some(Vote::Voter), None) => Err(format!(
            "the leader's supervisor to remove it from the cluster: of {} voters {} others serve, so it is needed \
             until then",
            view.voters, view.others_serving
        )),
    }
}

/// Whether the others decide while this one is down and still counts.
fn may_stop(others_serving: usize, voters: usize) -> bool {
    decides(others_serving, voters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quorum::quorum;

    fn member(ordinal: u64, going: bool, runs: bool) -> Surplus {
        Surplus { id: MemberId(ordinal), name: format!("etcd-{ordinal}"), learner: false, going, runs }
    }

    fn view(surplus: Vec<Surplus>, voters: usize, serving: &[u64]) -> SurplusView {
        let serving = serving.iter().copied().map(MemberId).collect();
        SurplusView { surplus, me: MemberId(0), voters, serving, heir: Some(MemberId(0)) }
    }

    #[test]
    fn who_can_stop_stops_and_who_cannot_is_removed() {
        let all = [0, 1, 2, 3, 4];
        let untold = view(vec![member(4, false, true)], 5, &all);
        assert_eq!(removal(&untold), Removal::Wait("etcd-4 to be told to stop".into()));
        let stops = view(vec![member(4, true, true), member(3, true, true)], 5, &all);
        assert_eq!(removal(&stops), Removal::Wait("etcd-4 to stop".into()));
        let stopped = view(vec![member(4, true, false), member(3, true, true)], 5, &all[..4]);
        assert_eq!(removal(&stopped), Removal::Remove(MemberId(4)));
        assert_eq!(removal(&view(vec![member(1, true, true)], 2, &[0, 1])), Removal::Remove(MemberId(1)));
        let alone = view(vec![member(2, true, true)], 3, &[0, 2]);
        assert_eq!(
            removal(&alone),
            Removal::Wait("more members that serve: without etcd-2 1 of 2 would".into())
        );
        assert!(matches!(removal(&view(vec![member(0, true, true)], 1, &[0])), Removal::Wait(_)), "the last");
        assert_eq!(removal(&view(Vec::new(), 1, &[0])), Removal::Nobody);
    }

    #[test]
    fn the_dead_are_removed_before_the_living() {
        let surplus = vec![member(2, true, true), member(1, true, false)];
        assert_eq!(removal(&view(surplus, 3, &[0, 2])), Removal::Remove(MemberId(1)));
    }

    #[test]
    fn a_leader_that_cannot_stop_hands_over_and_never_removes_itself() {
        let mut own = view(vec![member(1, true, true)], 2, &[0, 1]);
        own.me = MemberId(1);
        assert_eq!(removal(&own), Removal::HandOver(MemberId(0)));
        own.heir = None;
        assert!(matches!(removal(&own), Removal::Wait(_)));
    }

    #[test]
    fn a_member_stops_when_the_others_decide_and_it_is_the_highest() {
        let view = |listed, higher: Option<&str>, voters, others_serving| LeavingView {
            listed,
            higher: higher.map(str::to_owned),
            voters,
            others_serving,
        };
        assert!(leaving(&view(Some(Vote::Voter), None, 5, 4)).is_ok());
        assert!(leaving(&view(Some(Vote::Voter), Some("etcd-4"), 5, 4)).is_err());
        assert!(leaving(&view(Some(Vote::Voter), None, 2, 1)).is_err());
        assert!(leaving(&view(Some(Vote::Learner), Some("etcd-4"), 2, 1)).is_ok());
        assert!(leaving(&view(None, Some("etcd-4"), 2, 1)).is_ok());
    }

    /// A cluster of voters, of which some were asked to stop, while others crash and come back.
    #[derive(Debug, Clone)]
    struct Cluster {
        wanted: usize,
        leader: usize,
        /// Ordinal, whether its etcd runs, whether its Pod can come back.
        members: Vec<(usize, bool)>,
    }

    impl Cluster {
        fn serving(&self) -> usize {
            self.members.iter().filter(|(_, runs)| *runs).count()
        }

        fn has_quorum(&self) -> bool {
            decides(self.serving(), self.members.len())
        }

        fn runs(&self, ordinal: usize) -> bool {
            self.members.contains(&(ordinal, true))
        }

        fn others_serving(&self, ordinal: usize) -> usize {
            self.serving() - usize::from(self.runs(ordinal))
        }

        /// The leader's supervisor and that of the highest surplus member look at the same moment and act one after the
        /// other.
        fn step(&mut self) {
            if !self.has_quorum() {
                return;
            }
            if !self.runs(self.leader) {
                self.leader = self.members.iter().rev().find(|(_, runs)| *runs).unwrap().0;
            }
            let id = |ordinal: usize| MemberId(ordinal as u64);
            let surplus = self.members.iter().rev().filter(|(ordinal, _)| *ordinal >= self.wanted);
            let surplus: Vec<Surplus> =
                surplus.map(|(ordinal, runs)| member(*ordinal as u64, true, *runs)).collect();
            let Some(highest) = surplus.first().cloned() else { return };
            let ordinal = usize::try_from(highest.id.0).unwrap();
            let heir = self.members.iter().find(|(member, runs)| *member < self.wanted && *runs);
            let seen = SurplusView {
                surplus,
                me: id(self.leader),
                voters: self.members.len(),
                serving: self
                    .members
                    .iter()
                    .filter(|(_, runs)| *runs)
                    .map(|(member, _)| id(*member))
                    .collect(),
                heir: heir.map(|(member, _)| id(*member)),
            };
            let seen_by_itself = LeavingView {
                listed: Some(Vote::Voter),
                higher: None,
                voters: self.members.len(),
                others_serving: self.others_serving(ordinal),
            };
            if highest.runs && leaving(&seen_by_itself).is_ok() {
                self.members.iter_mut().filter(|(member, _)| *member == ordinal).for_each(|it| it.1 = false);
                assert!(self.has_quorum(), "a stop cost the quorum: {self:?}");
            }
            match removal(&seen) {
                Removal::Remove(id) => {
                    self.members.retain(|(member, _)| *member as u64 != id.0);
                    assert!(self.has_quorum(), "a removal cost the quorum: {self:?}");
                }
                Removal::HandOver(heir) => self.leader = usize::try_from(heir.0).unwrap(),
                Removal::Wait(_) | Removal::Nobody => {}
            }
        }
    }

    proptest! {
        #[test]
        fn scaling_down_never_costs_the_quorum_and_comes_to_its_end(
            (size, wanted) in (2_usize..=7).prop_flat_map(|size| (Just(size), 1..size)),
            leader in 0_usize..7,
            faults in proptest::collection::vec((0_usize..7, any::<bool>()), 0..30),
        ) {
            let members = (0..size).map(|ordinal| (ordinal, true)).collect();
            let mut cluster = Cluster { wanted, leader: leader % size, members };
            for (ordinal, comes_back) in faults {
                // Crashes that leave a quorum; only wanted members come back.
                let before = cluster.clone();
                let hit = cluster.members.iter_mut().find(|(member, _)| *member == ordinal);
                if let Some(member) = hit {
                    member.1 = comes_back && (member.1 || ordinal < wanted);
                }
                if !cluster.has_quorum() {
                    cluster = before;
                }
                cluster.step();
                prop_assert!(cluster.has_quorum());
            }
            for _ in 0..4 * size {
                cluster.members.iter_mut().filter(|(ordinal, _)| *ordinal < wanted).for_each(|it| it.1 = true);
                cluster.step();
            }
            let left: Vec<usize> = cluster.members.iter().map(|(ordinal, _)| *ordinal).collect();
            prop_assert_eq!(left, (0..wanted).collect::<Vec<_>>());
            prop_assert!(cluster.serving() >= quorum(wanted));
        }
    }
}
