//! Whether a recovery is allowed: a list of refusals, each with what can be done about it.
//! Refuses whenever something could still come back that nobody named as lost.

use super::{OtherMember, Position, RecordNow, RecoveryRequest, RecoverySource, Situation};
use crate::observation::Data;
use crate::quorum::quorum;

/// Why a recovery is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is in the way.
    pub what: String,
    /// What can be done.
    pub remedy: String,
}

/// All that is in the way; empty: it is allowed.
#[must_use]
pub fn judge(request: &RecoveryRequest, seen: &Situation) -> Vec<Refusal> {
    // While somebody serves nothing else matters.
    if let Some(serving) = serving(seen) {
        return vec![refusal(
            format!("{serving} serves with a quorum: there is nothing to recover"),
            "members that lost their data come back by themselves while a quorum serves",
        )];
    }
    let mut refusals = names(request, seen);
    refusals.extend(record(request, seen));
    refusals.extend(own_data(request, seen));
    if request.source != RecoverySource::Nothing {
        refusals.extend(means(seen));
    }
    refusals.extend(seen.others.iter().filter_map(|other| of_other(request, seen, other)));
    refusals.extend(majority(request, seen));
    refusals
}

fn serving(seen: &Situation) -> Option<&str> {
    if seen.serves {
        return Some(&seen.me);
    }
    seen.others.iter().find(|other| other.serves).map(|other| other.name.as_str())
}

fn names(request: &RecoveryRequest, seen: &Situation) -> Vec<Refusal> {
    let known = |name: &String| *name == seen.me || seen.others.iter().any(|other| other.name == *name);
    let mut refusals: Vec<Refusal> = request
        .lost
        .iter()
        .chain(&request.despite_newer)
        .filter(|name| !known(name))
        .map(|name| refusal(format!("{name} is no member"), "name members as the table does"))
        .collect();
    if request.source == RecoverySource::OwnData && request.lost.contains(&seen.me) {
        refusals.push(refusal(
            format!("{} is named as lost, and its data is to be the new cluster", seen.me),
            "leave it out of --lost, or give a snapshot file with --snapshot",
        ));
    }
    refusals
}

fn record(request: &RecoveryRequest, seen: &Situation) -> Option<Refusal> {
    match &seen.record {
        RecordNow::Unreadable(why) => Some(refusal(
            format!("the cluster record cannot be read: {why}"),
            "it decides which cluster holds; make it readable first",
        )),
        RecordNow::Absent if request.source == RecoverySource::Nothing => Some(refusal(
            "there is no cluster record",
            "members without data and record found a cluster by themselves as soon as all of them answer",
        )),
        _ => None,
    }
}

fn own_data(request: &RecoveryRequest, seen: &Situation) -> Option<Refusal> {
    let me = &seen.me;
    let has_data = seen.data == Data::Present;
    match request.source {
        RecoverySource::OwnData if !has_data => Some(refusal(
            format!("{me} has no data"),
            "run this beside a member that has, or give a snapshot file with --snapshot",
        )),
        RecoverySource::Snapshot if has_data && !request.lost.contains(me) => Some(refusal(
            format!("{me} has data of its own, which may be newer than the snapshot"),
            format!(
                "leave --snapshot out to begin with that data, or give it up with --lost {me}: it is set aside, not deleted"
            ),
        )),
        RecoverySource::Nothing if has_data => {
            Some(refusal(format!("{me} has data"), "leave --found-anew out to begin with that data"))
        }
        _ => None,
    }
}

fn means(seen: &Situation) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if let Err(why) = &seen.tool {
        refusals.push(refusal(
            why.clone(),
            "put the etcdutl of the same release beside etcd; upstream's etcd images have it",
        ));
    }
    if let Some(Err(why)) = &seen.snapshot {
        refusals.push(refusal(why.clone(), "give a file as `etcdctl snapshot save` writes it"));
    }
    if let Some(lack) = &seen.lack_of_space {
        refusals.push(refusal(lack.clone(), "enlarge the volume, or free space on it"));
    }
    refusals
}

fn of_other(request: &RecoveryRequest, seen: &Situation, other: &OtherMember) -> Option<Refusal> {
    let name = &other.name;
    match (request.lost.contains(name), other.has_data()) {
        (true, false) => None,
        (true, true) => Some(refusal(
            format!("{name} was named as lost, and it answers and has data"),
            format!("leave it out of --lost; it may be the one to recover from instead of {}", seen.me),
        )),
        (false, false) => Some(refusal(
            format!("{name} may still come back: it was not named as lost"),
            format!("bring it back, or, if its data is gone for good, add --lost {name}"),
        )),
        (false, true) => newer(request, seen, other),
    }
}

/// A survivor that is not chosen: what it has and the chosen one has not is lost.
fn newer(request: &RecoveryRequest, seen: &Situation, other: &OtherMember) -> Option<Refusal> {
    let name = &other.name;
    if request.source != RecoverySource::OwnData {
        return Some(refusal(
            format!("{name} has data"),
            format!("run this beside {name}, to begin with its data"),
        ));
    }
    if request.despite_newer.contains(name) {
        return None;
    }
    match (seen.position, other.position) {
        (Some(mine), Some(theirs)) if !is_newer(theirs, mine) => None,
        (Some(mine), Some(theirs)) => Some(refusal(
            format!(
                "{name} has newer data: revision {}{}, {} has {}{}",
                theirs.revision,
                index(theirs),
                seen.me,
                mine.revision,
                index(mine)
            ),
            format!(
                "run this beside {name} instead, or give up what only it has with --despite-newer {name}"
            ),
        )),
        _ => Some(refusal(
            format!("{name} has data, and it cannot be told whether it is newer"),
            format!(
                "run this without --yes beside {name} as well, compare the revisions of both, and give up what only {name} has \
                 with --despite-newer {name}"
            ),
        )),
    }
}

fn is_newer(theirs: Position, mine: Position) -> bool {
    let further = theirs.applied.zip(mine.applied).is_some_and(|(theirs, mine)| theirs > mine);
    theirs.cluster != mine.cluster || further || theirs.revision > mine.revision
}

fn index(position: Position) -> String {
    position.applied.map_or_else(String::new, |applied| format!(" and raft index {applied}"))
}

/// Survivors that are enough for a quorum will have one by themselves.
fn majority(request: &RecoveryRequest, seen: &Situation) -> Option<Refusal> {
    if request.source != RecoverySource::OwnData || seen.data != Data::Present {
        return None;
    }
    let voters = seen.others.len() + 1;
    let alive = seen.others.iter().filter(|other| other.has_data()).count() + 1;
    (alive >= quorum(voters)).then(|| {
        refusal(
            format!("{alive} of {voters} members answer and have data, enough for a quorum"),
            "wait until they have found each other; if they do not, look for what keeps them apart",
        )
    })
}

fn refusal(what: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal { what: what.into(), remedy: remedy.into() }
}
