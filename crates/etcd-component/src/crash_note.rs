//! How the child ended lately, written beside the data: five crashes end the supervisor, and the next one must know.
//! Refuses to be a log: counts since the last good moment only.

use std::time::Duration;

use etcd_membership::Crashes;
use serde::{Deserialize, Serialize};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CrashNote {
    /// Endings since the member last served.
    pub(crate) count: u32,
    /// Seconds since 1970 of the last one.
    pub(crate) last: i64,
    /// Whether data that etcd rejected was set aside since the member last served.
    pub(crate) data_was_set_aside: bool,
}

impl CrashNote {
    pub(crate) fn one_more(self, now: i64) -> Self {
        Self { count: self.count.saturating_add(1), last: now, ..self }
    }

    pub(crate) fn data_set_aside(self, rejected: bool) -> Self {
        Self { count: 0, last: self.last, data_was_set_aside: self.data_was_set_aside || rejected }
    }

    /// As the planner sees it. A note from the future (a clock that was set back) counts as long ago.
    pub(crate) fn seen_at(self, now: i64) -> Crashes {
        let since = u64::try_from(now.saturating_sub(self.last)).map_or(Duration::MAX, Duration::from_secs);
        Crashes { count: self.count, since_last: since, data_was_set_aside: self.data_was_set_aside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_add_up_until_data_is_set_aside_or_the_member_serves() {
        let note = CrashNote::default().one_more(100).one_more(110);
        assert_eq!(
            note.seen_at(115),
            Crashes { count: 2, since_last: Duration::from_secs(5), data_was_set_aside: false }
        );
        assert_eq!(note.seen_at(50).since_last, Duration::MAX);
        let after = note.data_set_aside(true);
        assert_eq!((after.count, after.data_was_set_aside), (0, true));
        assert!(after.one_more(120).data_set_aside(false).data_was_set_aside);
        let read: CrashNote = serde_json::from_str("{}").unwrap();
        assert_eq!(read, CrashNote::default());
    }
}
