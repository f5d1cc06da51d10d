//! Every refusal by the smallest change that causes it, and crashes between any two steps of any histories of two recoveries.

use proptest::prelude::*;

use super::*;
use crate::observation::PeerReport;

fn position(revision: i64, applied: u64) -> Position {
    Position { cluster: ClusterId(1), revision, applied: Some(applied) }
}

fn gone(name: &str) -> OtherMember {
    OtherMember {
        name: name.into(),
        report: PeerReport::Empty,
        etcd_answers: false,
        serves: false,
        position: None,
    }
}

/// etcd-2 of three has its data, the others lost theirs.
fn lost_majority() -> Situation {
    Situation {
        me: "etcd-2".into(),
        data: Data::Present,
        serves: false,
        position: Some(position(100, 120)),
        others: vec![gone("etcd-0"), OtherMember { report: PeerReport::Silent, ..gone("etcd-1") }],
        record: RecordNow::Present { recovery: None },
        tool: Ok("3.7.3".into()),
        snapshot: None,
        lack_of_space: None,
    }
}

fn asks(source: RecoverySource, lost: &[&str]) -> RecoveryRequest {
    let lost = lost.iter().map(|name| (*name).to_owned()).collect();
    RecoveryRequest { source, lost, despite_newer: Vec::new() }
}

fn with_both_named() -> RecoveryRequest {
    asks(RecoverySource::OwnData, &["etcd-0", "etcd-1"])
}

fn refused(request: &RecoveryRequest, seen: &Situation) -> String {
    let refusals = judge(request, seen);
    let lines: Vec<String> =
        refusals.iter().map(|refusal| format!("{}; {}\n", refusal.what, refusal.remedy)).collect();
    lines.concat()
}

fn survivor(name: &str, revision: i64, applied: u64) -> OtherMember {
    OtherMember {
        report: PeerReport::Data,
        etcd_answers: true,
        position: Some(position(revision, applied)),
        ..gone(name)
    }
}

#[test]
fn a_survivor_is_allowed_when_all_others_are_named_and_show_nothing() {
    assert_eq!(refused(&with_both_named(), &lost_majority()), "");
}

#[test]
fn who_is_not_named_may_come_back() {
    for lost in [&[][..], &["etcd-0"], &["etcd-1"]] {
        let text = refused(&asks(RecoverySource::OwnData, lost), &lost_majority());
        assert!(text.contains("may still come back") && text.contains("add --lost etcd-"), "{text}");
    }
}

#[test]
fn nothing_is_recovered_while_anybody_serves() {
    let mut seen = lost_majority();
    seen.serves = true;
    assert!(refused(&with_both_named(), &seen).contains("etcd-2 serves with a quorum"));
    let mut seen = lost_majority();
    seen.others[1].serves = true;
    assert!(refused(&with_both_named(), &seen).contains("etcd-1 serves with a quorum"));
}

#[test]
fn whoever_is_named_as_lost_and_has_data_is_believed() {
    let mut seen = lost_majority();
    seen.others[0] = OtherMember { report: PeerReport::Data, ..gone("etcd-0") };
    assert!(refused(&with_both_named(), &seen).contains("was named as lost, and it answers"));
    seen.others[0] = OtherMember { etcd_answers: true, ..gone("etcd-0") };
    assert!(refused(&with_both_named(), &seen).contains("was named as lost, and it answers"));
}

#[test]
fn of_two_survivors_of_five_the_newer_one_is_named() {
    let lost = ["etcd-0", "etcd-3", "etcd-4"];
    let mut request = asks(RecoverySource::OwnData, &lost);
    let mut seen = lost_majority();
    seen.others = lost.map(gone).into();
    seen.others.push(survivor("etcd-1", 100, 120));
    assert_eq!(refused(&request, &seen), "", "as new as this one");
    seen.others[3] = survivor("etcd-1", 101, 121);
    let text = refused(&request, &seen);
    assert!(
        text.contains("run this beside etcd-1 instead") && text.contains("--despite-newer etcd-1"),
        "{text}"
    );
    request.despite_newer.push("etcd-1".into());
    assert_eq!(refused(&request, &seen), "");
    request.despite_newer.clear();
    seen.others[3] = survivor("etcd-1", 100, 120);
    seen.position = Some(Position { applied: None, ..position(100, 0) });
    assert_eq!(refused(&request, &seen), "", "its own etcd does not answer, and its data is as new");
    seen.position = Some(Position { applied: None, ..position(99, 0) });
    assert!(refused(&request, &seen).contains("etcd-1 has newer data: revision 100"));
    seen.others[3].position = None;
    assert!(refused(&request, &seen).contains("cannot be told whether it is newer"));
}

#[test]
fn survivors_that_are_a_quorum_are_left_to_themselves() {
    let mut seen = lost_majority();
    seen.others[1] = survivor("etcd-1", 100, 120);
    let text = refused(&asks(RecoverySource::OwnData, &["etcd-0"]), &seen);
    assert!(text.contains("2 of 3 members answer and have data"), "{text}");
}

#[test]
fn what_is_missing_or_misspelt_is_told() {
    let mut seen = lost_majority();
    seen.record = RecordNow::Unreadable("cut off".into());
    seen.tool = Err("there is no etcdutl".into());
    seen.lack_of_space = Some("the disk is full".into());
    let mut request = with_both_named();
    request.lost.push("etcd-9".into());
    request.lost.push("etcd-2".into());
    let text = refused(&request, &seen);
    for expected in
        ["cut off", "no etcdutl", "disk is full", "etcd-9 is no member", "etcd-2 is named as lost"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let mut seen = lost_majority();
    seen.data = Data::Empty;
    assert!(refused(&with_both_named(), &seen).contains("etcd-2 has no data"));
}

#[test]
fn a_snapshot_needs_that_all_data_is_given_up() {
    let mut seen = lost_majority();
    let all = asks(RecoverySource::Snapshot, &["etcd-0", "etcd-1", "etcd-2"]);
    assert_eq!(refused(&all, &seen), "");
    let others = asks(RecoverySource::Snapshot, &["etcd-0", "etcd-1"]);
    assert!(refused(&others, &seen).contains("etcd-2 has data of its own"));
    seen.data = Data::Empty;
    assert_eq!(refused(&others, &seen), "");
    seen.snapshot = Some(Err("cut off".into()));
    assert!(refused(&others, &seen).contains("cut off"));
    seen.snapshot = None;
    seen.others[0] = survivor("etcd-0", 1, 1);
    assert!(refused(&asks(RecoverySource::Snapshot, &["etcd-1"]), &seen).contains("run this beside etcd-0"));
}

#[test]
fn nothing_is_founded_anew_while_anybody_has_data() {
    let mut seen = lost_majority();
    let request = asks(RecoverySource::Nothing, &["etcd-0", "etcd-1"]);
    assert!(refused(&request, &seen).contains("etcd-2 has data"));
    seen.data = Data::Empty;
    seen.tool = Err("not needed".into());
    assert_eq!(refused(&request, &seen), "");
    seen.record = RecordNow::Absent;
    assert!(refused(&request, &seen).contains("found a cluster by themselves"));
}

#[test]
fn the_report_says_who_has_what_and_what_may_be_lost() {
    let (request, seen) = (with_both_named(), lost_majority());
    insta::assert_snapshot!(report(&request, &seen, &judge(&request, &seen)));
    let request = asks(RecoverySource::OwnData, &["etcd-0"]);
    insta::assert_snapshot!(report(&request, &seen, &judge(&request, &seen)));
}

/// A survivor's volume and mark, with a world that is hostile: crashes, an unreadable record, verdicts that change.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is there or is not, on its own")]
struct Survivor {
    nonce: &'static str,
    mark: Option<(Phase, Option<String>)>,
    old_data: bool,
    new_data: bool,
    built: bool,
    replayed: bool,
    set_aside: bool,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Step { who: usize, crashes: bool, refused: bool, readable: bool },
}

fn event() -> impl Strategy<Value = Event> {
    (0_usize..2, prop::bool::weighted(0.3), prop::bool::weighted(0.1), prop::bool::weighted(0.8))
        .prop_map(|(who, crashes, refused, readable)| Event::Step { who, crashes, refused, readable })
}

/// One step of one survivor; `crashes` ends the supervisor after the step's effect and before what it notes.
fn take(record: &mut Option<String>, switches: &mut Vec<&'static str>, it: &mut Survivor, event: Event) {
    let Event::Step { crashes, refused, readable, .. } = event;
    let Some((phase, former)) = it.mark.clone() else { return };
    let mut now = RecoveryProgress {
        nonce: it.nonce.into(),
        source: RecoverySource::OwnData,
        phase,
        former,
        record: if readable {
            RecordNow::Present { recovery: record.clone() }
        } else {
            RecordNow::Unreadable("now".into())
        },
        data: if it.old_data || it.new_data { Data::Present } else { Data::NoDirectory },
        built: it.built,
        replayed: it.replayed,
        verdict: Verdict::NotAsked,
    };
    let mut step = next_recovery_step(&now);
    if step == RecoveryStep::Judge {
        let is_refused = refused || !readable;
        now.verdict = if is_refused { Verdict::Refused("no".into()) } else { Verdict::Allowed };
        step = next_recovery_step(&now);
    }
    let note = |it: &mut Survivor, phase| it.mark = it.mark.take().map(|(_, former)| (phase, former));
    match step {
        RecoveryStep::LetEtcdReplay => {
            note(it, Phase::Asked);
            if !crashes {
                it.built = false;
                it.replayed = true;
            }
        }
        RecoveryStep::Build => {
            it.built = true;
            if !crashes {
                note(it, Phase::Built);
            }
        }
        // Somebody may have been faster since it was read.
        RecoveryStep::SwitchRecord if *record == now.former => {
            *record = Some(it.nonce.to_owned());
            switches.push(it.nonce);
        }
        RecoveryStep::NoteSwitch if !crashes => note(it, Phase::Switched),
        RecoveryStep::SetDataAside => (it.old_data, it.set_aside) = (false, true),
        RecoveryStep::PutInPlace => (it.built, it.new_data) = (false, true),
        RecoveryStep::Abandon(_) => {
            it.mark = None;
            if !crashes {
                it.built = false;
            }
        }
        RecoveryStep::Finish if !crashes => it.mark = None,
        RecoveryStep::Judge => panic!("judged already"),
        _ => {}
    }
    if crashes {
        it.replayed = false;
    }
}

proptest! {
    #[test]
    fn of_two_recoveries_with_crashes_anywhere_at_most_one_takes_place_and_it_ends(
        events in prop::collection::vec(event(), 0..120)
    ) {
        let fresh = |nonce| Survivor {
            nonce,
            mark: Some((Phase::Asked, None)),
            old_data: true,
            new_data: false,
            built: false,
            replayed: false,
            set_aside: false,
        };
        let mut both = [fresh("one"), fresh("two")];
        let mut record = None;
        let mut switches = Vec::new();
        let calm = (0..24).map(|turn| Event::Step { who: turn % 2, crashes: false, refused: false, readable: true });
        for event in events.into_iter().chain(calm) {
            let Event::Step { who, .. } = event;
            take(&mut record, &mut switches, &mut both[who], event);
            for it in &both {
                prop_assert!(!(it.old_data && it.new_data));
                prop_assert!(!it.new_data || record.as_deref() == Some(it.nonce), "a cluster that the record does not name");
                prop_assert!(it.old_data || record.as_deref() == Some(it.nonce), "data was touched without the record");
                prop_assert!(it.old_data || it.set_aside, "data was deleted");
            }
            prop_assert!(switches.len() <= 1, "{switches:?}");
        }
        for it in &both {
            prop_assert!(it.mark.is_none(), "{it:?} did not end");
            let holds = record.as_deref() == Some(it.nonce);
            prop_assert_eq!(it.new_data, holds);
            prop_assert_eq!(it.old_data, !holds);
        }
    }
}
