//! Members with volumes and supervisors, the record, the faults that befall them, and the invariants.
//! Refuses to decide anything for a member: `supervisor` does, with the real planner.

use std::collections::{BTreeMap, BTreeSet};

use etcd_membership::quorum::{quorum, tolerated_losses};

use crate::etcd::{Applied, Change, Data, Etcds, Id, Slot};

/// What survives on a volume beside etcd's data (which `Etcds` holds).
#[derive(Debug, Clone, Default)]
pub(crate) struct Volume {
    pub(crate) id: Option<String>,
    pub(crate) directory: bool,
    pub(crate) leftovers: bool,
    pub(crate) identity: Option<(u64, Id)>,
    pub(crate) crashes: u32,
    pub(crate) set_aside: bool,
    /// How many members were wanted when that could be read last.
    pub(crate) known: Option<usize>,
}

/// What a supervisor knows only while it lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisor {
    /// The cluster in which it took the rejoin lock.
    pub(crate) lock_in: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) token: u64,
    /// The first so many slots.
    pub(crate) founders: usize,
    pub(crate) lines: BTreeMap<Slot, (Option<String>, bool)>,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    /// How many members there can be.
    pub(crate) size: usize,
    /// How many there should be: the first so many slots.
    pub(crate) wanted: usize,
    /// Whose Pods are being deleted.
    pub(crate) going: Vec<bool>,
    pub(crate) etcds: Etcds,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) supervisors: Vec<Option<Supervisor>>,
    pub(crate) record: Option<Record>,
    /// The record and the wanted number, which are in the management cluster.
    pub(crate) record_readable: bool,
    /// Whether long enough passed since each last crash.
    pub(crate) patience_over: bool,
    /// Members whose volume once took part as this founder; it must never be founded with again after a loss.
    pub(crate) took_part: BTreeSet<(Slot, Id)>,
    /// What was on the volume that a member lost last.
    pub(crate) lost: Vec<Option<(Volume, Option<Data>)>>,
    pub(crate) acknowledged: Vec<u64>,
    pub(crate) violations: Vec<String>,
    pub(crate) last_steps: Vec<String>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The supervisor acts once, or its child does.
    Step(Slot),
    /// As Step, but the supervisor dies after so many parts of the act.
    HalfStep(Slot, usize),
    CrashSupervisor(Slot),
    CrashChild(Slot),
    LoseVolume(Slot),
    /// The volume that was lost last is there again, in place of the present one.
    ReturnVolume(Slot),
    DeleteDirectory(Slot),
    /// What is in the data directory, which itself stays.
    DeleteContents(Slot),
    Corrupt(Slot),
    RemoveByHand(Slot),
    Partition([u8; 5]),
    Heal,
    Elect(Slot),
    Write(Slot, u8),
    LockExpires,
    /// The same while its holder lives: it was not heard in time.
    LockIsLost,
    FiveMinutes,
    RecordReadable(bool),
    LoseRecord,
    Patience(bool),
    /// So many members are wanted from now on.
    Scale(usize),
    /// A Pod that is being deleted is killed, whatever it holds.
    GraceEnds(Slot),
}

impl World {
    pub(crate) fn new(size: usize) -> Self {
        Self::scalable(size, size)
    }

    /// Members of whom not all are wanted at first.
    pub(crate) fn scalable(size: usize, wanted: usize) -> Self {
        Self {
            size,
            wanted,
            going: vec![false; size],
            lost: vec![None; size],
            etcds: Etcds::new(size),
            volumes: vec![Volume::default(); size],
            supervisors: vec![None; size],
            record: None,
            record_readable: true,
            patience_over: false,
            took_part: BTreeSet::new(),
            acknowledged: Vec::new(),
            violations: Vec::new(),
            last_steps: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Ids follow from list and token.
    pub(crate) fn founder_id(token: u64, slot: Slot) -> Id {
        token * 100 + slot as u64 + 1
    }

    pub(crate) fn happen(&mut self, event: Event, majority_stays: bool) {
        match event {
            Event::Step(slot) => self.step(slot % self.size, usize::MAX, majority_stays),
            Event::HalfStep(slot, parts) => {
                self.step(slot % self.size, parts, majority_stays);
                self.end(slot % self.size, majority_stays, Self::crash_supervisor);
            }
            Event::CrashSupervisor(slot) => {
                self.end(slot % self.size, majority_stays, Self::crash_supervisor);
            }
            Event::CrashChild(slot) => self.end(slot % self.size, majority_stays, Self::child_ended),
            Event::LoseVolume(slot) => self.lose(slot % self.size, majority_stays, Self::lose_volume),
            Event::ReturnVolume(slot) => self.lose(slot % self.size, majority_stays, Self::return_volume),
            Event::DeleteDirectory(slot) => {
                self.lose(slot % self.size, majority_stays, Self::delete_directory);
            }
            Event::DeleteContents(slot) => self.lose(slot % self.size, majority_stays, Self::delete_contents),
            Event::Corrupt(slot) => self.lose(slot % self.size, majority_stays, |world, slot| {
                if let Some(data) = world.etcds.data[slot].as_mut() {
                    data.corrupt = true;
                    world.child_ended(slot);
                }
            }),
            Event::RemoveByHand(slot) => self.remove_by_hand(slot % self.size, majority_stays),
            Event::Partition(groups) => {
                self.etcds.partition = groups[..self.size].iter().map(|group| group % 3).collect();
            }
            Event::Heal => self.etcds.partition = vec![0; self.size],
            Event::Elect(slot) => self.etcds.elect(slot % self.size),
            Event::Write(slot, to) => drop(self.write(slot % self.size, to)),
            Event::LockExpires => self.lock_expires(false),
            Event::LockIsLost => self.lock_expires(true),
            Event::FiveMinutes => self.remove_stalled_learners(),
            Event::RecordReadable(readable) => self.record_readable = readable,
            Event::LoseRecord => self.lose_record(majority_stays),
            Event::Patience(over) => self.patience_over = over,
            Event::Scale(wanted) => self.lose(wanted.min(self.size), majority_stays, Self::scale),
            Event::GraceEnds(slot) => self.lose(slot % self.size, majority_stays, |world, slot| {
                if world.going[slot] {
                    world.pod_ended(slot);
                }
            }),
        }
        if let Some(violation) = self.etcds.violation.take() {
            self.violations.push(violation);
        }
    }

    pub(crate) fn write(&mut self, slot: Slot, to: u8) -> bool {
        let value = self.fresh();
        let acknowledged = self.etcds.propose(slot, Change::Write(value), to);
        if acknowledged {
            self.acknowledged.push(value);
        }
        acknowledged
    }

    /// Nobody starts again what is being deleted.
    fn end(&mut self, slot: Slot, majority_stays: bool, end: impl Fn(&mut Self, Slot)) {
        if self.going[slot] {
            self.lose(slot, majority_stays, Self::pod_ended);
        } else {
            end(self, slot);
        }
    }

    pub(crate) fn crash_supervisor(&mut self, slot: Slot) {
        self.supervisors[slot] = None;
        self.etcds.kill(slot);
    }

    /// The child ended unasked; a supervisor that is there writes it down, or ends with it after too many.
    pub(crate) fn child_ended(&mut self, slot: Slot) {
        self.etcds.kill(slot);
        if self.supervisors[slot].is_some() {
            self.volumes[slot].crashes += 1;
        }
    }

    /// Whatever costs a member its data.
    pub(crate) fn lose(&mut self, slot: Slot, majority_stays: bool, loss: impl Fn(&mut Self, Slot)) {
        let mut after = self.clone();
        loss(&mut after, slot);
        if !majority_stays || after.majority_is_intact() {
            *self = after;
        }
    }

    pub(crate) fn lose_volume(&mut self, slot: Slot) {
        self.crash_supervisor(slot);
        let (volume, data) = (std::mem::take(&mut self.volumes[slot]), self.etcds.data[slot].take());
        if data.is_some() {
            self.lost[slot] = Some((volume, data));
        }
    }

    /// Not one of a cluster that was founded before the present one, when nobody could know of it: that is a foreign volume.
    fn return_volume(&mut self, slot: Slot) {
        let token = self.record.as_ref().map(|record| record.token);
        let here: BTreeSet<u64> = self.etcds.data.iter().flatten().map(|data| data.cluster).collect();
        let is_known = |(_, data): &mut (Volume, Option<Data>)| {
            let cluster = data.as_ref().map(|data| data.cluster);
            if here.is_empty() { token.is_none() || token == cluster } else { here.iter().eq(&cluster) }
        };
        if let Some((volume, data)) = self.lost[slot].take_if(is_known) {
            self.lose_volume(slot);
            (self.volumes[slot], self.etcds.data[slot]) = (volume, data);
        }
    }

    /// While the child runs: it goes on with deleted files until something ends it, so it is ended here.
    fn delete_directory(&mut self, slot: Slot) {
        if self.volumes[slot].directory {
            self.child_ended(slot);
            self.volumes[slot].directory = false;
            self.volumes[slot].leftovers = false;
            self.etcds.data[slot] = None;
        }
    }

    /// Only once the record says that the member served: before, it looks like one that never started (see README.md).
    fn delete_contents(&mut self, slot: Slot) {
        let recorded = self
            .record
            .as_ref()
            .and_then(|record| record.lines.get(&slot))
            .is_some_and(|(_, started)| *started);
        if recorded {
            self.child_ended(slot);
            self.volumes[slot].leftovers = false;
            self.etcds.data[slot] = None;
        }
    }

    /// The newest committed configuration of the only cluster of which anybody has data.
    pub(crate) fn configuration(&self) -> Option<(u64, Applied)> {
        let alive = |cluster: &u64| self.etcds.data.iter().flatten().any(|data| data.cluster == *cluster);
        let (cluster, entries) = self.etcds.committed.iter().find(|(cluster, _)| alive(cluster))?;
        Some((*cluster, crate::etcd::applied(entries)))
    }

    /// Whether no more than a minority lost what it had, so that the others must be able to heal everything.
    pub(crate) fn majority_is_intact(&self) -> bool {
        let founders = self.record.as_ref().map_or(self.wanted, |record| record.founders);
        let impaired = (0..founders).filter(|slot| !self.is_intact(*slot)).count();
        let Some((cluster, applied)) = self.configuration() else {
            return impaired <= tolerated_losses(founders);
        };
        let able = |(id, member): &(&Id, &crate::etcd::Listed)| {
            self.holds(member.slot, cluster, **id) || self.can_still_found(member.slot, **id)
        };
        applied.voters().filter(able).count() >= quorum(applied.voters().count())
    }

    fn holds(&self, slot: Slot, cluster: u64, id: Id) -> bool {
        self.etcds.data[slot].as_ref().is_some_and(|data| {
            data.cluster == cluster && data.id == id && !data.corrupt && !data.entries.is_empty()
        })
    }

    fn can_still_found(&self, slot: Slot, id: Id) -> bool {
        let volume = &self.volumes[slot];
        let untouched = slot < self.wanted && !self.took_part.contains(&(slot, id));
        let line_fits = self.record.as_ref().is_some_and(|record| match record.lines.get(&slot) {
            None => true,
            Some((line, started)) => *line == volume.id && volume.directory && !started,
        });
        untouched && line_fits
    }

    fn is_intact(&self, slot: Slot) -> bool {
        let data_is_good = self.etcds.data[slot].as_ref().is_some_and(|data| {
            let voter = match self.configuration() {
                Some((cluster, applied)) => {
                    cluster == data.cluster
                        && applied.members.get(&data.id).is_some_and(|member| !member.learner)
                }
                None => true,
            };
            voter && !data.corrupt
        });
        let Some(record) = &self.record else { return true };
        data_is_good
            || (self.etcds.data[slot].is_none()
                && self.can_still_found(slot, Self::founder_id(record.token, slot)))
    }

    fn remove_by_hand(&mut self, slot: Slot, majority_stays: bool) {
        let mut after = self.clone();
        let Some((_, applied)) = after.configuration() else { return };
        let Some(id) = applied.members.iter().find(|(_, member)| member.slot == slot).map(|(id, _)| *id)
        else {
            return;
        };
        let done = (0..self.size)
            .filter(|through| *through != slot)
            .any(|through| after.etcds.propose(through, Change::Remove(id), u8::MAX));
        // An operator's removal that is left half-done may break the quorum later; that is not the planner's to mend.
        if done && (!majority_stays || after.majority_is_intact()) {
            *self = after;
        }
    }

    /// The lease of a holder that is gone runs out, or of one that was not heard. It knows then that it has lost it: it counts
    /// from before it asked, etcd from after.
    pub(crate) fn lock_expires(&mut self, though_it_lives: bool) {
        for slot in 0..self.size {
            let Some((cluster, applied)) = self.etcds.linearizable(slot) else { continue };
            let Some(holder) = applied.lock else { return };
            let kept = self.supervisors[holder]
                .as_ref()
                .is_some_and(|supervisor| supervisor.lock_in == Some(cluster));
            if !kept || though_it_lives {
                if let Some(supervisor) = self.supervisors[holder].as_mut() {
                    supervisor.lock_in = None;
                }
                self.etcds.propose(slot, Change::Unlock(holder), u8::MAX);
            }
            return;
        }
    }

    /// What the caretaker beside the leader does with a learner that made no progress for five minutes.
    pub(crate) fn remove_stalled_learners(&mut self) {
        for leader in 0..self.size {
            if self.etcds.leader(leader) != Some(leader) || self.supervisors[leader].is_none() {
                continue;
            }
            let Some(applied) = self.etcds.data[leader].as_ref().map(Data::applied) else {
                continue;
            };
            for (id, member) in applied.members.iter().filter(|(_, member)| member.learner) {
                let alive = self.etcds.runs(member.slot)
                    && self.etcds.reach(leader, member.slot)
                    && self.etcds.data[member.slot].as_ref().is_some_and(|data| data.id == *id);
                if !alive {
                    self.etcds.propose(leader, Change::Remove(*id), u8::MAX);
                }
            }
        }
    }

    /// With a promise of progress only once all have started: a record lost while founding can only be waited for.
    fn lose_record(&mut self, majority_stays: bool) {
        let all_started = self.record.as_ref().is_some_and(|record| {
            (0..self.wanted).all(|slot| record.lines.get(&slot).is_some_and(|(_, started)| *started))
        });
        let somebody_has_data = self.etcds.data.iter().any(Option::is_some);
        // Members with data that are not wanted any more are known by the record alone.
        let others_have_data = self.etcds.data[self.wanted..].iter().any(Option::is_some);
        if !others_have_data && (!majority_stays && somebody_has_data || all_started) {
            self.record = None;
        }
    }

    /// All members are voters that ran, and a write succeeds.
    pub(crate) fn is_whole(&mut self) -> bool {
        let Some((cluster, applied)) = self.configuration() else { return false };
        let whole = (0..self.wanted).all(|slot| {
            self.etcds.runs(slot)
                && applied.members.iter().any(|(id, member)| {
                    member.slot == slot && !member.learner && member.started && self.holds(slot, cluster, *id)
                })
        });
        whole && applied.members.len() == self.wanted && self.write(0, u8::MAX)
    }

    /// Every acknowledged write is among what was committed, in every cluster that ever committed one.
    pub(crate) fn missing_writes(&self) -> Vec<u64> {
        let kept: BTreeSet<u64> = self
            .etcds
            .committed
            .values()
            .flatten()
            .filter_map(|entry| if let Change::Write(value) = entry.change { Some(value) } else { None })
            .collect();
        self.acknowledged.iter().copied().filter(|value| !kept.contains(value)).collect()
    }
}
