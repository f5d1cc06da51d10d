//! Changes of numbered objects: what a writer does, what a watch must show once, what a read-back must find.

/// What a change makes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// It exists with this sequence number; 1 creates it.
    Put(u32),
    /// It is gone, for good: names are never used again.
    Deleted,
}

/// One change of one object. No two changes of a run are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// The object's number, unique in a run.
    pub object: u64,
    /// What becomes of it.
    pub step: Step,
}

impl Step {
    /// The sequence number that the object has afterwards; none when it is gone.
    #[must_use]
    pub fn state(self) -> Option<u32> {
        match self {
            Self::Put(sequence) => Some(sequence),
            Self::Deleted => None,
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.step {
            Step::Put(sequence) => write!(formatter, "object {} sequence {sequence}", self.object),
            Step::Deleted => write!(formatter, "object {} deleted", self.object),
        }
    }
}
