//! How defragmentation is told: who is next and what is waited for. Stays the same while nothing changes, so that a line in
//! the log is a change. Refuses decisions.

use std::time::Duration;

use super::{DISK_RESERVE, DatabaseSpace, MIB, MemberSpace, SpaceView};
use crate::MemberId;

pub(super) fn running(view: &SpaceView, id: MemberId) -> String {
    let name = view.members.iter().find(|member| member.id == id).map(|member| member.name.clone());
    format!("{} is being defragmented", name.unwrap_or_else(|| id.to_string()))
}

pub(super) fn next(name: &str, leads: bool, calm: Duration) -> String {
    let last = if leads { ", the leader and the last" } else { "" };
    format!("next {name}{last}; goes once all have served for {} s", calm.as_secs())
}

pub(super) fn awaits(name: &str, awaits: &str) -> String {
    format!("next {name}, waits for {awaits}")
}

pub(super) fn no_room(member: &MemberSpace, database: DatabaseSpace) -> String {
    let name = &member.name;
    if member.disk_free_bytes.is_none() {
        return format!("next {name}, waits for its supervisor to say how much its disk has free");
    }
    // Rounded up, or it would change with every write.
    let needed = (database.used_bytes + DISK_RESERVE).div_ceil(DISK_RESERVE) * DISK_RESERVE;
    format!(
        "{name} needs it, but its disk has less than {} MiB free for the new file beside the old one: enlarge the volume",
        needed / MIB
    )
}

pub(super) fn paused<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    format!("{} will be done again later: the last time was not long ago", names.join(", "))
}
