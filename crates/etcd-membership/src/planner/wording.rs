//! What the planner says when it cannot go on: what it waits for, what it saw, and what a person can do about it.
//! Refuses decisions: which of these applies is decided elsewhere.

use super::Step;
use crate::ClusterId;
use crate::observation::{Identity, ListedMember, LiveView, Observation, PeerReport, Quorum, Record};
use crate::quorum::{quorum, tolerated_losses};

fn wait(awaits: impl Into<String>, seen: impl Into<String>) -> Step {
    Step::Wait { awaits: awaits.into(), seen: seen.into() }
}

pub(super) fn volume_of_another(seen: &Observation, identity: &Identity) -> Step {
    Step::Refuse {
        what: format!("the volume holds the data of member {}, not of {}", identity.name, seen.me),
        remedy: "give each member its own --data-directory, or set --instance-name to the member that owns this one".into(),
    }
}

pub(super) fn not_a_wanted_member(seen: &Observation) -> Step {
    let names: Vec<&str> = seen.wanted.iter().map(|member| member.name.as_str()).collect();
    Step::Refuse {
        what: format!("{} is none of the members ({})", seen.me, names.join(", ")),
        remedy: "name it with --member NAME=PEER_URL,CLIENT_URL, or correct --instance-name".into(),
    }
}

pub(super) fn other_peer_url(seen: &Observation, recorded: &str) -> Step {
    let mine = seen.wanted.iter().find(|member| member.name == seen.me).map_or("", |member| &member.peer_url);
    Step::Refuse {
        what: format!(
            "the cluster record says that {} is reached at {recorded}, --member says {mine}",
            seen.me
        ),
        remedy: "set the recorded URL in --member until the cluster is founded".into(),
    }
}

pub(super) fn foreign_cluster(seen: &Observation, quorum: &Quorum, mine: ClusterId) -> Step {
    wait(
        format!("peers of cluster {mine}, whose data is on this volume"),
        format!(
            "the peers are a healthy cluster {}; {} got a foreign volume: give it its own, or empty it to let it join them",
            quorum.cluster, seen.me
        ),
    )
}

pub(super) fn volume_full(seen: &Observation) -> Step {
    wait(
        "space on the data volume",
        format!(
            "etcd ended {} times in a row and the volume is full; enlarge it or free space, the next try comes by itself",
            seen.crashes.count
        ),
    )
}

pub(super) fn doubtful_and_alone(seen: &Observation) -> Step {
    wait(
        "a quorum of the other members, or the next try",
        format!(
            "etcd ended {} times in a row; its data may be damaged, and no quorum could give it a fresh copy; see its own \
             log for the reason",
            seen.crashes.count
        ),
    )
}

pub(super) fn record_unreadable(why: &str) -> Step {
    wait("a readable cluster record, without which an empty member must not start", why)
}

pub(super) fn record_lost(seen: &Observation, holder: &str) -> Step {
    wait(
        format!("{holder} to write the cluster record anew"),
        format!(
            "there is no record and {holder} has data: {} must not found a cluster; start {holder}'s supervisor, or, if \
             that data belongs to nobody, delete it",
            seen.me
        ),
    )
}

pub(super) fn founding_together(seen: &Observation, silent: &str) -> Step {
    wait(
        format!("{silent} to say that its volume is empty"),
        format!(
            "there is no cluster record yet, and {silent} may hold data; {} founds a cluster only when all members are \
             known to be empty",
            seen.me
        ),
    )
}

pub(super) fn another_learner(learner: &ListedMember) -> Step {
    let name = if learner.name.is_empty() { "not started yet" } else { &learner.name };
    wait(
        format!("learner {} ({name}) to be promoted", learner.id),
        "one member is replaced at a time; a learner that makes no progress for 5 minutes is removed",
    )
}

pub(super) fn removal_unsafe(entry: &ListedMember, quorum: &Quorum) -> Step {
    wait(
        "more started members",
        format!(
            "removing my old entry {} would leave fewer than a majority of {} voters that ever started",
            entry.id,
            quorum.voters().saturating_sub(1)
        ),
    )
}

pub(super) fn addition_unsafe(quorum: &Quorum) -> Step {
    wait(
        "more serving voters",
        format!(
            "of {} voters too few serve for etcd to add one more; those that are down must come back or be replaced first",
            quorum.voters()
        ),
    )
}

pub(super) fn no_quorum(seen: &Observation, live: &LiveView) -> Step {
    // Those that are not wanted any more count until they are gone.
    let total = seen.wanted.len().max(live.peers.len() + 1);
    let list = |wanted: &dyn Fn(&PeerReport) -> bool| {
        live.peers
            .iter()
            .filter(|peer| wanted(&peer.report))
            .map(|peer| peer.name.as_str())
            .collect::<Vec<_>>()
    };
    let empty = list(&|report| *report == PeerReport::Empty);
    let silent = list(&|report| *report == PeerReport::Silent);
    let answering: Vec<&str> =
        live.peers.iter().filter(|peer| peer.etcd_answers).map(|peer| peer.name.as_str()).collect();
    let why_me = match &seen.record {
        Record::Present { mine: Some(mine), .. } if mine.started && mine.volume_id == seen.volume.id => {
            "its data is gone"
        }
        Record::Present { mine: Some(_), .. } => "it has another volume than before",
        _ => "it joins a cluster that exists",
    };
    let mut text = format!(
        "{} can only come back through the others, because {why_me}; no quorum ({} of {total}) answers; answering: {}",
        seen.me,
        quorum(total),
        none_or(&answering),
    );
    for (what, names) in [("silent", &silent), ("without data", &empty)] {
        if !names.is_empty() {
            text.extend(["; ", what, ": ", &names.join(", ")]);
        }
    }
    if empty.len() + 1 > tolerated_losses(total) {
        text.extend(["; the data of a majority is missing: ", &way_out(seen, live)]);
    }
    wait("a quorum of the other members", text)
}

/// The way out when too many volumes are gone: nothing but a person can know that they are gone for good.
fn way_out(seen: &Observation, live: &LiveView) -> String {
    let mut holders = Vec::new();
    let mut lost = vec![seen.me.as_str()];
    for peer in &live.peers {
        let has_data = peer.report == PeerReport::Data || peer.etcd_answers;
        if has_data { holders.push(peer.name.as_str()) } else { lost.push(&peer.name) }
    }
    lost.sort_unstable();
    let lost: String = lost.iter().flat_map(|name| [" --lost ", *name]).collect();
    let command = if holders.is_empty() {
        format!(
            "`etcd-supervisor recover --snapshot FILE{lost}`, or, giving up every stored object, \
             `etcd-supervisor recover --found-anew{lost}`, beside any member"
        )
    } else {
        format!("`etcd-supervisor recover{lost}` beside {}", holders.join(" or "))
    };
    format!(
        "if it is gone for good, the cluster cannot heal itself and is never founded anew by itself; {command} says what may \
         be lost, and begins anew only with --yes"
    )
}

fn none_or(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
