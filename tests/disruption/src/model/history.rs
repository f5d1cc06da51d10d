//! Whether all reads and writes can have happened one after the other, each at one moment between its beginning and its end
//! (linearizability), judged as they end. Refuses to keep what no later read can contradict.

mod register;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::register::{Register, Verdict};
use super::{Change, Fate, Moment, Step};

/// What became of all writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteSummary {
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Changes without a clear answer.
    pub ambiguous: u64,
    /// Of those, how many turned out to have happened.
    pub ambiguous_but_done: u64,
    /// Acknowledged changes that the read-back at the end does not show.
    pub lost: Vec<String>,
    /// Refused changes that a read shows all the same.
    pub refused_but_done: Vec<String>,
}

/// What reads showed, each object in a list being a read of its own. Each fault is told once of each object.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadSummary {
    /// How many were compared with the writes and with each other.
    pub compared: u64,
    /// Those that show less than was acknowledged before they began.
    pub stale: Vec<String>,
    /// Those that show less than another one that had ended before they began.
    pub went_back: Vec<String>,
    /// Those that show what nobody had begun to write.
    pub never_written: Vec<String>,
}

/// The reads and writes of many objects, told in the order of the moments that come with them.
///
/// Linearizability is local: a history is linearizable if that of each object is (Herlihy and Wing, 1990), so objects are judged
/// one by one, and a list is one read of each of its objects; that all are of one moment is not judged. Only reads that promise
/// it may be told: a GET without `resourceVersion`, which every kube-apiserver answers from etcd by a quorum read, and a list
/// without `resourceVersion`, which it answers from etcd or, since 1.31, from a cache that has caught up with etcd's revision of
/// then (KEP-2340). Watches and reads at a given revision may be older.
///
/// In general the question is NP-complete. Here it is not, since each object has one writer, which begins a write when the one
/// before has ended, never writes a value twice, and leaves the object for good after a deletion or a write without an answer.
/// So the order of its writes is known, each read belongs to one of them, and an object is linearizable exactly when
///
/// 1. no read shows a write that was refused, or that began after the read had ended;
/// 2. no read shows less than a write that was acknowledged before the read began;
/// 3. no read shows less than another read that had ended before it began.
///
/// They are necessary: each forbids what took effect outside its time. They are enough: put every write that was acknowledged or
/// shown into the order of its writer, and behind each the reads that show it, those first that began first. Then each read
/// shows the last write before it. And nothing stands behind what began only after it had ended: no write behind an earlier one
/// of its writer; no write behind a read that shows less (rule 2), and no read (rule 3); no read behind the write that it shows
/// or an earlier one (rule 1). A write without an answer may take effect at any time from its beginning on: it never ends, so no
/// place behind anything is wrong; where no read shows it, it never happened, and is left out. "Not there" alone is what two
/// writes leave, the deletion and the nothing before the creation; it counts as the earlier one where rules 2 and 3 allow
/// that, so that it binds no other read that could be free.
///
/// Each rule compares a read with what began or ended before the read did, so all of it can be judged when the read ends. Writes
/// older than one that was acknowledged before every read on its way began are forgotten, and objects with their acknowledged
/// deletion: what is kept grows with the objects that are there and with the writes that failed, not with the requests.
#[derive(Debug, Default)]
pub struct History {
    registers: BTreeMap<u64, Register>,
    /// When the reads that are on their way began, and how many then.
    reading: BTreeMap<Moment, usize>,
    /// The highest number of an object that anybody began to write: numbers rise, so an unknown one below is gone.
    newest: u64,
    told: BTreeSet<(u64, Fault)>,
    writes: WriteSummary,
    reads: ReadSummary,
}

/// As the summaries sort what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Lost,
    RefusedButDone,
    Stale,
    WentBack,
    NeverWritten,
}

impl History {
    /// A write is about to be sent.
    pub fn write_begun(&mut self, change: Change, at: Moment) {
        if !self.registers.contains_key(&change.object) {
            self.forget(at);
            self.newest = self.newest.max(change.object);
        }
        self.registers.entry(change.object).or_default().begin(change.step);
    }

    /// What the writer was told of the write that it began last.
    pub fn write_ended(&mut self, change: Change, fate: Fate, at: Moment) {
        let shown = self.registers.get_mut(&change.object).is_some_and(|it| it.end(change.step, fate, at));
        match fate {
            Fate::Acknowledged(_) => self.writes.acknowledged += 1,
            Fate::Ambiguous => {
                self.writes.ambiguous += 1;
                self.writes.ambiguous_but_done += u64::from(shown);
            }
            Fate::Refused if shown => self.tell(change.object, Fault::RefusedButDone, change.to_string()),
            Fate::Refused => {}
        }
        let horizon = self.horizon(at);
        if let Some(register) = self.registers.get_mut(&change.object) {
            register.forget_before(horizon);
        }
    }

    /// A read of one object or of all is about to be sent. Exactly one of the five below has to follow, with its moment.
    pub fn read_begun(&mut self, at: Moment) {
        *self.reading.entry(at).or_default() += 1;
    }

    /// The read that began then told nothing.
    pub fn read_failed(&mut self, begun: Moment) {
        self.no_longer_reads(begun);
    }

    /// The read that began then shows an object's sequence number; none: it is not there.
    pub fn read_ended(&mut self, object: u64, found: Option<u32>, begun: Moment, at: Moment) {
        self.judge(object, found, begun, at, false);
        self.no_longer_reads(begun);
    }

    /// The list that began then shows all objects that are there.
    pub fn list_ended(&mut self, found: &BTreeMap<u64, u32>, begun: Moment, at: Moment) {
        self.judge_all(found, begun, at, false);
        self.no_longer_reads(begun);
    }

    /// The list that began then, when all writes had ended, shows what is left of them.
    pub fn read_back(&mut self, found: &BTreeMap<u64, u32>, begun: Moment, at: Moment) {
        self.judge_all(found, begun, at, true);
        self.no_longer_reads(begun);
    }

    /// The read that began then shows what cannot be one of our objects; `what` says more.
    pub fn read_of_something_else(&mut self, what: String, begun: Moment) {
        self.reads.compared += 1;
        self.reads.never_written.push(what);
        self.no_longer_reads(begun);
    }

    /// What all of it comes to.
    #[must_use]
    pub fn into_summaries(self) -> (WriteSummary, ReadSummary) {
        (self.writes, self.reads)
    }

    fn judge_all(&mut self, found: &BTreeMap<u64, u32>, begun: Moment, at: Moment, is_last: bool) {
        let gone: Vec<u64> =
            self.registers.keys().filter(|object| !found.contains_key(object)).copied().collect();
        for object in gone {
            self.judge(object, None, begun, at, is_last);
        }
        for (object, sequence) in found {
            self.judge(*object, Some(*sequence), begun, at, is_last);
        }
    }

    fn judge(&mut self, object: u64, found: Option<u32>, begun: Moment, at: Moment, is_last: bool) {
        self.reads.compared += 1;
        let verdict = match self.registers.get_mut(&object) {
            Some(register) => register.read(found, begun, at),
            None if found.is_none() => return,
            None if object <= self.newest => Verdict::LessThanAcknowledged(Step::Deleted),
            None => Verdict::NeverWritten,
        };
        let shown = found.map_or("nothing".to_owned(), |sequence| format!("sequence {sequence}"));
        let (fault, text) = match verdict {
            Verdict::Right { ambiguous_but_done } => {
                self.writes.ambiguous_but_done += u64::from(ambiguous_but_done);
                return;
            }
            Verdict::Refused(step) => (Fault::RefusedButDone, Change { object, step }.to_string()),
            Verdict::LessThanAcknowledged(step) if is_last => {
                (Fault::Lost, format!("{}: {shown} is there", Change { object, step }))
            }
            Verdict::LessThanAcknowledged(step) => {
                (Fault::Stale, format!("{}: acknowledged, then {shown} read", Change { object, step }))
            }
            Verdict::LessThanRead(step) => {
                (Fault::WentBack, format!("{}: read, then {shown}", Change { object, step }))
            }
            Verdict::NeverWritten => (Fault::NeverWritten, format!("object {object}: {shown}")),
        };
        self.tell(object, fault, text);
    }

    /// Once of each object: a value that is lost is missing in every read that follows.
    fn tell(&mut self, object: u64, fault: Fault, text: String) {
        if !self.told.insert((object, fault)) {
            return;
        }
        match fault {
            Fault::Lost => &mut self.writes.lost,
            Fault::RefusedButDone => &mut self.writes.refused_but_done,
            Fault::Stale => &mut self.reads.stale,
            Fault::WentBack => &mut self.reads.went_back,
            Fault::NeverWritten => &mut self.reads.never_written,
        }
        .push(text);
    }

    fn no_longer_reads(&mut self, begun: Moment) {
        if let Some(count) = self.reading.get_mut(&begun) {
            *count -= 1;
            if *count == 0 {
                self.reading.remove(&begun);
            }
        }
    }

    /// No read that is still to end began before.
    fn horizon(&self, now: Moment) -> Moment {
        self.reading.keys().next().copied().unwrap_or(now)
    }

    fn forget(&mut self, now: Moment) {
        let horizon = self.horizon(now);
        self.registers.retain(|_, register| {
            register.forget_before(horizon);
            !register.is_gone_for_good()
        });
    }
}

#[cfg(test)]
mod tests;
