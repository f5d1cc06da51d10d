//! The report of a made-up outage, as people and programs see it.

use super::*;
use crate::model::Tenure;

fn outage() -> Report {
    let summary = |succeeded, failed: &[(&str, u64)]| OperationSummary {
        succeeded,
        failed: failed.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        told_to_retry: BTreeMap::new(),
        latency: [0.002, 0.011, 0.3],
    };
    let second = |index: u32| Second {
        looked: if index == 4 { 0 } else { 30 },
        changed: if index == 4 { 0 } else { 10 },
        failed: if index == 4 {
            [("connect: connection refused".to_owned(), 3)].into()
        } else {
            BTreeMap::new()
        },
        told_to_retry: u32::from(index == 5),
        watch_breaks: if index == 4 { 6 } else { 0 },
    };
    Report {
        load: Load {
            servers: vec!["192.0.2.1:6443".to_owned()],
            clients: 6,
            fresh_clients: 2,
            rate: 40.0,
            watches: 6,
        },
        seconds: 10.0,
        operations: [
            (Operation::Read, summary(270, &[("connect: connection refused", 2)])),
            (Operation::Write, summary(90, &[("connect: connection refused", 1)])),
        ]
        .into(),
        longest_gap_of_reads: Gap { from: 4.0, seconds: 1.1 },
        reads: ReadSummary { compared: 270, ..ReadSummary::default() },
        watches: WatchSummary {
            breaks: [("ended".to_owned(), 6)].into(),
            most_breaks_in_one_second: 6,
            longest_break: 0.3,
            ..WatchSummary::default()
        },
        leases: vec![LeaseSummary {
            name: "kube-scheduler".to_owned(),
            tenures: [(0.0, "scheduler-0_1f"), (4.2, ""), (4.9, "scheduler-1_2e")]
                .map(|(from, holder)| Tenure { from, holder: holder.to_owned() })
                .into(),
            renewals: 9,
            longest_pause: 1.9,
            pause_from: 3.2,
            two_leaders: Vec::new(),
        }],
        marks: vec![Mark { at: 4.0, text: "one API server killed".to_owned() }],
        examples: [(
            "connect: connection refused".to_owned(),
            "Connection refused (os error 111)".to_owned(),
        )]
        .into(),
        timeline: (0..10).map(second).collect(),
        ..Report::default()
    }
}

#[test]
fn the_text_tells_what_a_reader_asks_first() {
    let text = outage().text();
    for line in [
        "6 clients, 2 more with new connections, 40 requests/s wanted, 36.3 sent, 6 watches\n",
        "0 doubled; 6 breaks (6 ended), at most 6 in one second, longest 0.3 s; 0 relists",
        "reads: 270 objects compared with their writes, 0 stale, 0 went back, 0 of what nobody wrote\n",
        "failed: 2 x read: connect: connection refused (Connection refused (os error 111))\n",
        "longest gap: reads 1.10 s at 4.0 s, writes 0.00 s at 0.0 s\n",
        "kube-scheduler: 1 changes of leader, longest pause 1.9 s at 3.2 s, 9 renewals\n",
        "at 4.0 s: one API server killed\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("BROKEN"));
}

#[test]
fn what_must_never_happen_is_named() {
    let mut report = outage();
    assert!(report.broken_promises().is_empty());
    assert_eq!((report.failed_reads(), report.failed_writes()), (2, 1));
    report.writes.lost.push("object 3 sequence 9: nothing is there".to_owned());
    report.watches.missed.push("watch 2: object 3 sequence 9".to_owned());
    report.watches.behind = 1;
    report.leases[0].two_leaders.push("b took it".to_owned());
    report.reads.went_back.push("object 3 sequence 9: read, then sequence 8".to_owned());
    assert_eq!(report.broken_promises().len(), 5);
    assert!(report.text().contains("BROKEN: lost acknowledged write: object 3 sequence 9"));
}

#[test]
fn programs_can_read_it() {
    let value: serde_json::Value = serde_json::from_str(&outage().json()).unwrap();
    assert_eq!(value["operations"]["read"]["failed"]["connect: connection refused"], 2);
    assert_eq!(value["timeline"][4]["watchBreaks"], 6);
    assert_eq!(value["leases"][0]["longestPause"], 1.9);
    assert_eq!(value["watches"]["mostBreaksInOneSecond"], 6);
    assert_eq!(value["reads"]["wentBack"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_picture_shows_every_second_every_mark_and_every_leader() {
    let mut report = outage();
    report.marks.push(Mark { at: 4.1, text: "a < b & c".to_owned() });
    let picture = report.picture();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    assert!(
        picture.contains(">one API server killed</text>") && picture.contains(">a &lt; b &amp; c</text>")
    );
    assert!(picture.contains(">scheduler-0</text>") && picture.contains(">scheduler-1</text>"));
    // A run without anything is a picture too.
    assert!(Report::default().picture().ends_with("</svg>\n"));
}
