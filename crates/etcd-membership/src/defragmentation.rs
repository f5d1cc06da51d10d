//! Which member's database file is rewritten next, and when: one at a time, only while all members serve and nothing else
//! goes on, the leader last, and not again and again where the space is taken again at once. Pure: the view and the time
//! are arguments. Refuses to rewrite what gains little, and where the disk could not hold both files.

mod wording;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::MemberId;

/// Half of the file is free: etcd's own alert `etcdDatabaseHighFragmentationRatio` (contrib/mixin of etcd) asks people to
/// defragment then; `OpenShift`'s cluster-etcd-operator does it at 45 %.
pub const USUAL_FREE_PERCENT: u8 = 50;
/// Smaller gains are not worth a member's pause; both of the above have a floor of 100 MiB, too.
pub const USUAL_FREE_BYTES: u64 = 100 * MIB;
/// So long all members must have served, before the first and between two. A member's clients wait while it is rewritten;
/// cluster-etcd-operator leaves 36 s between two.
pub const USUAL_CALM: Duration = Duration::from_secs(30);
/// From this share of the quota on less is worth it: etcd compares the file's size with the quota, whatever is free in it.
pub const NEAR_QUOTA_PERCENT: u64 = 80;
/// Near the quota this share of the file must be free.
pub const NEAR_QUOTA_FREE_PERCENT: u64 = 10;
/// Beside the new file a disk must have room for the next segment of etcd's log (64 MB), or etcd dies of it.
pub const DISK_RESERVE: u64 = 100 * MIB;
/// The shortest calm. A supervisor whose member lost its leadership may still have an order under way, behind two looks at its
/// member of 2 s each; the next leader's supervisor begins to count only when it leads, so it never gives one beside it.
pub const LEAST_CALM: Duration = Duration::from_secs(6);
const MIB: u64 = 1024 * 1024;

/// What is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefragmentationPolicy {
    /// At least this share of a file must be free, in percent.
    pub free_percent: u8,
    /// And at least so many bytes.
    pub free_bytes: u64,
    /// How long all members must have served before each.
    pub calm: Duration,
}

impl Default for DefragmentationPolicy {
    fn default() -> Self {
        Self { free_percent: USUAL_FREE_PERCENT, free_bytes: USUAL_FREE_BYTES, calm: USUAL_CALM }
    }
}

/// What the leading member's supervisor sees in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceView {
    /// The member beside me, which leads.
    pub me: MemberId,
    /// Every listed member, myself among them.
    pub members: Vec<MemberSpace>,
    /// What else goes on or is amiss, as something to wait for.
    pub awaits: Option<String>,
}

/// A member and its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpace {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Whether it is a started voter.
    pub votes: bool,
    /// Whether it answers a linearizable read.
    pub serves: bool,
    /// What it says of its database; none without an answer.
    pub database: Option<DatabaseSpace>,
    /// Bytes that its disk has free, as its supervisor says.
    pub disk_free_bytes: Option<u64>,
}

/// A database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseSpace {
    /// Its size.
    pub file_bytes: u64,
    /// What of it is in use.
    pub used_bytes: u64,
    /// The size at which etcd takes no more writes.
    pub quota_bytes: Option<u64>,
}

/// Why a member needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Much of the file is free.
    Free,
    /// The file is near its quota, and some of it is free.
    Quota,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defragmentation {
    /// Who needs it, and what is waited for; none when nobody does.
    pub told: Option<String>,
    /// Rewrite this member's file now. [`Defragmenter::ended`] or [`Defragmenter::not_begun`] must follow.
    pub member: Option<MemberId>,
}

/// Remembers when each member was last done. [`Defragmenter::rest`] whenever the member beside does not lead.
#[derive(Debug)]
pub struct Defragmenter {
    policy: DefragmentationPolicy,
    /// Since when nothing was in the way.
    calm_since: Option<Duration>,
    /// Who is being rewritten, and why.
    running: Option<(MemberId, Need)>,
    past: BTreeMap<MemberId, Past>,
}

/// The last time.
#[derive(Debug, Clone, Copy)]
struct Past {
    ended: Duration,
    /// How many before it followed each other soon.
    streak: u32,
}

impl Defragmenter {
    /// Nobody was done yet.
    #[must_use]
    pub fn new(policy: DefragmentationPolicy) -> Self {
        Self { policy, calm_since: None, running: None, past: BTreeMap::new() }
    }

    /// Somebody else decides. Whoever begins to lead again begins with calm.
    pub fn rest(&mut self) {
        self.calm_since = None;
    }

    /// Whether anybody of these needs it and may be done now, so that the rest is worth asking for.
    #[must_use]
    pub fn wants(&self, view: &SpaceView, now: Duration) -> bool {
        self.needy(view).any(|(member, need)| self.is_due(member.id, need, now))
    }

    /// What to do now; `now` is any clock that only goes forward.
    pub fn look(&mut self, view: &SpaceView, now: Duration) -> Defragmentation {
        let nothing = |told| Defragmentation { told, member: None };
        self.past.retain(|id, _| view.members.iter().any(|member| member.id == *id));
        if let Some((running, _)) = self.running {
            self.calm_since = None;
            return nothing(Some(wording::running(view, running)));
        }
        let needy: Vec<(&MemberSpace, DatabaseSpace, Need)> =
            self.needy(view).filter_map(|(member, need)| Some((member, member.database?, need))).collect();
        if needy.is_empty() {
            self.calm_since = None;
            return nothing(None);
        }
        let due: Vec<_> =
            needy.iter().copied().filter(|(member, _, need)| self.is_due(member.id, *need, now)).collect();
        if due.is_empty() {
            self.calm_since = None;
            return nothing(Some(wording::paused(needy.iter().map(|(member, ..)| member.name.as_str()))));
        }
        let fits = |(member, database, _): &(&MemberSpace, DatabaseSpace, Need)| {
            member.disk_free_bytes.is_some_and(|free| room(free, *database))
        };
        // Its followers first, the one that gains most before the others; then the leader itself.
        let next = due
            .iter()
            .filter(|due| fits(due))
            .max_by_key(|(member, database, _)| {
                (member.id != view.me, database.free_bytes(), std::cmp::Reverse(&member.name))
            })
            .copied();
        if let Some(awaits) = hindrance(view) {
            self.calm_since = None;
            let name = next.map_or(&due[0].0.name, |(member, ..)| &member.name);
            return nothing(Some(wording::awaits(name, &awaits)));
        }
        let Some((member, _, need)) = next else {
            self.calm_since = None;
            return nothing(Some(wording::no_room(due[0].0, due[0].1)));
        };
        let since = *self.calm_since.get_or_insert(now);
        let told = Some(wording::next(&member.name, member.id == view.me, self.policy.calm));
        if now.saturating_sub(since) < self.policy.calm {
            return nothing(told);
        }
        self.calm_since = None;
        self.running = Some((member.id, need));
        Defragmentation { told, member: Some(member.id) }
    }

    /// The one that was to be done was not begun after all.
    pub fn not_begun(&mut self) {
        self.running = None;
    }

    /// The one that was begun is over, whether it helped or failed.
    pub fn ended(&mut self, now: Duration) {
        let Some((member, need)) = self.running.take() else { return };
        let before = self.past.get(&member).copied();
        let soon = |past: Past| now.saturating_sub(past.ended) < 2 * pause(need, past.streak);
        let streak = before.filter(|past| soon(*past)).map_or(0, |past| past.streak.saturating_add(1));
        self.past.insert(member, Past { ended: now, streak });
    }

    fn needy<'a>(&self, view: &'a SpaceView) -> impl Iterator<Item = (&'a MemberSpace, Need)> + use<'a> {
        let policy = self.policy;
        let alone = view.members.len() == 1;
        view.members.iter().filter_map(move |member| {
            let need = need(policy, member.database?)?;
            // The only member's pause is everybody's: only what threatens all writes is worth it.
            (!alone || need == Need::Quota).then_some((member, need))
        })
    }

    fn is_due(&self, member: MemberId, need: Need, now: Duration) -> bool {
        self.past.get(&member).is_none_or(|past| now.saturating_sub(past.ended) >= pause(need, past.streak))
    }
}

/// Whoever needs it again takes the space again by itself: twice as long a pause after each that followed soon.
fn pause(need: Need, streak: u32) -> Duration {
    const MINUTE: u64 = 60;
    let (first, longest) = match need {
        Need::Free => (60 * MINUTE, 24 * 60 * MINUTE),
        Need::Quota => (10 * MINUTE, 60 * MINUTE),
    };
    let doubled = first.saturating_mul(1_u64.checked_shl(streak).unwrap_or(u64::MAX));
    Duration::from_secs(doubled.min(longest))
}

fn need(policy: DefragmentationPolicy, database: DatabaseSpace) -> Option<Need> {
    let (file, free) = (u128::from(database.file_bytes), u128::from(database.free_bytes()));
    let share = |of: u128, percent: u64| of * u128::from(percent);
    let near = |quota: u64| file * 100 >= share(u128::from(quota), NEAR_QUOTA_PERCENT);
    if database.quota_bytes.is_some_and(near)
        && free * 100 >= share(file, NEAR_QUOTA_FREE_PERCENT)
        && free > 0
    {
        return Some(Need::Quota);
    }
    let much = free * 100 >= share(file, policy.free_percent.into());
    (much && free > 0 && database.free_bytes() >= policy.free_bytes).then_some(Need::Free)
}

/// Whether a disk with so much free can hold what is in use of the database a second time.
#[must_use]
pub fn room(disk_free_bytes: u64, database: DatabaseSpace) -> bool {
    disk_free_bytes >= database.used_bytes.saturating_add(DISK_RESERVE)
}

/// A member that is rewritten answers nobody until it is done, so all others must be there.
fn hindrance(view: &SpaceView) -> Option<String> {
    if let Some(awaits) = &view.awaits {
        return Some(awaits.clone());
    }
    let unwell = view.members.iter().find(|member| !member.votes || !member.serves)?;
    Some(if unwell.votes { format!("{} to serve", unwell.name) } else { format!("{} to vote", unwell.name) })
}

impl DatabaseSpace {
    /// What rewriting it would give back.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(self.used_bytes)
    }
}

#[cfg(test)]
mod tests;
