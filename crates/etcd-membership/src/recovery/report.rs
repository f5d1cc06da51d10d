//! What a person reads before deciding: who answers, who has what, what may be lost, what would be done.
//! Refuses comfort: what is not known is called unknown.

use std::fmt::Write as _;

use super::{Position, RecoveryRequest, RecoverySource, Refusal, Situation};
use crate::observation::{Data, PeerReport};

const OTHERS: &str = "Every other member joins anew as a learner, one at a time, with an empty data directory. Data of the \
     old cluster that a lost member still has is set aside on its volume when it comes back.";

/// The report on a request and what came of judging it.
#[must_use]
pub fn report(request: &RecoveryRequest, seen: &Situation, refusals: &[Refusal]) -> String {
    let mut text = table(request, seen);
    // Writing to a String cannot fail.
    if let Some(Ok(snapshot)) = seen.snapshot {
        let _ = writeln!(
            text,
            "\nThe snapshot is whole: revision {}, {} keys, {} bytes.",
            snapshot.revision, snapshot.keys, snapshot.bytes
        );
    }
    if refusals.is_empty() {
        text.push_str(&costs(request, seen));
    } else {
        text.push_str("\nRefused:\n");
        for Refusal { what, remedy } in refusals {
            let _ = writeln!(text, "- {what}; {remedy}");
        }
    }
    text
}

fn table(request: &RecoveryRequest, seen: &Situation) -> String {
    let heads = ["MEMBER", "NAMED LOST", "SUPERVISOR", "ETCD", "DATA", "REVISION", "RAFT INDEX"];
    let mut rows = vec![heads.map(str::to_owned)];
    let mut row = |name: &str, lost: &str, supervisor, etcd, data, position: Option<Position>| {
        let (revision, applied) = position.map_or_else(
            || ("unknown".to_owned(), "unknown".to_owned()),
            |position| {
                let applied =
                    position.applied.map_or_else(|| "unknown".to_owned(), |applied| applied.to_string());
                (position.revision.to_string(), applied)
            },
        );
        let words = [name, lost, supervisor, etcd, data].map(str::to_owned);
        let [name, lost, supervisor, etcd, data] = words;
        rows.push([name, lost, supervisor, etcd, data, revision, applied]);
    };
    let named = |name: &String| yes(request.lost.contains(name));
    let etcd = |serves, answers| match (serves, answers) {
        (true, _) => "serves",
        (false, true) => "answers, no quorum",
        (false, false) => "silent",
    };
    row(
        &format!("{} (here)", seen.me),
        named(&seen.me),
        "answers",
        etcd(seen.serves, seen.position.is_some_and(|position| position.applied.is_some())),
        yes(seen.data == Data::Present),
        seen.position,
    );
    for other in &seen.others {
        let (supervisor, data) = match other.report {
            PeerReport::NotAskable => ("unknown", "unknown"),
            PeerReport::Silent => ("silent", "unknown"),
            PeerReport::Empty => ("answers", "no"),
            PeerReport::Data => ("answers", "yes"),
        };
        let etcd = etcd(other.serves, other.etcd_answers);
        row(&other.name, named(&other.name), supervisor, etcd, data, other.position);
    }
    aligned(&rows)
}

fn aligned(rows: &[[String; 7]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}   "));
        let _ = writeln!(text, "{}", cells.collect::<String>().trim_end());
    }
    text
}

fn costs(request: &RecoveryRequest, seen: &Situation) -> String {
    let me = &seen.me;
    match request.source {
        RecoverySource::OwnData => {
            let after = seen.position.map_or_else(
                || format!("what is in the data of {me}, whose revision cannot be told"),
                |own| format!("revision {} of {me}", own.revision),
            );
            let beyond = |name: &String| format!("- what {name} has beyond that, as --despite-newer says\n");
            let given_up = request.despite_newer.iter().map(beyond).collect::<Vec<_>>().concat();
            format!(
                "\nWhat may be lost:\n\
                 - every write after {after}, those that were acknowledged included\n{given_up}\
                 Nothing up to there is lost.\n\
                 \nWhat is done: etcd is ended beside {me}, its data is restored into a new cluster of which {me} is the \
                 only member, with revisions far above all that were given out, and the old data directory is set aside on \
                 its volume. {OTHERS}\n"
            )
        }
        RecoverySource::Snapshot => format!(
            "\nWhat may be lost:\n\
             - every write after the snapshot was taken\n\
             \nWhat is done: the snapshot is restored into a new cluster of which {me} is the only member, with revisions \
             far above all that were given out until then. {OTHERS}\n"
        ),
        RecoverySource::Nothing => "\nWhat is lost: every stored object.\n\
             \nWhat is done: the cluster record forgets the cluster, and the members found a new, empty one.\n"
            .to_owned(),
    }
}

fn yes(it_is: bool) -> &'static str {
    if it_is { "yes" } else { "no" }
}
