//! Which kind of turns the replicas of this component take when they restart: none, a lock file, a Lease.
//! Refuses rules of its own: those are in the kinds.

use std::time::Duration;

use certificates::{FileTurns, Turns};

use crate::restart_lease::{LeaseTurn, LeaseTurns};

/// How the replicas take turns.
pub(crate) enum RestartTurns {
    /// Not at all.
    None,
    /// By a lock file.
    File(FileTurns),
    /// By a Lease.
    Lease(Box<LeaseTurns>),
}

/// The turn.
pub(crate) enum RestartTurn {
    /// Nobody else wants it.
    None,
    /// Given back when dropped.
    File(#[expect(dead_code, reason = "held for its release on drop")] <FileTurns as Turns>::Turn),
    /// Given back by a word to the API.
    Lease(Box<LeaseTurn>),
}

impl RestartTurn {
    pub(crate) async fn give_back(self) {
        match self {
            Self::Lease(turn) => turn.give_back().await,
            Self::None | Self::File(_) => {}
        }
    }
}

impl Turns for RestartTurns {
    type Turn = RestartTurn;

    fn described(&self) -> String {
        match self {
            Self::None => "free for everybody".to_owned(),
            Self::File(turns) => turns.described(),
            Self::Lease(turns) => turns.described(),
        }
    }

    fn patience(&self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::File(turns) => turns.patience(),
            Self::Lease(turns) => turns.patience(),
        }
    }

    async fn try_take(&mut self) -> Result<RestartTurn, String> {
        match self {
            Self::None => Ok(RestartTurn::None),
            Self::File(turns) => turns.try_take().await.map(RestartTurn::File),
            Self::Lease(turns) => turns.try_take().await.map(Box::new).map(RestartTurn::Lease),
        }
    }
}
