//! A model of etcd: logs, votes, commits and changes of members with etcd's own checks (3.7: server/etcdserver).
//! Atomic where etcd is; what etcd may interrupt is several calls. Refuses time: elections and replication are events.

use std::collections::{BTreeMap, BTreeSet};

use etcd_membership::quorum::quorum;

/// Position of a member in the list of wanted members.
pub(crate) type Slot = usize;
/// A member's id.
pub(crate) type Id = u64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Found(Id, Slot),
    AddLearner(Id, Slot),
    Promote(Id),
    Remove(Id),
    Publish(Id),
    Lock(Slot),
    Unlock(Slot),
    Write(u64),
    Nothing,
}

impl Change {
    fn is_configuration(&self) -> bool {
        matches!(self, Self::AddLearner(..) | Self::Promote(_) | Self::Remove(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) term: u32,
    pub(crate) change: Change,
}

/// What a member keeps in its data directory.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) cluster: u64,
    pub(crate) id: Id,
    pub(crate) term: u32,
    pub(crate) entries: Vec<Entry>,
    pub(crate) commit: usize,
    pub(crate) corrupt: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) slot: Slot,
    pub(crate) learner: bool,
    pub(crate) named: bool,
    pub(crate) started: bool,
}

/// What the applied entries add up to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Applied {
    pub(crate) members: BTreeMap<Id, Listed>,
    pub(crate) removed: BTreeSet<Id>,
    pub(crate) lock: Option<Slot>,
}

impl Applied {
    pub(crate) fn voters(&self) -> impl Iterator<Item = (&Id, &Listed)> {
        self.members.iter().filter(|(_, member)| !member.learner)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Found(id, slot) => {
                self.members.insert(*id, Listed { slot: *slot, learner: false, named: true, started: false });
            }
            Change::AddLearner(id, slot) => {
                self.members.insert(*id, Listed { slot: *slot, learner: true, named: false, started: false });
            }
            Change::Promote(id) => {
                if let Some(member) = self.members.get_mut(id) {
                    member.learner = false;
                }
            }
            Change::Remove(id) => {
                self.members.remove(id);
                self.removed.insert(*id);
            }
            Change::Publish(id) => {
                if let Some(member) = self.members.get_mut(id) {
                    (member.named, member.started) = (true, true);
                }
            }
            Change::Lock(slot) => self.lock = Some(*slot),
            Change::Unlock(slot) => self.lock = self.lock.filter(|holder| holder != slot),
            Change::Write(_) | Change::Nothing => {}
        }
    }
}

impl Data {
    pub(crate) fn founding(cluster: u64, id: Id, founders: &[(Id, Slot)]) -> Self {
        let entries: Vec<Entry> =
            founders.iter().map(|(id, slot)| Entry { term: 1, change: Change::Found(*id, *slot) }).collect();
        Self { cluster, id, term: 1, commit: entries.len(), entries, corrupt: false }
    }

    pub(crate) fn joining(cluster: u64, id: Id) -> Self {
        Self { cluster, id, term: 0, entries: Vec::new(), commit: 0, corrupt: false }
    }

    pub(crate) fn applied(&self) -> Applied {
        applied(&self.entries[..self.commit])
    }

    fn last(&self) -> (u32, usize) {
        (self.entries.last().map_or(0, |entry| entry.term), self.entries.len())
    }
}

pub(crate) fn applied(entries: &[Entry]) -> Applied {
    let mut applied = Applied::default();
    for entry in entries {
        applied.apply(&entry.change);
    }
    applied
}

/// A running child.
#[derive(Debug, Clone, Default)]
pub(crate) struct Process {
    /// Term in which it leads, and what it believes each member to have.
    pub(crate) leads: Option<(u32, BTreeMap<Id, usize>)>,
}

/// All members' data and children, and who reaches whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Etcds {
    pub(crate) data: Vec<Option<Data>>,
    pub(crate) processes: Vec<Option<Process>>,
    /// Members with equal numbers reach each other.
    pub(crate) partition: Vec<u8>,
    /// Whatever was committed, per cluster: the truth that no member may contradict.
    pub(crate) committed: BTreeMap<u64, Vec<Entry>>,
    /// A broken invariant, told once.
    pub(crate) violation: Option<String>,
    next_id: u64,
}

impl Etcds {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            data: vec![None; size],
            processes: vec![None; size],
            partition: vec![0; size],
            next_id: 1_000_000,
            ..Self::default()
        }
    }

    pub(crate) fn reach(&self, a: Slot, b: Slot) -> bool {
        self.partition[a] == self.partition[b]
    }

    pub(crate) fn runs(&self, slot: Slot) -> bool {
        self.processes[slot].is_some()
    }

    fn data(&self, slot: Slot) -> Option<&Data> {
        self.data[slot].as_ref().filter(|_| self.runs(slot))
    }

    /// The running member with this id that `from` reaches.
    fn peer(&self, from: Slot, cluster: u64, id: Id) -> Option<Slot> {
        (0..self.data.len()).find(|slot| {
            self.reach(from, *slot)
                && self.data(*slot).is_some_and(|data| data.cluster == cluster && data.id == id)
        })
    }

    pub(crate) fn kill(&mut self, slot: Slot) {
        self.processes[slot] = None;
    }

    /// A candidate asks for votes; raft's election restriction and one vote per term.
    pub(crate) fn elect(&mut self, candidate: Slot) {
        let Some(mine) = self.data(candidate).cloned() else { return };
        let applied = mine.applied();
        if applied.members.get(&mine.id).is_none_or(|me| me.learner) {
            return;
        }
        let voters: Vec<Id> = applied.voters().map(|(id, _)| *id).collect();
        let reached: Vec<Slot> =
            voters.iter().filter_map(|id| self.peer(candidate, mine.cluster, *id)).collect();
        let term =
            1 + reached.iter().filter_map(|slot| self.data(*slot)).map(|data| data.term).max().unwrap_or(0);
        let mut granted = 0;
        for slot in reached {
            let Some(theirs) = self.data[slot].as_mut() else { continue };
            if theirs.term < term && mine.last() >= theirs.last() {
                theirs.term = term;
                granted += 1;
            }
        }
        if granted >= quorum(voters.len()) {
            let length = mine.entries.len();
            if let Some(process) = self.processes[candidate].as_mut() {
                process.leads = Some((term, BTreeMap::from([(mine.id, length)])));
            }
            self.append(candidate, Change::Nothing);
        }
    }

    fn append(&mut self, leader: Slot, change: Change) {
        let Some((term, matches)) =
            self.processes[leader].as_mut().and_then(|process| process.leads.as_mut())
        else {
            return;
        };
        let Some(data) = self.data[leader].as_mut() else { return };
        data.entries.push(Entry { term: *term, change });
        matches.insert(data.id, data.entries.len());
    }

    /// The leader sends its log to the members in `to` that it reaches, then commits what a majority has.
    pub(crate) fn replicate(&mut self, leader: Slot, to: u8) {
        let (Some(mine), Some((term, _))) = (
            self.data(leader).cloned(),
            self.processes[leader].as_ref().and_then(|process| process.leads.clone()),
        ) else {
            return;
        };
        if mine.term > term {
            self.step_down(leader);
            return;
        }
        for id in mine.applied().members.keys().filter(|id| **id != mine.id) {
            let Some(slot) = self.peer(leader, mine.cluster, *id).filter(|slot| to >> slot & 1 == 1) else {
                continue;
            };
            self.send(leader, &mine, term, slot, *id);
        }
        self.advance_commit(leader);
        self.tell_commit(leader, to);
        self.check(leader);
    }

    fn send(&mut self, leader: Slot, mine: &Data, term: u32, slot: Slot, id: Id) {
        let Some(theirs) = self.data[slot].as_mut() else { return };
        if theirs.term > term {
            if let Some(data) = self.data[leader].as_mut() {
                data.term = data.term.max(term);
            }
            self.step_down(leader);
            return;
        }
        let known = self.processes[leader]
            .as_ref()
            .and_then(|process| process.leads.as_ref())
            .and_then(|(_, matches)| matches.get(&id).copied())
            .unwrap_or(0);
        if theirs.entries.len() < known {
            // "tocommit(n) is out of range [lastIndex(m)]. Was the raft log corrupted, truncated, or lost?"
            self.violation
                .get_or_insert(format!("member {slot} panics: its log is shorter than what it acknowledged"));
            return;
        }
        let common = theirs.entries.iter().zip(&mine.entries).take_while(|(a, b)| a == b).count();
        if common < theirs.commit {
            self.violation.get_or_insert(format!("member {slot} must forget committed entries"));
        }
        theirs.term = term;
        theirs.entries.clone_from(&mine.entries);
        self.step_down(slot);
        let length = mine.entries.len();
        if let Some((_, matches)) = self.processes[leader].as_mut().and_then(|process| process.leads.as_mut())
        {
            matches.insert(id, length);
        }
    }

    fn step_down(&mut self, slot: Slot) {
        if let Some(process) = self.processes[slot].as_mut() {
            process.leads = None;
        }
    }

    /// One entry at a time: a change of members counts from the moment it is applied.
    fn advance_commit(&mut self, leader: Slot) {
        let Some((term, matches)) = self.processes[leader].as_ref().and_then(|process| process.leads.clone())
        else {
            return;
        };
        let Some(data) = self.data[leader].as_mut() else { return };
        // Earlier terms' entries commit only together with one of the own term.
        while let Some(next) =
            (data.commit + 1..=data.entries.len()).find(|end| data.entries[end - 1].term == term)
        {
            let applied = data.applied();
            let voters: Vec<Id> = applied.voters().map(|(id, _)| *id).collect();
            let have =
                voters.iter().filter(|id| matches.get(id).is_some_and(|length| *length >= next)).count();
            if have < quorum(voters.len()) {
                return;
            }
            let first_change =
                (data.commit + 1..next).find(|end| data.entries[end - 1].change.is_configuration());
            data.commit = first_change.unwrap_or(next);
        }
    }

    fn tell_commit(&mut self, leader: Slot, to: u8) {
        let Some(mine) = self.data(leader).cloned() else { return };
        // A removed member is told of its removal as well: its entry is gone, its log still gets the commit index.
        for slot in 0..self.data.len() {
            if to >> slot & 1 == 0 || !self.reach(leader, slot) || !self.runs(slot) {
                continue;
            }
            if let Some(theirs) = self.data[slot].as_mut().filter(|theirs| theirs.cluster == mine.cluster)
                && theirs.entries.len() >= mine.commit
                && theirs.entries[..mine.commit] == mine.entries[..mine.commit]
            {
                theirs.commit = theirs.commit.max(mine.commit);
            }
        }
    }

    fn check(&mut self, leader: Slot) {
        let Some(mine) = self.data(leader) else { return };
        let now = mine.entries[..mine.commit].to_vec();
        let truth = self.committed.entry(mine.cluster).or_default();
        let common = truth.len().min(now.len());
        if truth[..common] != now[..common] {
            self.violation.get_or_insert(format!("leader {leader} contradicts what was committed"));
        } else if now.len() > truth.len() {
            *truth = now;
        }
    }

    /// The leader that `from` can use, with a majority behind it; elections happen as needed.
    pub(crate) fn leader(&mut self, from: Slot) -> Option<Slot> {
        self.data(from)?;
        for attempt in 0..=self.data.len() {
            if let Some(leader) = self.working_leader(from) {
                return Some(leader);
            }
            if attempt < self.data.len() && self.reach(from, attempt) {
                self.elect(attempt);
            }
        }
        None
    }

    fn working_leader(&mut self, from: Slot) -> Option<Slot> {
        let cluster = self.data(from)?.cluster;
        let id = self.data(from)?.id;
        let candidates: Vec<Slot> = (0..self.data.len())
            .filter(|slot| self.reach(from, *slot))
            .filter(|slot| self.data(*slot).is_some_and(|data| data.cluster == cluster))
            .filter(|slot| self.processes[*slot].as_ref().is_some_and(|process| process.leads.is_some()))
            .collect();
        for leader in candidates {
            self.replicate(leader, u8::MAX);
            let Some(data) = self.data(leader) else { continue };
            let up_to_date = data.commit == data.entries.len();
            let knows_asker = from == leader || data.applied().members.contains_key(&id);
            let term = data.term;
            let voters: Vec<Id> = data.applied().voters().map(|(id, _)| *id).collect();
            let confirmed = voters
                .iter()
                .filter_map(|id| self.peer(leader, cluster, *id))
                .filter(|slot| self.data(*slot).is_some_and(|theirs| theirs.term == term))
                .count()
                >= quorum(voters.len());
            let still_leads =
                confirmed && self.processes[leader].as_ref().is_some_and(|process| process.leads.is_some());
            if still_leads && up_to_date && knows_asker && data.applied().members.contains_key(&data.id) {
                return Some(leader);
            }
        }
        None
    }

    /// A linearizable look through `from`; learners refuse such reads.
    pub(crate) fn linearizable(&mut self, from: Slot) -> Option<(u64, Applied)> {
        let leader = self.leader(from)?;
        let data = self.data(leader)?;
        let applied = data.applied();
        let mine = self.data(from)?.id;
        applied.members.get(&mine).filter(|member| !member.learner)?;
        Some((data.cluster, applied))
    }

    /// A request through `from`, replicated to `to` only. True: it is committed. False: refused, or nobody knows.
    pub(crate) fn propose(&mut self, from: Slot, change: Change, to: u8) -> bool {
        let Some(leader) = self.leader(from) else { return false };
        if !self.permits(leader, &change) {
            return false;
        }
        let Some(before) = self.data(leader).map(|data| data.entries.len()) else { return false };
        self.append(leader, change);
        self.replicate(leader, to | 1 << leader);
        self.data(leader).is_some_and(|data| data.commit > before)
    }

    /// mayAddMember, mayRemoveMember, mayPromoteMember and the checks when a change is applied.
    fn permits(&self, leader: Slot, change: &Change) -> bool {
        let Some(data) = self.data(leader) else { return false };
        let applied = data.applied();
        let pending = data.entries[data.commit..].iter().any(|entry| entry.change.is_configuration());
        let connected =
            applied.voters().filter(|(id, _)| self.peer(leader, data.cluster, **id).is_some()).count();
        let named = |without: Option<Id>| {
            applied.voters().filter(|(id, member)| member.named && Some(**id) != without).count()
        };
        let voters = applied.voters().count();
        if pending && change.is_configuration() {
            return false;
        }
        match change {
            Change::AddLearner(_, slot) => {
                let learners = applied.members.len() - voters;
                let taken = applied.members.values().any(|member| member.slot == *slot);
                learners == 0 && !taken && (voters == 1 || connected >= quorum(voters + 1))
            }
            Change::Promote(id) => {
                let Some(member) = applied.members.get(id) else { return false };
                let caught_up = self
                    .peer(leader, data.cluster, *id)
                    .and_then(|slot| self.data(slot))
                    .is_some_and(|learner| learner.entries.len() * 10 >= data.entries.len() * 9);
                member.learner && caught_up && named(None) + 1 >= quorum(voters + 1)
            }
            Change::Remove(id) => match applied.members.get(id) {
                None => false,
                Some(member) if member.learner => true,
                Some(_) => {
                    let enough = voters > 1 && named(Some(*id)) >= quorum(voters - 1);
                    let active = self.peer(leader, data.cluster, *id).is_some();
                    enough && (!active || connected > quorum(voters - 1))
                }
            },
            Change::Lock(slot) => applied.lock.is_none_or(|holder| holder == *slot),
            _ => true,
        }
    }

    pub(crate) fn fresh_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }
}
