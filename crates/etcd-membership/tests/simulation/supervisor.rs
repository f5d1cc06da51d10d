//! One act of a supervisor in the simulated world: look, let the real planner decide, do it in interruptible parts.
//! Also what supervisors do beside a running child. Refuses shortcuts: nothing is known that could not be observed.

use std::time::Duration;

use etcd_membership::{
    AsideReason, ClusterId, Crashes, Data, Identity, Line, ListedMember, LiveView, MemberId, Observation,
    PeerReport, PeerView, Quorum, Record, Step, Volume, WantedMember, next_step,
};

use crate::etcd::{self, Applied, Change, Process, Slot};
use crate::world::{self, Supervisor, World};

pub(crate) fn name(slot: Slot) -> String {
    format!("etcd-{slot}")
}

fn url(slot: Slot) -> String {
    format!("https://etcd-{slot}:2380")
}

fn slot_of(url: &str) -> Slot {
    url.trim_start_matches("https://etcd-").trim_end_matches(":2380").parse().unwrap()
}

impl World {
    /// Starts the supervisor, or lets it act, or lets its child act; at most `parts` parts of an act happen.
    pub(crate) fn step(&mut self, slot: Slot, parts: usize, majority_stays: bool) {
        if self.going[slot] {
            self.step_going(slot, parts, majority_stays);
        } else if slot >= self.wanted {
            // It has no Pod.
        } else if self.supervisors[slot].is_none() {
            self.supervisors[slot] = Some(Supervisor::default());
        } else if self.etcds.runs(slot) {
            self.beside_child(slot, parts);
        } else {
            self.plan(slot, parts);
        }
    }

    /// How many members this one believes to be wanted.
    fn known(&self, slot: Slot) -> Option<usize> {
        if self.record_readable {
            return Some(self.wanted);
        }
        self.volumes[slot].known.filter(|_| self.etcds.data[slot].is_some())
    }

    fn plan(&mut self, slot: Slot, parts: usize) {
        if self.known(slot).is_none() {
            return;
        }
        if self.record_readable {
            self.volumes[slot].known = Some(self.wanted);
        }
        let mut seen = self.observe(slot);
        let mut step = next_step(&seen);
        if step == Step::AskPeers {
            seen.live = Some(self.ask_peers(slot));
            step = next_step(&seen);
            assert_ne!(step, Step::AskPeers, "asking twice: {seen:?}");
        }
        self.last_steps.push(format!("{}: {step:?}", name(slot)).chars().take(600).collect());
        self.act(slot, &step, parts);
    }

    fn observe(&self, slot: Slot) -> Observation {
        let volume = &self.volumes[slot];
        let data = match (&self.etcds.data[slot], volume.directory, volume.leftovers) {
            (Some(_), _, _) => Data::Present,
            (None, false, _) => Data::NoDirectory,
            (None, true, true) => Data::Leftovers,
            (None, true, false) => Data::Empty,
        };
        let record = match (&self.record, self.record_readable) {
            (_, false) => Record::Unreadable("in the simulation".into()),
            (None, true) => Record::Absent,
            (Some(record), true) => Record::Present {
                founders: (0..record.founders).map(|slot| (name(slot), url(slot))).collect(),
                mine: record
                    .lines
                    .get(&slot)
                    .map(|(volume_id, started)| Line { volume_id: volume_id.clone(), started: *started }),
                given_up: Vec::new(),
            },
        };
        Observation {
            me: name(slot),
            wanted: (0..self.known(slot).unwrap_or_default())
                .map(|slot| WantedMember { name: name(slot), peer_url: url(slot), client_url: String::new() })
                .collect(),
            volume: Volume {
                id: volume.id.clone(),
                data,
                identity: volume.identity.map(|(cluster, member)| Identity {
                    name: name(slot),
                    cluster: ClusterId(cluster),
                    member: MemberId(member),
                }),
                full: false,
            },
            record,
            live: None,
            rejoin_lock: self.supervisors[slot]
                .as_ref()
                .and_then(|supervisor| supervisor.lock_in)
                .map(ClusterId),
            crashes: Crashes {
                count: volume.crashes,
                since_last: if self.patience_over { Duration::from_secs(3600) } else { Duration::ZERO },
                data_was_set_aside: volume.set_aside,
            },
        }
    }

    fn ask_peers(&mut self, me: Slot) -> LiveView {
        let mut quorum = None;
        let mut peers = Vec::new();
        for peer in self.others(me) {
            let reached = self.etcds.reach(me, peer);
            if reached && quorum.is_none() {
                quorum = self.etcds.linearizable(peer).map(|(cluster, applied)| answer(cluster, &applied));
            }
            let report = match (reached && self.supervisors[peer].is_some(), &self.etcds.data[peer]) {
                (false, _) => PeerReport::Silent,
                (true, None) => PeerReport::Empty,
                (true, Some(_)) => PeerReport::Data,
            };
            peers.push(PeerView { name: name(peer), etcd_answers: reached && self.etcds.runs(peer), report });
        }
        LiveView { quorum, peers }
    }

    fn act(&mut self, slot: Slot, step: &Step, parts: usize) {
        match step {
            Step::Wait { .. } => {}
            Step::AskPeers | Step::Refuse { .. } => self.violations.push(format!("{}: {step:?}", name(slot))),
            Step::PrepareVolume => {
                if parts >= 1 {
                    self.volumes[slot].id = None;
                }
                if parts >= 2 {
                    self.volumes[slot].identity = None;
                    self.volumes[slot].directory = true;
                }
                if parts >= 3 {
                    self.write_volume_id(slot);
                }
            }
            Step::WriteVolumeId => self.write_volume_id(slot),
            Step::CreateRecord => {
                let token = self.fresh();
                let founders = self.wanted;
                self.record.get_or_insert(world::Record { token, founders, lines: [].into() });
            }
            Step::RewriteRecord => self.rewrite_record(slot),
            Step::RecordMyLine => {
                let id = self.volumes[slot].id.clone();
                if let Some(record) = self.record.as_mut() {
                    record.lines.entry(slot).or_insert((id, false));
                }
            }
            Step::ClearLeftovers => self.volumes[slot].leftovers = false,
            Step::MoveDataAside(reason) => {
                self.etcds.data[slot] = None;
                self.volumes[slot].directory = false;
                if parts >= 2 {
                    self.volumes[slot].crashes = 0;
                    self.volumes[slot].set_aside |= *reason == AsideReason::Rejected;
                }
            }
            Step::TakeRejoinLock => {
                let taken_in = self.through_others(slot, &Change::Lock(slot));
                if let Some(supervisor) = self.supervisors[slot].as_mut().filter(|_| taken_in.is_some()) {
                    supervisor.lock_in = taken_in;
                }
            }
            Step::ReleaseRejoinLock => {
                self.through_others(slot, &Change::Unlock(slot));
                if let Some(supervisor) = self.supervisors[slot].as_mut() {
                    supervisor.lock_in = None;
                }
            }
            Step::RemoveMe(id) => self.remove_me(slot, id.0),
            Step::AddMeAsLearner => {
                let id = self.etcds.fresh_id();
                self.must_hold_lock(slot);
                if let Some(cluster) = self.through_others(slot, &Change::AddLearner(id, slot))
                    && parts >= 2
                {
                    self.volumes[slot].identity = Some((cluster, id));
                }
            }
            Step::StartNew => self.start_new(slot, parts),
            Step::StartExisting => self.start_existing(slot),
            Step::StartJoining(members) => self.start_joining(slot, members, parts),
        }
    }

    fn write_volume_id(&mut self, slot: Slot) {
        let id = self.fresh();
        self.volumes[slot].id = Some(format!("volume-{id}"));
    }

    /// Whom it asks.
    fn others(&self, me: Slot) -> Vec<Slot> {
        let known = self.known(me).unwrap_or_default();
        (0..self.size)
            .filter(|peer| *peer != me && (*peer < known || self.record_readable && self.going[*peer]))
            .collect()
    }

    fn through_others(&mut self, slot: Slot, change: &Change) -> Option<u64> {
        for peer in self.others(slot) {
            if self.etcds.reach(slot, peer) && self.etcds.propose(peer, change.clone(), u8::MAX) {
                return self.etcds.data[peer].as_ref().map(|data| data.cluster);
            }
        }
        None
    }

    fn must_hold_lock(&mut self, slot: Slot) {
        let holder = self.configuration().and_then(|(_, applied)| applied.lock);
        if holder != Some(slot) {
            self.violations.push(format!("{} changes members without the lock ({holder:?})", name(slot)));
        }
    }

    fn remove_me(&mut self, slot: Slot, id: u64) {
        self.must_hold_lock(slot);
        let Some((_, applied)) = self.configuration() else { return };
        if applied.members.get(&id).is_some_and(|member| member.slot != slot) {
            self.violations.push(format!("{} removes another member", name(slot)));
        }
        self.check_removal(slot, id);
        self.through_others(slot, &Change::Remove(id));
    }

    /// Enough voters that have their data must be left.
    pub(crate) fn check_removal(&mut self, slot: Slot, id: u64) {
        let Some((cluster, applied)) = self.configuration() else { return };
        let learner = applied.members.get(&id).is_some_and(|member| member.learner);
        let able = applied
            .voters()
            .filter(|(voter, member)| {
                **voter != id
                    && self.etcds.data[member.slot]
                        .as_ref()
                        .is_some_and(|data| data.cluster == cluster && data.id == **voter && !data.corrupt)
            })
            .count();
        let voters = applied.voters().count();
        if !learner && (voters < 2 || able < etcd_membership::quorum::quorum(voters - 1)) {
            self.violations.push(format!(
                "{}: a removal that leaves {able} of {} voters",
                name(slot),
                voters - 1
            ));
        }
    }

    fn rewrite_record(&mut self, slot: Slot) {
        let token = self.fresh();
        let lines = (0..self.wanted)
            .map(|line| (line, (if line == slot { self.volumes[slot].id.clone() } else { None }, true)))
            .collect();
        self.record.get_or_insert(world::Record { token, founders: self.wanted, lines });
    }

    fn start_new(&mut self, slot: Slot, parts: usize) {
        let Some((token, count)) = self.record.as_ref().map(|record| (record.token, record.founders)) else {
            return;
        };
        let id = Self::founder_id(token, slot);
        if parts == 1 {
            // Killed before the write-ahead log exists.
            self.volumes[slot].leftovers = true;
            return;
        }
        if self.took_part.contains(&(slot, id)) {
            self.violations.push(format!("{} starts `new` after it took part and lost its log", name(slot)));
        }
        let bootstrapped = (0..self.size).any(|peer| {
            peer != slot
                && self.etcds.reach(slot, peer)
                && self.etcds.runs(peer)
                && self.etcds.data[peer]
                    .as_ref()
                    .is_some_and(|data| data.applied().members.get(&id).is_some_and(|member| member.started))
        });
        if bootstrapped {
            self.volumes[slot].leftovers = true;
            self.child_ended(slot);
            return;
        }
        if let Some(other) = self.etcds.data.iter().flatten().find(|data| data.cluster != token) {
            self.violations.push(format!("{} founds {token} beside {}", name(slot), other.cluster));
        }
        let founders: Vec<(u64, Slot)> =
            (0..count).map(|founder| (Self::founder_id(token, founder), founder)).collect();
        self.etcds.data[slot] = Some(etcd::Data::founding(token, id, &founders));
        self.etcds.processes[slot] = Some(Process::default());
        self.took_part.insert((slot, id));
    }

    fn start_existing(&mut self, slot: Slot) {
        if self.etcds.data[slot].as_ref().is_some_and(|data| data.corrupt) {
            self.child_ended(slot);
        } else {
            self.etcds.processes[slot] = Some(Process::default());
        }
    }

    /// etcd takes the list of any one peer and refuses unless it fits; the id is found by peer URL.
    fn start_joining(&mut self, slot: Slot, members: &[(String, String)], parts: usize) {
        self.volumes[slot].identity = None;
        if parts == 1 {
            self.volumes[slot].leftovers = true;
            return;
        }
        let mut wanted: Vec<Slot> = members.iter().map(|(_, url)| slot_of(url)).collect();
        wanted.sort_unstable();
        let fitting = (0..self.size)
            .filter(|peer| self.etcds.reach(slot, *peer) && self.etcds.runs(*peer))
            .find_map(|peer| {
                let data = self.etcds.data[peer].as_ref()?;
                let applied = data.applied();
                let mut listed: Vec<Slot> = applied.members.values().map(|member| member.slot).collect();
                listed.sort_unstable();
                let mine = applied.members.iter().find(|(_, member)| member.slot == slot)?;
                (listed == wanted).then_some((data.cluster, *mine.0))
            });
        if let Some((cluster, id)) = fitting {
            self.etcds.data[slot] = Some(etcd::Data::joining(cluster, id));
            self.etcds.processes[slot] = Some(Process::default());
            self.took_part.insert((slot, id));
        } else {
            self.volumes[slot].leftovers = true;
            self.child_ended(slot);
        }
    }

    /// The child publishes itself; then identity, record and lock are brought in order; the leader's neighbour promotes.
    pub(crate) fn beside_child(&mut self, slot: Slot, parts: usize) {
        let Some((id, cluster)) = self.etcds.data[slot].as_ref().map(|data| (data.id, data.cluster)) else {
            return;
        };
        let told_removed = (0..self.size).any(|peer| {
            self.etcds.reach(slot, peer)
                && self.etcds.runs(peer)
                && self.etcds.data[peer]
                    .as_ref()
                    .is_some_and(|data| data.cluster == cluster && data.applied().removed.contains(&id))
        });
        if told_removed {
            self.child_ended(slot);
            return;
        }
        let Some(leader) = self.etcds.leader(slot) else { return };
        let Some(applied) = self.etcds.data[leader].as_ref().map(etcd::Data::applied) else { return };
        let Some(mine) = applied.members.get(&id).cloned() else { return };
        let volume_id = self.volumes[slot].id.clone();
        if !mine.started {
            self.etcds.propose(slot, Change::Publish(id), u8::MAX);
        } else if self.volumes[slot].identity != Some((cluster, id)) {
            self.volumes[slot].identity = Some((cluster, id));
        } else if !mine.learner && parts > 0 {
            self.volumes[slot].crashes = 0;
            self.volumes[slot].set_aside = false;
            let line = (volume_id, true);
            match (&mut self.record, self.record_readable) {
                (Some(record), true) if record.lines.get(&slot) != Some(&line) => {
                    record.lines.insert(slot, line);
                    return;
                }
                (None, true) => {
                    self.rewrite_record(slot);
                    return;
                }
                _ => {}
            }
            let holds =
                self.supervisors[slot].as_ref().is_some_and(|supervisor| supervisor.lock_in.is_some());
            if holds
                && self.etcds.propose(slot, Change::Unlock(slot), u8::MAX)
                && let Some(supervisor) = self.supervisors[slot].as_mut()
            {
                supervisor.lock_in = None;
            }
            if leader == slot {
                self.remove_surplus(slot);
                let learner = applied.members.iter().find(|(_, member)| member.learner && member.started);
                if let Some((learner, _)) = learner {
                    self.etcds.propose(slot, Change::Promote(*learner), u8::MAX);
                }
            }
        }
    }
}

fn answer(cluster: u64, applied: &Applied) -> Quorum {
    let members = applied
        .members
        .iter()
        .map(|(id, member)| ListedMember {
            id: MemberId(*id),
            name: if member.named { name(member.slot) } else { String::new() },
            peer_urls: vec![url(member.slot)],
            started: member.started,
            learner: member.learner,
        })
        .collect();
    Quorum { cluster: ClusterId(cluster), members }
}
