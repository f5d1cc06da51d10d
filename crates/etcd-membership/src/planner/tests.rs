//! Single decisions that the simulation cannot tell apart, because every choice would heal in the end.
//! Histories are tested in `tests/simulation`.

use super::*;
use crate::observation::{Crashes, Identity, ListedMember, LiveView, PeerView, Volume, WantedMember};

fn wanted(name: &str) -> WantedMember {
    WantedMember {
        name: name.into(),
        peer_url: format!("https://{name}:2380"),
        client_url: format!("https://{name}:2379"),
    }
}

/// etcd-0 of three, running since long, with everything in order.
fn settled() -> Observation {
    Observation {
        me: "etcd-0".into(),
        wanted: ["etcd-0", "etcd-1", "etcd-2"].map(wanted).into(),
        volume: Volume {
            id: Some("v0".into()),
            data: Data::Present,
            identity: Some(Identity { name: "etcd-0".into(), cluster: ClusterId(1), member: MemberId(10) }),
            full: false,
        },
        record: Record::Present {
            founders: ["etcd-0", "etcd-1", "etcd-2"]
                .map(|name| (name.to_owned(), format!("https://{name}:2380")))
                .into(),
            mine: Some(Line { volume_id: Some("v0".into()), started: true }),
            given_up: Vec::new(),
        },
        live: None,
        rejoin_lock: None,
        crashes: Crashes::default(),
    }
}

fn listed(id: u64, name: &str) -> ListedMember {
    ListedMember {
        id: MemberId(id),
        name: name.into(),
        peer_urls: vec![format!("https://{name}:2380")],
        started: true,
        learner: false,
    }
}

fn live(members: Vec<ListedMember>) -> LiveView {
    let peer = |name: &str| PeerView { name: name.into(), etcd_answers: true, report: PeerReport::Data };
    LiveView {
        quorum: Some(Quorum { cluster: ClusterId(1), members }),
        peers: vec![peer("etcd-1"), peer("etcd-2")],
    }
}

fn all() -> Vec<ListedMember> {
    vec![listed(10, "etcd-0"), listed(11, "etcd-1"), listed(12, "etcd-2")]
}

fn awaits(step: &Step) -> &str {
    match step {
        Step::Wait { awaits, .. } => awaits,
        other => panic!("not a wait: {other:?}"),
    }
}

#[test]
fn data_starts_without_asking_and_without_a_record() {
    assert_eq!(next_step(&settled()), Step::StartExisting);
    let unreadable = Observation { record: Record::Unreadable("gone".into()), ..settled() };
    assert_eq!(next_step(&unreadable), Step::StartExisting);
    assert_eq!(next_step(&Observation { record: Record::Absent, ..settled() }), Step::RewriteRecord);
    let mut anonymous = settled();
    anonymous.volume.id = None;
    assert_eq!(next_step(&anonymous), Step::WriteVolumeId);
}

#[test]
fn data_is_doubted_only_after_five_crashes_and_a_copy_that_never_voted_is_not_replaced_again() {
    let crashed = |count, set_aside| Observation {
        crashes: Crashes { count, since_last: Duration::ZERO, data_was_set_aside: set_aside },
        live: Some(live(all())),
        ..settled()
    };
    assert_eq!(next_step(&Observation { live: None, ..crashed(1, false) }), Step::AskPeers);
    assert_eq!(next_step(&crashed(1, false)), Step::StartExisting);
    assert_eq!(next_step(&crashed(4, false)), Step::StartExisting);
    assert_eq!(next_step(&crashed(5, false)), Step::MoveDataAside(AsideReason::Rejected));
    assert_eq!(next_step(&crashed(5, true)), Step::MoveDataAside(AsideReason::Rejected), "the copy ran");
    let mut never_voted = crashed(5, true);
    let me = ListedMember { learner: true, ..listed(10, "etcd-0") };
    never_voted.live = Some(live(vec![me, listed(11, "etcd-1"), listed(12, "etcd-2")]));
    assert_eq!(next_step(&never_voted), Step::StartExisting);
    let mut full = crashed(5, false);
    full.volume.full = true;
    assert_eq!(awaits(&next_step(&full)), "space on the data volume");
    full.crashes.since_last = RETRY_IN_DOUBT;
    assert_eq!(next_step(&full), Step::StartExisting);
    let mut removed = crashed(1, false);
    removed.live = Some(live(vec![listed(99, "etcd-0"), listed(11, "etcd-1"), listed(12, "etcd-2")]));
    assert_eq!(next_step(&removed), Step::MoveDataAside(AsideReason::Removed));
}

#[test]
fn data_of_another_cluster_or_member_is_left_alone() {
    let mut foreign = Observation { live: Some(live(all())), ..settled() };
    foreign.crashes.count = 1;
    foreign.live.as_mut().unwrap().quorum.as_mut().unwrap().cluster = ClusterId(2);
    assert_eq!(awaits(&next_step(&foreign)), "peers of cluster 1, whose data is on this volume");
    let mut another = settled();
    another.volume.identity.as_mut().unwrap().name = "etcd-1".into();
    assert!(matches!(next_step(&another), Step::Refuse { what, .. } if what.contains("etcd-1")));
    let stranger = Observation {
        me: "etcd-9".into(),
        volume: Volume { identity: None, ..settled().volume },
        ..settled()
    };
    assert!(matches!(next_step(&stranger), Step::Refuse { what, .. } if what.contains("etcd-9")));
}

#[test]
fn a_lost_member_removes_adds_and_joins_under_the_lock() {
    let mut lost = settled();
    (lost.volume.data, lost.volume.identity) = (Data::Empty, None);
    assert_eq!(next_step(&lost), Step::AskPeers);
    lost.live = Some(live(all()));
    assert_eq!(next_step(&lost), Step::TakeRejoinLock);
    lost.rejoin_lock = Some(ClusterId(1));
    assert_eq!(next_step(&lost), Step::RemoveMe(MemberId(10)));
    lost.rejoin_lock = Some(ClusterId(2));
    assert_eq!(next_step(&lost), Step::TakeRejoinLock, "a lock of another cluster is none");
    lost.rejoin_lock = Some(ClusterId(1));
    lost.live = Some(live(all()[1..].to_vec()));
    assert_eq!(next_step(&lost), Step::AddMeAsLearner);
    let admitted =
        ListedMember { learner: true, started: false, name: String::new(), ..listed(20, "etcd-0") };
    lost.live = Some(live(vec![admitted.clone(), listed(11, "etcd-1"), listed(12, "etcd-2")]));
    assert_eq!(
        next_step(&lost),
        Step::RemoveMe(MemberId(20)),
        "somebody else's admission, or one of a lost volume"
    );
    lost.volume.identity =
        Some(Identity { name: "etcd-0".into(), cluster: ClusterId(1), member: MemberId(20) });
    let urls = ["etcd-0", "etcd-1", "etcd-2"].map(|name| (name.to_owned(), format!("https://{name}:2380")));
    assert_eq!(next_step(&lost), Step::StartJoining(urls.into()));
    lost.live = Some(live(vec![
        ListedMember { started: true, ..admitted },
        listed(11, "etcd-1"),
        listed(12, "etcd-2"),
    ]));
    assert_eq!(next_step(&lost), Step::RemoveMe(MemberId(20)), "it ran: its log is gone");
}

#[test]
fn a_removal_needs_enough_members_that_ran() {
    let mut lost = settled();
    (lost.volume.data, lost.volume.identity) = (Data::Empty, None);
    lost.rejoin_lock = Some(ClusterId(1));
    let never_ran = ListedMember { started: false, ..listed(12, "etcd-2") };
    lost.live = Some(live(vec![listed(10, "etcd-0"), listed(11, "etcd-1"), never_ran]));
    assert_eq!(awaits(&next_step(&lost)), "more started members");
}

#[test]
fn one_learner_at_a_time_and_the_lock_is_given_back_meanwhile() {
    let mut lost = settled();
    (lost.volume.data, lost.volume.identity) = (Data::Empty, None);
    let learner = ListedMember { learner: true, ..listed(12, "etcd-2") };
    lost.live = Some(live(vec![listed(10, "etcd-0"), listed(11, "etcd-1"), learner]));
    assert_eq!(awaits(&next_step(&lost)), "learner c (etcd-2) to be promoted");
    lost.rejoin_lock = Some(ClusterId(1));
    assert_eq!(next_step(&lost), Step::ReleaseRejoinLock);
}

#[test]
fn a_founder_that_crashed_founds_again_only_while_its_peers_know_it_as_one_that_never_ran() {
    let mut founder = settled();
    (founder.volume.data, founder.volume.identity) = (Data::Empty, None);
    let Record::Present { mine: Some(mine), .. } = &mut founder.record else { panic!() };
    mine.started = false;
    assert_eq!(next_step(&founder), Step::StartNew, "nobody is asked before the first start");
    founder.crashes.count = 1;
    assert_eq!(next_step(&founder), Step::AskPeers);
    let with_me = |me: ListedMember| Observation {
        live: Some(live(vec![me, listed(11, "etcd-1"), listed(12, "etcd-2")])),
        ..founder.clone()
    };
    let never_ran = ListedMember { started: false, ..listed(10, "etcd-0") };
    assert_eq!(next_step(&with_me(never_ran.clone())), Step::StartNew);
    assert_eq!(next_step(&with_me(listed(10, "etcd-0"))), Step::TakeRejoinLock);
    assert_eq!(next_step(&with_me(ListedMember { learner: true, ..never_ran })), Step::TakeRejoinLock);
    founder.volume.data = Data::Leftovers;
    founder.crashes.count = 0;
    assert_eq!(next_step(&founder), Step::ClearLeftovers);
}

#[test]
fn a_founder_with_another_url_than_recorded_is_refused() {
    let mut moved = settled();
    moved.volume.data = Data::Empty;
    moved.wanted[0].peer_url = "https://elsewhere:2380".into();
    let Record::Present { mine, .. } = &mut moved.record else { panic!() };
    *mine = None;
    assert!(
        matches!(next_step(&moved), Step::Refuse { what, .. } if what.contains("https://elsewhere:2380"))
    );
}

#[test]
fn data_of_a_cluster_that_was_given_up_is_set_aside_without_asking_anybody() {
    let mut seen = settled();
    let Record::Present { given_up, .. } = &mut seen.record else { panic!() };
    given_up.push(ClusterId(1));
    assert_eq!(next_step(&seen), Step::MoveDataAside(AsideReason::GivenUp));
    seen.volume.identity =
        Some(Identity { name: "etcd-0".into(), cluster: ClusterId(2), member: MemberId(10) });
    assert_eq!(next_step(&seen), Step::StartExisting, "the data of the cluster that took its place");
}
