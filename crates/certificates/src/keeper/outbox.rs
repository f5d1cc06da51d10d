//! Changes on their way to whoever acts on them.
//! Refuses to hold the keeper up, and to lose a restart.

use health_endpoints::ReloadBehaviour;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::{Change, Changed};

/// Changes on their way to whoever acts on them.
pub(super) struct Outbox {
    changes: mpsc::Sender<Change>,
    waiting: Vec<Change>,
}

impl Outbox {
    pub(super) fn new(changes: mpsc::Sender<Change>) -> Self {
        Self { changes, waiting: Vec::new() }
    }

    pub(super) fn put(&mut self, what: Changed, reload: ReloadBehaviour, restart_by: Option<OffsetDateTime>) {
        // The earlier of two deadlines holds: the child still has the older file.
        let earlier = self.waiting.iter().position(|change| change.what == what);
        let earlier = earlier.and_then(|position| self.waiting.remove(position).restart_by);
        self.waiting.push(Change { what, reload, restart_by: earlier.or(restart_by) });
        self.deliver();
    }

    pub(super) fn deliver(&mut self) {
        // A closed channel means that the supervisor is ending.
        self.waiting.retain(|change| {
            matches!(self.changes.try_send(change.clone()), Err(mpsc::error::TrySendError::Full(_)))
                && change.reload == ReloadBehaviour::NeedsRestart
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Profile};

    #[test]
    fn a_full_channel_loses_no_restart() {
        let (changes, mut receiver) = mpsc::channel(1);
        let mut outbox = Outbox::new(changes);
        let soon = OffsetDateTime::UNIX_EPOCH;
        outbox.put(Changed::Leaf(Profile::EtcdServer), ReloadBehaviour::Reloads, None);
        outbox.put(Changed::Leaf(Profile::EtcdPeer), ReloadBehaviour::Reloads, None);
        outbox.put(Changed::Bundle(Authority::Etcd), ReloadBehaviour::NeedsRestart, Some(soon));
        outbox.put(Changed::Bundle(Authority::Etcd), ReloadBehaviour::NeedsRestart, None);
        assert_eq!(receiver.try_recv().unwrap().what, Changed::Leaf(Profile::EtcdServer));
        outbox.deliver();
        let restart = receiver.try_recv().unwrap();
        assert_eq!((restart.what, restart.restart_by), (Changed::Bundle(Authority::Etcd), Some(soon)));
        outbox.deliver();
        assert!(receiver.try_recv().is_err());
    }
}
