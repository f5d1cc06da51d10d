//! The next step of a member whose child does not run, from observations alone: found, start, rejoin or wait.
//! Refuses to act, to look and to remember: every fact is in the observation, every step is idempotent.

mod rejoin;
#[cfg(test)]
mod tests;
mod wording;

use std::time::Duration;

use crate::observation::{Data, Line, ListedMember, Observation, PeerReport, Quorum, Record};
use crate::{ClusterId, MemberId};

/// So many endings without a good moment between them cast doubt on the data; the same number ends the supervisor.
pub const CRASHES_BEFORE_DOUBT: u32 = 5;
/// How long a doubtful member pauses before it tries its data again, when no quorum could replace it.
pub const RETRY_IN_DOUBT: Duration = Duration::from_secs(30);

/// What to do next. After every step but the three starts, `Wait` and `Refuse`, observe again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask the peers, then plan again with what they say.
    AskPeers,
    /// Forget id and identity of what was on the volume, make the data directory, write a fresh random id; in this order,
    /// so that an interrupted one is begun again.
    PrepareVolume,
    /// Write a fresh random id on a volume whose data is in use.
    WriteVolumeId,
    /// Create the record with all wanted members as founders, unless there is one.
    CreateRecord,
    /// Create a lost record again, with every wanted member as started.
    RewriteRecord,
    /// Write my line: my volume's id, not started.
    RecordMyLine,
    /// Delete what a start left behind that never took part in anything.
    ClearLeftovers,
    /// Rename the data directory to one beside it, keep only the last such one; for `Rejected` write down that it was done.
    MoveDataAside(AsideReason),
    /// Take the lock under which one member at a time is replaced, if nobody has it.
    TakeRejoinLock,
    /// Give that lock back.
    ReleaseRejoinLock,
    /// Remove my old entry from the cluster.
    RemoveMe(MemberId),
    /// Add myself as a learner and write the id that I get beside the data directory.
    AddMeAsLearner,
    /// Start with state `new`, the record's founders and token.
    StartNew,
    /// Start on the data that is there.
    StartExisting,
    /// Forget the id beside the data directory, which is good for one start only, then start empty with state `existing` and
    /// these members (name, peer URL), myself among them.
    StartJoining(Vec<(String, String)>),
    /// Nothing can be done now; look again soon.
    Wait {
        /// What is waited for, as a noun phrase.
        awaits: String,
        /// What was seen instead, and what a person can do if it stays so.
        seen: String,
    },
    /// Something that no waiting mends.
    Refuse {
        /// What is wrong.
        what: String,
        /// What the operator can do.
        remedy: String,
    },
}

/// Why data is set aside. It is never deleted by a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsideReason {
    /// A quorum does not list its owner any more.
    Removed,
    /// etcd does not get along with it, and a healthy quorum can give us a fresh copy.
    Rejected,
    /// A person gave its cluster up, and another one took its place: served again, it would be a second one.
    GivenUp,
}

/// Decides the next step.
#[must_use]
pub fn next_step(seen: &Observation) -> Step {
    if let Some(identity) = seen.volume.identity.as_ref().filter(|identity| identity.name != seen.me) {
        return wording::volume_of_another(seen, identity);
    }
    if seen.wanted_me().is_none() {
        return wording::not_a_wanted_member(seen);
    }
    if seen.volume.data == Data::Present { with_data(seen) } else { without_data(seen) }
}

fn with_data(seen: &Observation) -> Step {
    if seen.volume.id.is_none() {
        return Step::WriteVolumeId;
    }
    if seen.record == Record::Absent {
        return Step::RewriteRecord;
    }
    if seen.data_was_given_up() {
        return Step::MoveDataAside(AsideReason::GivenUp);
    }
    // The usual case asks nobody: a member that was removed meanwhile is told so by its peers, ends, and comes back here.
    if seen.crashes.count == 0 {
        return Step::StartExisting;
    }
    let Some(live) = &seen.live else { return Step::AskPeers };
    let in_doubt = seen.crashes.count >= CRASHES_BEFORE_DOUBT;
    match &live.quorum {
        Some(quorum) => match (seen.foreign_cluster(quorum), seen.owner_of_my_data(quorum)) {
            (Some(mine), _) => wording::foreign_cluster(seen, quorum, mine),
            (None, None) => Step::MoveDataAside(AsideReason::Removed),
            (None, Some(owner)) if !in_doubt || a_fresh_copy_did_not_help(seen, owner) => Step::StartExisting,
            (None, Some(_)) if seen.volume.full => try_again_later(seen, wording::volume_full(seen)),
            (None, Some(_)) => Step::MoveDataAside(AsideReason::Rejected),
        },
        None if in_doubt => try_again_later(seen, wording::doubtful_and_alone(seen)),
        None => Step::StartExisting,
    }
}

/// Data was set aside for the same doubt already, and what replaced it never got so far as to vote. A copy that was
/// promoted did run, so it is doubted like any other.
fn a_fresh_copy_did_not_help(seen: &Observation, owner: &ListedMember) -> bool {
    seen.crashes.data_was_set_aside && owner.learner
}

/// Never waits for good: what made it crash may be over, and every other member may be waiting for this one.
fn try_again_later(seen: &Observation, otherwise: Step) -> Step {
    if seen.crashes.since_last >= RETRY_IN_DOUBT { Step::StartExisting } else { otherwise }
}

fn without_data(seen: &Observation) -> Step {
    let volume = &seen.volume;
    if volume.id.is_none() || volume.data == Data::NoDirectory {
        return Step::PrepareVolume;
    }
    match &seen.record {
        Record::Unreadable(why) => wording::record_unreadable(why),
        Record::Absent => without_record(seen),
        Record::Present { founders, mine, .. } => match founder_url(founders, &seen.me) {
            None => rejoin::rejoin(seen),
            Some(url) => as_founder(seen, url, mine.as_ref()),
        },
    }
}

/// I am a founder without data: either my turn has not come yet, or I lost what I had.
fn as_founder(seen: &Observation, my_url: &str, mine: Option<&Line>) -> Step {
    let moved = seen.wanted_me().is_none_or(|me| me.peer_url != my_url);
    match mine {
        Some(line) if line.started || line.volume_id != seen.volume.id => rejoin::rejoin(seen),
        _ if moved => wording::other_peer_url(seen, my_url),
        None => Step::RecordMyLine,
        Some(_) => found(seen),
    }
}

/// Starting `new` repeats what every founder does, so it is right at any time while my entry is the founders' one.
fn found(seen: &Observation) -> Step {
    if seen.crashes.count > 0 && seen.live.is_none() {
        return Step::AskPeers;
    }
    let quorum = seen.live.as_ref().and_then(|live| live.quorum.as_ref());
    let still_a_founder = quorum.is_none_or(|quorum| {
        seen.listed(quorum).is_some_and(|entry| !entry.started && !entry.learner && !entry.name.is_empty())
    });
    match (still_a_founder, seen.volume.data) {
        (false, _) => rejoin::rejoin(seen),
        (true, Data::Leftovers) => Step::ClearLeftovers,
        (true, _) => Step::StartNew,
    }
}

/// Neither record nor data: the very first start, or the record was lost.
fn without_record(seen: &Observation) -> Step {
    let Some(live) = &seen.live else { return Step::AskPeers };
    if live.quorum.is_some() {
        return rejoin::rejoin(seen);
    }
    for peer in &live.peers {
        match peer.report {
            PeerReport::Data => return wording::record_lost(seen, &peer.name),
            PeerReport::Silent => return wording::founding_together(seen, &peer.name),
            PeerReport::NotAskable if peer.etcd_answers => return wording::record_lost(seen, &peer.name),
            PeerReport::NotAskable | PeerReport::Empty => {}
        }
    }
    Step::CreateRecord
}

fn founder_url<'a>(founders: &'a [(String, String)], name: &str) -> Option<&'a str> {
    founders.iter().find(|(founder, _)| founder == name).map(|(_, url)| url.as_str())
}

impl Observation {
    /// Myself among the wanted members.
    fn wanted_me(&self) -> Option<&crate::WantedMember> {
        self.wanted.iter().find(|member| member.name == self.me)
    }

    /// My entry in the list, whatever its id.
    fn listed<'a>(&self, quorum: &'a Quorum) -> Option<&'a ListedMember> {
        let me = self.wanted_me()?;
        quorum.members.iter().find(|member| member.stands_for(me))
    }

    /// The listed member that my data belongs to. Without a written id my entry must do.
    fn owner_of_my_data<'a>(&self, quorum: &'a Quorum) -> Option<&'a ListedMember> {
        match &self.volume.identity {
            Some(identity) => quorum.members.iter().find(|member| member.id == identity.member),
            None => self.listed(quorum),
        }
    }

    fn data_was_given_up(&self) -> bool {
        let Record::Present { given_up, .. } = &self.record else { return false };
        self.volume.identity.as_ref().is_some_and(|identity| given_up.contains(&identity.cluster))
    }

    /// The cluster that my data belongs to, if it is not the one that answered.
    fn foreign_cluster(&self, quorum: &Quorum) -> Option<ClusterId> {
        self.volume.identity.as_ref().map(|identity| identity.cluster).filter(|mine| *mine != quorum.cluster)
    }
}
