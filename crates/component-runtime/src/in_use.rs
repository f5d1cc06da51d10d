//! What a process has in use of keys and CAs, looked at ever and again. Refuses to say how that is known: keys and CAs do.

use std::time::Duration;

use health_endpoints::StatusBoard;

use crate::authorities_in_use::AuthoritiesInUse;
use crate::keys_in_use::KeysInUse;
use crate::{Needs, Paths};

/// A rotation takes minutes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is in use of keys and CAs.
#[derive(Debug)]
pub(crate) struct InUse {
    keys: KeysInUse,
    authorities: AuthoritiesInUse,
    board: StatusBoard,
}

impl InUse {
    /// Of a supervisor with a child.
    pub(crate) fn of_a_child(needs: &Needs, paths: &Paths, board: &StatusBoard) -> Self {
        Self {
            keys: KeysInUse::new(needs.shared_keys, paths.clone(), board.clone()),
            authorities: AuthoritiesInUse::new(needs, paths.clone(), board.clone()),
            board: board.clone(),
        }
    }

    /// Of a service without a child: it is started with no keys.
    pub(crate) fn of_a_service(needs: &Needs, paths: &Paths, board: &StatusBoard) -> Self {
        Self {
            keys: KeysInUse::new(&[], paths.clone(), board.clone()),
            authorities: AuthoritiesInUse::of_a_service(needs, paths.clone(), board.clone()),
            board: board.clone(),
        }
    }

    /// A child is started next, and none runs: what lies on disk now, or something later, is what it will use.
    pub(crate) fn child_starts(&self) {
        self.keys.child_starts();
        self.authorities.child_starts();
    }

    /// Looks ever and again, also while no child runs: then what lies on disk is what the next one will use.
    pub(crate) async fn follow(&self) {
        loop {
            if self.board.document().pid.is_none() {
                self.child_starts();
            } else {
                self.keys.look();
                self.authorities.look();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
