//! Examples, and what holds for every history of answers.

use proptest::prelude::*;

use super::*;

const CUT: CutAfter = CutAfter { silent: Duration::from_secs(3), refusing: None, ending: None };

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn silent() -> Answer {
    Answer::Silent("no answer".into())
}

fn refuses() -> Answer {
    Answer::Refuses("drains".into())
}

fn usable(ports: &[u16]) -> View {
    View { usable: ports.iter().copied().map(address).collect(), ..View::default() }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_silent_replica_is_left_alone_for_three_seconds_and_a_draining_one_for_good() {
    let mut roster = Roster::new(CUT);
    roster.found([address(1), address(2)], seconds(0));
    assert_eq!(roster.view(seconds(0)).usable, [address(1), address(2)], "nobody was asked yet");
    assert!(roster.answered(address(1), Answer::Serves, seconds(0), seconds(0)));
    assert!(roster.answered(address(2), silent(), seconds(1), seconds(1)));
    assert_eq!(roster.view(seconds(3)), usable(&[1]));
    assert!(!roster.answered(address(2), silent(), seconds(3), seconds(3)), "no news");
    assert_eq!(roster.view(seconds(4)), View { lost: vec![address(2)], ..usable(&[1]) });
    assert!(roster.answered(address(2), refuses(), seconds(5), seconds(5)));
    assert_eq!(roster.view(seconds(500)), usable(&[1]));
    assert_eq!(roster.told(), "10.0.0.1:1 serves; 10.0.0.1:2 does not serve: drains");
}

#[test]
fn where_a_refusal_is_no_draining_it_is_left_too() {
    let mut roster = Roster::new(CutAfter { refusing: Some(seconds(3)), ..CUT });
    roster.found([address(1), address(2)], seconds(0));
    roster.answered(address(1), Answer::Serves, seconds(0), seconds(0));
    roster.answered(address(2), refuses(), seconds(0), seconds(0));
    assert_eq!(roster.view(seconds(3)).lost, [address(2)]);
}

#[test]
fn when_nobody_serves_those_that_answer_are_used_and_nothing_is_cut() {
    let mut roster = Roster::new(CUT);
    roster.found([address(1), address(2)], seconds(0));
    roster.answered(address(1), silent(), seconds(0), seconds(0));
    roster.answered(address(2), refuses(), seconds(0), seconds(0));
    assert_eq!(roster.view(seconds(60)), usable(&[2]));
    roster.answered(address(2), silent(), seconds(60), seconds(60));
    assert_eq!(roster.view(seconds(120)), usable(&[1, 2]));
}

#[test]
fn the_leader_is_the_best_and_the_next_one_is_waited_for_but_not_for_ever() {
    let mut roster = Roster::new(CUT);
    roster.found([address(1), address(2)], seconds(0));
    roster.answered(address(1), Answer::Serves, seconds(0), seconds(0));
    assert_eq!(roster.view(seconds(0)).best, Best::Anyone, "nobody led yet");
    assert!(roster.answered(address(2), Answer::Leads, seconds(1), seconds(1)));
    let both = View { best: Best::Leader(address(2)), ..usable(&[1, 2]) };
    assert_eq!(roster.view(seconds(1)), both);
    assert_eq!(roster.told(), "10.0.0.1:1 serves; 10.0.0.1:2 leads");
    roster.answered(address(2), silent(), seconds(2), seconds(3));
    assert_eq!(roster.view(seconds(3)), View { best: Best::NextLeader, ..usable(&[1]) });
    assert_eq!(roster.view(seconds(7)).best, Best::Anyone, "it may lead where it cannot be reached from");
    roster.answered(address(1), Answer::Leads, seconds(9), seconds(9));
    assert_eq!(roster.view(seconds(9)).best, Best::Leader(address(1)));
    roster.found([address(2)], seconds(10));
    assert_eq!(roster.view(seconds(10)).best, Best::NextLeader, "the leader is not listed any more");
}

#[test]
fn nobody_waits_for_the_next_leader_while_the_old_one_lives() {
    let mut roster = Roster::new(CUT);
    roster.found([address(1), address(2)], seconds(0));
    roster.answered(address(1), Answer::Serves, seconds(0), seconds(0));
    roster.answered(address(2), Answer::Leads, seconds(0), seconds(0));
    roster.answered(address(2), refuses(), seconds(2), seconds(3));
    roster.answered(address(1), Answer::Serves, seconds(2), seconds(3));
    assert_eq!(roster.view(seconds(3)).best, Best::NextLeader, "that was asked when it may have lived still");
    roster.answered(address(1), Answer::Serves, seconds(3), seconds(3));
    assert_eq!(
        roster.view(seconds(3)).best,
        Best::NextLeader,
        "the next one answers as well, if there is one"
    );
    assert_eq!(roster.view(seconds(3) + LEADER_ANSWERS).best, Best::Anyone);
}

#[test]
fn a_leader_whose_connections_are_closed_has_time_to_hand_over() {
    let quiet = Duration::from_millis(250);
    let mut roster = Roster::new(CutAfter { ending: Some(quiet), ..CUT });
    roster.found([address(1), address(2)], seconds(0));
    roster.answered(address(2), Answer::Leads, seconds(0), seconds(0));
    roster.answered(address(2), silent(), seconds(1), seconds(1));
    roster.answered(address(1), Answer::Serves, seconds(1), seconds(1));
    assert_eq!(roster.view(seconds(1) + LEADER_ANSWERS + quiet).best, Best::NextLeader);
    assert_eq!(roster.view(seconds(1) + LEADER_ANSWERS + quiet + HANDS_OVER).best, Best::Anyone);
    roster.answered(address(1), Answer::Leads, seconds(2), seconds(2));
    assert_eq!(roster.view(seconds(2)).best, Best::Leader(address(1)));
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![Just(Answer::Serves), Just(Answer::Leads), Just(refuses()), Just(silent())]
}

proptest! {
    #[test]
    fn nothing_is_cut_that_serves_or_that_nobody_replaces(
        steps in prop::collection::vec((1..4_u16, answer(), 0..3_u64, any::<[bool; 3]>()), 0..60),
        refusing in prop::option::of(0..5_u64),
    ) {
        let mut roster = Roster::new(CutAfter { refusing: refusing.map(seconds), ..CUT });
        let mut now = 0;
        let mut last = BTreeMap::new();
        for (port, answer, pause, listed) in steps {
            now += pause;
            let listed: Vec<_> = (1..4).filter(|port| listed[usize::from(*port) - 1]).map(address).collect();
            last.retain(|address, _| listed.contains(address));
            roster.found(listed.iter().copied(), seconds(now));
            roster.answered(address(port), answer.clone(), seconds(now), seconds(now));
            if listed.contains(&address(port)) {
                last.insert(address(port), answer);
            }
            let view = roster.view(seconds(now));
            prop_assert_eq!(view.usable.is_empty(), listed.is_empty());
            prop_assert!(view.usable.iter().chain(&view.lost).all(|address| listed.contains(address)));
            let serves = |address: &SocketAddr| last.get(address).is_some_and(Answer::serves);
            if let Best::Leader(leader) = view.best {
                prop_assert!(view.usable.contains(&leader) && last[&leader] == Answer::Leads);
            }
            prop_assert!(!view.lost.iter().any(serves));
            if !view.lost.is_empty() || listed.iter().any(serves) {
                prop_assert!(view.usable.iter().all(serves) && !view.usable.is_empty());
            }
        }
    }
}
