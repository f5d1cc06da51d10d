//! What a writer did and what it was told.

use super::{Change, Moment};

/// What a writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It happened; the revision where the answer named one (deletions do not).
    Acknowledged(Option<u64>),
    /// Nobody knows: no answer, a broken connection, a server error.
    Ambiguous,
    /// It was refused, or never sent.
    Refused,
}

/// One attempt of one change. The attempts at one object are in the order in which they were made, by one writer.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// What was wanted.
    pub change: Change,
    /// When it was begun.
    pub begun: Moment,
    /// When its fate was known.
    pub ended: Moment,
    /// What the writer was told.
    pub fate: Fate,
}
