//! Other numbers of wanted members: Pods beyond them are told to stop, leave by their own look, and are removed by the leader's.
//! A Pod that ends while nobody wants it loses its claim. Refuses to decide for them: the crate does.

use std::collections::BTreeSet;

use etcd_membership::{
    Departure, LeavingView, MemberId, PeerAtDeparture, PeerIntent, Removal, SelfAtDeparture, Surplus,
    SurplusView, Vote, departure, leaving, removal,
};

use crate::etcd::{Change, Slot};
use crate::supervisor::name;
use crate::world::{Volume, World};

impl World {
    /// Not before the cluster is founded: founders that are not wanted any more never come.
    pub(crate) fn scale(&mut self, wanted: usize) {
        if wanted == 0 || self.configuration().is_none() {
            return;
        }
        self.wanted = wanted;
        for slot in wanted..self.size {
            self.going[slot] = true;
            if !self.etcds.runs(slot) {
                self.pod_ended(slot);
            }
        }
    }

    /// The Pod is gone, and its claim as well if nobody wants it. If somebody does, there is another one at once.
    pub(crate) fn pod_ended(&mut self, slot: Slot) {
        self.crash_supervisor(slot);
        self.going[slot] = false;
        if slot >= self.wanted {
            self.volumes[slot] = Volume::default();
            self.etcds.data[slot] = None;
            self.lost[slot] = None;
        }
    }

    /// One act of a supervisor that was asked to stop.
    pub(crate) fn step_going(&mut self, slot: Slot, parts: usize, majority_stays: bool) {
        if !self.etcds.runs(slot) {
            return self.lose(slot, majority_stays, Self::pod_ended);
        }
        let decided = self.serves_somewhere();
        if !(if slot < self.wanted { self.may_depart(slot) } else { self.may_leave(slot) }) {
            return self.beside_child(slot, parts);
        }
        self.last_steps.push(format!("{}: stops", name(slot)));
        self.crash_supervisor(slot);
        // Of those that are wanted, all may be told to stop at once, and then none holds back for the others.
        if slot >= self.wanted && decided && !self.serves_somewhere() {
            self.violations.push(format!("{} stopped and cost the quorum", name(slot)));
        }
        self.pod_ended(slot);
    }

    fn serves_somewhere(&mut self) -> bool {
        (0..self.size).any(|slot| self.etcds.linearizable(slot).is_some())
    }

    fn answers(&mut self, from: Slot, slot: Slot) -> bool {
        self.etcds.reach(from, slot) && self.etcds.linearizable(slot).is_some()
    }

    fn may_leave(&mut self, slot: Slot) -> bool {
        let Some(id) = self.etcds.data[slot].as_ref().map(|data| data.id) else { return true };
        let through = std::iter::once(slot).chain(0..self.wanted);
        let through: Vec<Slot> = through.filter(|peer| self.etcds.reach(slot, *peer)).collect();
        let Some((_, applied)) = through.into_iter().find_map(|peer| self.etcds.linearizable(peer)) else {
            return false;
        };
        let vote = |learner| if learner { Vote::Learner } else { Vote::Voter };
        let higher = applied.members.values().find(|member| member.slot > slot);
        let others: Vec<Slot> =
            applied.voters().filter(|(voter, _)| **voter != id).map(|(_, member)| member.slot).collect();
        let view = LeavingView {
            listed: applied.members.get(&id).map(|member| vote(member.learner)),
            higher: higher.map(|member| name(member.slot)),
            voters: applied.voters().count(),
            others_serving: others.into_iter().filter(|other| self.answers(slot, *other)).count(),
        };
        leaving(&view).is_ok()
    }

    /// Told to stop while it was not wanted, and wanted again since.
    fn may_depart(&mut self, slot: Slot) -> bool {
        let voters =
            self.etcds.data[slot].as_ref().map_or(self.wanted, |data| data.applied().voters().count());
        let leads = self.etcds.leader(slot) == Some(slot);
        let own = SelfAtDeparture { serves: self.answers(slot, slot), leads, voters };
        let mut peers = Vec::new();
        for peer in (0..self.wanted).filter(|peer| *peer != slot) {
            let runs = self.etcds.runs(peer);
            let intent = match (self.etcds.reach(slot, peer), self.going[peer]) {
                (false, _) => PeerIntent::Unknown,
                (true, true) => PeerIntent::Leaves { runs },
                (true, false) => PeerIntent::Stays,
            };
            peers.push(PeerAtDeparture { name: name(peer), serves: self.answers(slot, peer), intent });
        }
        !matches!(departure(&name(slot), own, &peers), Departure::Hold(_))
    }

    /// What the supervisor beside the leader does about members that nobody wants.
    pub(crate) fn remove_surplus(&mut self, leader: Slot) {
        if !self.record_readable {
            return;
        }
        let Some((_, applied)) = self.etcds.linearizable(leader) else { return };
        let mut surplus = Vec::new();
        let mut beyond: Vec<_> =
            applied.members.iter().filter(|(_, member)| member.slot >= self.wanted).collect();
        beyond.sort_by_key(|(_, member)| std::cmp::Reverse(member.slot));
        for (id, member) in beyond {
            let slot = member.slot;
            surplus.push(Surplus {
                id: MemberId(*id),
                name: name(slot),
                learner: member.learner,
                going: true,
                runs: slot == leader || (self.etcds.reach(leader, slot) && self.etcds.runs(slot)),
            });
        }
        if surplus.is_empty() {
            return;
        }
        let mut serving = BTreeSet::new();
        let mut heir = None;
        for (id, member) in applied.voters() {
            if self.answers(leader, member.slot) {
                serving.insert(MemberId(*id));
                heir = heir.or((member.slot < self.wanted).then_some(*id));
            }
        }
        let Some(me) = self.etcds.data[leader].as_ref().map(|data| MemberId(data.id)) else { return };
        let view =
            SurplusView { surplus, me, voters: applied.voters().count(), serving, heir: heir.map(MemberId) };
        let verdict = removal(&view);
        self.last_steps.push(format!("{}: {verdict:?}", name(leader)));
        match verdict {
            Removal::Remove(id) => {
                self.check_removal(leader, id.0);
                self.etcds.propose(leader, Change::Remove(id.0), u8::MAX);
            }
            Removal::HandOver(heir) => {
                if let Some(member) = applied.members.get(&heir.0) {
                    self.etcds.elect(member.slot);
                }
            }
            Removal::Wait(_) | Removal::Nobody => {}
        }
    }
}
