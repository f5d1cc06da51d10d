//! How an update is told: how far it is, who is next, and what is waited for. Stays the same while nothing changes, so that
//! a line in the log is a change. Refuses decisions.

use std::time::Duration;

use super::{MemberAtUpdate, PodAtUpdate, Turn, UpdateView, Victim};
use crate::quorum::quorum;

pub(super) fn unseen() -> String {
    "waits for the StatefulSet's controller to see its latest settings".to_owned()
}

pub(super) fn awaits(view: &UpdateView, revision: &str, next: &str, awaits: &str) -> String {
    format!("{}; next {next}, waits for {awaits}", progress(view, revision))
}

pub(super) fn goes(view: &UpdateView, revision: &str, victim: &Victim, settle: Duration) -> String {
    let name = &victim.name;
    let seconds = settle.as_secs();
    let next = match victim.turn {
        Turn::Sick => {
            format!("next {name}, which does not serve; goes once that has been so for {seconds} s")
        }
        Turn::OthersServe => format!("next {name}; goes once the others have served for {seconds} s"),
        Turn::Leader => {
            format!("next {name}, the leader and the last; goes once the others have served for {seconds} s")
        }
        Turn::Alone => format!("next {name}, the only one: a gap until it is back"),
    };
    format!("{}; {next}", progress(view, revision))
}

pub(super) fn away(member: &MemberAtUpdate) -> String {
    match member.pod {
        PodAtUpdate::Leaving => format!("{} to end and come back", member.name),
        _ => format!("a Pod of {}", member.name),
    }
}

pub(super) fn unwell(member: &MemberAtUpdate) -> String {
    let name = &member.name;
    match (member.votes, member.serves) {
        (_, false) => format!("{name} to serve"),
        (false, true) => format!("{name} to vote"),
        (true, true) => format!("the kubelet to call {name} ready"),
    }
}

pub(super) fn too_few(serving: usize, voters: usize) -> String {
    format!(
        "more members that serve: without it {serving} would, and {} of {voters} are needed",
        quorum(voters)
    )
}

fn progress(view: &UpdateView, revision: &str) -> String {
    let done = view.members.iter().filter(|member| member.is_of(revision)).count();
    format!("{done} of {} members at revision {revision}", view.members.len())
}
