//! One object: its one writer's writes in order, and what each read of it may show. The rules, and why they are enough, are told
//! at `History`.

use std::collections::VecDeque;

use crate::model::{Fate, Moment, Step};

/// What a read is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may show that. Perhaps it is the first to tell that a write without an answer was done.
    Right { ambiguous_but_done: bool },
    /// It shows this write, which was refused.
    Refused(Step),
    /// It shows less than this write, which was acknowledged before the read began.
    LessThanAcknowledged(Step),
    /// It shows less than this write, which was read before the read began.
    LessThanRead(Step),
    /// It shows what nobody has begun to write.
    NeverWritten,
}

#[derive(Debug)]
struct Write {
    step: Step,
    /// None while it is on its way.
    fate: Option<Fate>,
    /// When its writer was told that it was done.
    acknowledged: Option<Moment>,
    /// When the first read ended that showed it.
    read: Option<Moment>,
}

/// The writes of one object that a read may still show, in order. Before the first of all it is not there.
#[derive(Debug, Default)]
pub(super) struct Register {
    writes: VecDeque<Write>,
}

impl Register {
    /// The next write.
    pub(super) fn begin(&mut self, step: Step) {
        self.writes.push_back(Write { step, fate: None, acknowledged: None, read: None });
    }

    /// The fate of the last write; gives whether a read has shown it.
    pub(super) fn end(&mut self, step: Step, fate: Fate, at: Moment) -> bool {
        let Some(write) = self.writes.back_mut().filter(|write| write.step == step) else { return false };
        write.fate = Some(fate);
        write.acknowledged = matches!(fate, Fate::Acknowledged(_)).then_some(at);
        write.read.is_some()
    }

    /// A read from `begun` to `at` shows the sequence number `found`, or that nothing is there.
    pub(super) fn read(&mut self, found: Option<u32>, begun: Moment, at: Moment) -> Verdict {
        let acknowledged = self.last(begun, |write| write.acknowledged);
        let read = self.last(begun, |write| write.read);
        let index = match self.writes.iter().position(|write| write.step.state() == found) {
            // It was there at no time that matters: this is the nothing before its creation.
            Some(_) if found.is_none() && acknowledged.is_none() && read.is_none() => None,
            None if found.is_some_and(|sequence| !self.has_forgotten(sequence)) => {
                return Verdict::NeverWritten;
            }
            index => index,
        };
        if let Some(index) = index
            && self.writes[index].fate == Some(Fate::Refused)
        {
            return Verdict::Refused(self.writes[index].step);
        }
        // What came before all that is known is less than anything that is.
        match (acknowledged, read) {
            (Some(least), _) if index < Some(least) => Verdict::LessThanAcknowledged(self.writes[least].step),
            (_, Some(least)) if index < Some(least) => Verdict::LessThanRead(self.writes[least].step),
            _ => Verdict::Right { ambiguous_but_done: index.is_some_and(|index| self.show(index, at)) },
        }
    }

    /// Forgets what no read may show that began at `horizon` or later.
    pub(super) fn forget_before(&mut self, horizon: Moment) {
        let acknowledged = self.last(horizon, |write| write.acknowledged);
        self.writes.drain(..acknowledged.unwrap_or(0));
    }

    /// Whether nothing but its deletion is left to be shown.
    pub(super) fn is_gone_for_good(&self) -> bool {
        self.writes.front().is_some_and(|write| write.step == Step::Deleted)
    }

    /// How many writes are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// The last write of which something is known since before that moment.
    fn last(&self, moment: Moment, known: impl Fn(&Write) -> Option<Moment>) -> Option<usize> {
        self.writes.iter().rposition(|write| known(write).is_some_and(|since| since < moment))
    }

    /// Whether it is older than all that is kept.
    fn has_forgotten(&self, sequence: u32) -> bool {
        let first = self.writes.front().map(|write| write.step);
        sequence > 0 && first.is_some_and(|first| Step::Put(sequence) < first)
    }

    /// Gives whether that is the first that is known of a write without an answer.
    fn show(&mut self, index: usize, at: Moment) -> bool {
        let write = &mut self.writes[index];
        let first = write.read.is_none();
        write.read.get_or_insert(at);
        first && write.fate == Some(Fate::Ambiguous)
    }
}
