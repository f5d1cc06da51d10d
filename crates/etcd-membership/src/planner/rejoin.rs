//! How a member that lost its data comes back: remove, add as learner, start empty, one member at a time under a lock.
//! Refuses to touch anything without a quorum, and every entry but its own. Promotion is the caretaker's.

use super::{Step, wording};
use crate::observation::{Data, ListedMember, LiveView, Observation, Quorum};
use crate::quorum::{decides, removal_is_safe};

pub(super) fn rejoin(seen: &Observation) -> Step {
    let Some(live) = &seen.live else { return Step::AskPeers };
    let Some(quorum) = &live.quorum else {
        return release_or(seen, wording::no_quorum(seen, live));
    };
    let mine = seen.listed(quorum);
    let another_learner =
        quorum.members.iter().find(|member| member.learner && mine.is_none_or(|mine| mine.id != member.id));
    if let Some(learner) = another_learner {
        return release_or(seen, wording::another_learner(learner));
    }
    if mine.is_none() && !may_add(seen, live, quorum) {
        return release_or(seen, wording::addition_unsafe(quorum));
    }
    if seen.rejoin_lock != Some(quorum.cluster) {
        return Step::TakeRejoinLock;
    }
    if seen.volume.data == Data::Leftovers {
        return Step::ClearLeftovers;
    }
    match mine {
        None => Step::AddMeAsLearner,
        Some(entry) if is_my_admission(seen, entry) => Step::StartJoining(initial_cluster(seen, quorum)),
        Some(entry) if entry.learner || may_remove(entry, quorum) => Step::RemoveMe(entry.id),
        Some(entry) => wording::removal_unsafe(entry, quorum),
    }
}

/// Whoever waits for others must not keep them waiting.
fn release_or(seen: &Observation, wait: Step) -> Step {
    if seen.rejoin_lock.is_some() { Step::ReleaseRejoinLock } else { wait }
}

/// I added this entry myself from this volume, and nobody was ever started as it. Reusing any other entry would let raft
/// count on a log that is gone.
fn is_my_admission(seen: &Observation, entry: &ListedMember) -> bool {
    let admitted = seen.volume.identity.as_ref().is_some_and(|identity| identity.member == entry.id);
    admitted && entry.learner && !entry.started
}

/// etcd gave us a linearizable answer without me, so a majority serves; it must still be one when my entry is gone, and
/// must consist of members that ever ran.
fn may_remove(entry: &ListedMember, quorum: &Quorum) -> bool {
    let started = quorum
        .members
        .iter()
        .filter(|member| !member.learner && member.started && member.id != entry.id)
        .count();
    removal_is_safe(started, quorum.voters())
}

/// etcd adds nobody, learners included, unless those that serve would be a majority with the new one counted as dead
/// (`isConnectedToQuorumAfterAddingNewMemberSince`). Then a dead voter must be replaced before, and needs the lock for it.
fn may_add(seen: &Observation, live: &LiveView, quorum: &Quorum) -> bool {
    let answers = |member: &&ListedMember| {
        let wanted = seen.wanted.iter().find(|wanted| member.stands_for(wanted));
        // One that is not wanted any more votes until it is removed.
        let name = wanted.map_or(&member.name, |wanted| &wanted.name);
        live.peers.iter().any(|peer| peer.name == *name && peer.etcd_answers)
    };
    let serving = quorum.members.iter().filter(|member| !member.learner).filter(answers).count();
    quorum.voters() == 1 || decides(serving, quorum.voters() + 1)
}

/// All members of the cluster with their peer URLs. etcd compares URLs only; a nameless entry gets the wanted name.
fn initial_cluster(seen: &Observation, quorum: &Quorum) -> Vec<(String, String)> {
    let name = |member: &ListedMember| {
        let wanted = seen.wanted.iter().find(|wanted| member.stands_for(wanted));
        match wanted {
            Some(wanted) => wanted.name.clone(),
            None if member.name.is_empty() => format!("member-{}", member.id),
            None => member.name.clone(),
        }
    };
    quorum
        .members
        .iter()
        .flat_map(|member| member.peer_urls.iter().map(move |url| (name(member), url.clone())))
        .collect()
}
