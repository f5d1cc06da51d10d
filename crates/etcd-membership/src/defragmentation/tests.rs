//! Generated histories: databases grow and are compacted, members get sick and well, leadership moves while an order is
//! under way, space that was given back is taken again at once.

use proptest::prelude::*;

use super::*;

const CALM: Duration = LEAST_CALM;
const GIB: u64 = 1024 * MIB;
/// How long an order may be under way before the member begins.
const LATEST: u64 = 5;

fn policy() -> DefragmentationPolicy {
    DefragmentationPolicy { calm: CALM, ..DefragmentationPolicy::default() }
}

fn member(id: u64, file_mib: u64, used_mib: u64) -> MemberSpace {
    let database =
        DatabaseSpace { file_bytes: file_mib * MIB, used_bytes: used_mib * MIB, quota_bytes: Some(2 * GIB) };
    MemberSpace {
        id: MemberId(id),
        name: format!("e-{id}"),
        votes: true,
        serves: true,
        database: Some(database),
        disk_free_bytes: Some(10 * GIB),
    }
}

fn view(me: u64, members: &[MemberSpace]) -> SpaceView {
    SpaceView { me: MemberId(me), members: members.to_vec(), awaits: None }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Who is done after a time of calm, and what is told then.
fn after_calm(view: &SpaceView) -> (Option<u64>, String) {
    let mut defragmenter = Defragmenter::new(policy());
    assert_eq!(defragmenter.look(view, Duration::ZERO).member, None, "haste");
    let then = defragmenter.look(view, CALM);
    (then.member.map(|id| id.0), then.told.unwrap_or_default())
}

#[test]
fn half_a_file_of_some_size_is_worth_it_and_near_the_quota_a_tenth_is() {
    let three =
        |file, used| after_calm(&view(0, &[member(0, 10, 9), member(1, file, used), member(2, 10, 9)])).0;
    assert_eq!(three(400, 200), Some(1));
    assert_eq!(three(400, 201), None, "less than half");
    assert_eq!(three(198, 99), None, "less than 100 MiB");
    assert_eq!(three(1639, 1475), Some(1), "near the quota of 2048 MiB");
    assert_eq!(three(1639, 1500), None, "near the quota, but full of what is in use");
    assert_eq!(three(1637, 1400), None, "not near it");
    assert_eq!(three(0, 0), None);
}

#[test]
fn the_greatest_gain_goes_first_and_the_leader_last() {
    let members = [member(0, 900, 1), member(1, 400, 100), member(2, 500, 100)];
    assert_eq!(after_calm(&view(0, &members)).0, Some(2));
    let members = [member(0, 900, 1), member(1, 400, 100), member(2, 100, 100)];
    assert_eq!(after_calm(&view(0, &members)).0, Some(1));
    let members = [member(0, 900, 1), member(1, 100, 100), member(2, 100, 100)];
    let (next, told) = after_calm(&view(0, &members));
    assert_eq!(next, Some(0));
    assert_eq!(told, "next e-0, the leader and the last; goes once all have served for 6 s");
}

#[test]
fn nobody_goes_while_anything_is_amiss() {
    let members = [member(0, 10, 9), member(1, 400, 100), member(2, 10, 9)];
    let refused = |change: &dyn Fn(&mut SpaceView), told: &str| {
        let mut view = view(0, &members);
        change(&mut view);
        assert_eq!(after_calm(&view), (None, told.to_owned()));
    };
    refused(&|view| view.members[2].serves = false, "next e-1, waits for e-2 to serve");
    refused(&|view| view.members[0].votes = false, "next e-1, waits for e-0 to vote");
    refused(
        &|view| view.awaits = Some("the update of the Pods".into()),
        "next e-1, waits for the update of the Pods",
    );
    refused(
        &|view| view.members[1].disk_free_bytes = None,
        "next e-1, waits for its supervisor to say how much its disk has free",
    );
    refused(
        &|view| view.members[1].disk_free_bytes = Some(150 * MIB),
        "e-1 needs it, but its disk has less than 200 MiB free for the new file beside the old one: enlarge the volume",
    );
}

#[test]
fn a_disk_that_is_too_small_holds_up_nobody_else() {
    let mut members = [member(0, 900, 100), member(1, 800, 100), member(2, 10, 9)];
    members[1].disk_free_bytes = Some(0);
    assert_eq!(after_calm(&view(0, &members)).0, Some(0));
}

#[test]
fn a_single_member_pauses_for_its_quota_only() {
    assert_eq!(after_calm(&view(0, &[member(0, 1000, 100)])), (None, String::new()));
    assert_eq!(after_calm(&view(0, &[member(0, 1700, 100)])).0, Some(0));
}

#[test]
fn calm_begins_anew_with_every_trouble() {
    let well = view(0, &[member(0, 10, 9), member(1, 400, 100)]);
    let mut sick = well.clone();
    sick.members[0].serves = false;
    let mut defragmenter = Defragmenter::new(policy());
    for (at, seen) in [(0, &well), (5, &sick), (6, &well), (11, &well)] {
        assert_eq!(defragmenter.look(seen, seconds(at)).member, None, "at {at}");
    }
    defragmenter.rest();
    assert_eq!(defragmenter.look(&well, seconds(12)).member, None, "another led meanwhile");
    assert_eq!(defragmenter.look(&well, seconds(18)).member, Some(MemberId(1)));
    assert_eq!(defragmenter.look(&well, seconds(60)).told.unwrap(), "e-1 is being defragmented");
}

#[test]
fn space_that_is_taken_again_at_once_is_given_back_less_and_less_often() {
    for (file, most) in [(1000, 14), (1700, 24 * 10 + 5)] {
        let churning = view(0, &[member(0, 10, 9), member(1, file, 100)]);
        let mut defragmenter = Defragmenter::new(policy());
        let mut done = 0;
        for at in (0..10 * 24 * 3600).step_by(10) {
            if defragmenter.look(&churning, seconds(at)).member.is_some() {
                done += 1;
                defragmenter.ended(seconds(at));
            }
        }
        assert!((10..=most).contains(&done), "{done} times in ten days");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Grow(usize, u64),
    Compact(u64),
    Sick(usize),
    Well,
    Lead(usize),
    Other(bool),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0_usize..5, 1_u64..600).prop_map(|(member, mib)| Event::Grow(member, mib)),
        2 => (1_u64..50).prop_map(Event::Compact),
        1 => (0_usize..5).prop_map(Event::Sick),
        3 => Just(Event::Well),
        4 => (0_usize..5).prop_map(Event::Lead),
        1 => any::<bool>().prop_map(Event::Other),
        8 => (1_u64..20).prop_map(Event::Pass),
        1 => (1800_u64..90000).prop_map(Event::Pass),
    ]
}

/// An order of a supervisor: whom, when the member begins, when it is done.
#[derive(Debug, Clone, Copy)]
struct Order {
    victim: usize,
    begins: u64,
    ends: u64,
}

struct Model {
    now: u64,
    leader: usize,
    members: Vec<MemberSpace>,
    sick: Vec<bool>,
    other: bool,
    supervisors: Vec<(Defragmenter, Option<Order>)>,
    done: usize,
}

impl Model {
    fn new(size: usize) -> Self {
        Self {
            now: 0,
            leader: 0,
            members: (0..size as u64).map(|id| member(id, 900, 100)).collect(),
            sick: vec![false; size],
            other: false,
            supervisors: (0..size).map(|_| (Defragmenter::new(policy()), None)).collect(),
            done: 0,
        }
    }

    fn rewritten(&self, member: usize) -> bool {
        let orders = self.supervisors.iter().filter_map(|(_, order)| *order);
        orders
            .filter(|order| order.victim == member)
            .any(|order| (order.begins..order.ends).contains(&self.now))
    }

    fn view(&self) -> SpaceView {
        let mut view = view(self.leader as u64, &self.members);
        for (ordinal, member) in view.members.iter_mut().enumerate() {
            member.serves = !self.sick[ordinal] && !self.rewritten(ordinal);
            if !member.serves {
                member.database = None;
            }
        }
        view.awaits = self.other.then(|| "the update".to_owned());
        view
    }

    fn second(&mut self, delay: u64, duration: u64) {
        self.now += 1;
        for supervisor in 0..self.supervisors.len() {
            let Some(order) = self.supervisors[supervisor].1.filter(|order| order.ends <= self.now) else {
                continue;
            };
            let database = self.members[order.victim].database.as_mut().unwrap();
            database.file_bytes = database.used_bytes;
            self.supervisors[supervisor].1 = None;
            self.supervisors[supervisor].0.ended(seconds(self.now));
            self.done += 1;
        }
        let busy = (0..self.members.len()).filter(|member| self.rewritten(*member)).count();
        assert!(busy <= 1, "two at once");
        let view = self.view();
        for (ordinal, (defragmenter, _)) in self.supervisors.iter_mut().enumerate() {
            if ordinal != self.leader {
                defragmenter.rest();
            }
        }
        let (defragmenter, order) = &mut self.supervisors[self.leader];
        let Some(victim) = defragmenter.look(&view, seconds(self.now)).member else { return };
        assert!(order.is_none(), "a second order");
        assert!(
            view.awaits.is_none() && view.members.iter().all(|member| member.serves && member.votes),
            "{view:?}"
        );
        let victim = view.members.iter().position(|member| member.id == victim).unwrap();
        if victim == self.leader {
            let due =
                |member: &MemberSpace| need(policy(), member.database.unwrap()).map(|need| (member.id, need));
            let followers = view.members.iter().filter(|member| member.id != view.me).filter_map(due);
            for (id, need) in followers {
                assert!(!defragmenter.is_due(id, need, seconds(self.now)), "the leader before a follower");
            }
        }
        let begins = self.now + delay;
        *order = Some(Order { victim, begins, ends: begins + duration });
    }

    fn grow(&mut self, member: usize, mib: u64) {
        let database = self.members[member].database.as_mut().unwrap();
        database.used_bytes += mib * MIB;
        database.file_bytes = database.file_bytes.max(database.used_bytes);
    }
}

proptest! {
    #[test]
    fn one_at_a_time_never_beside_trouble_and_in_the_end_nobody_is_left(
        size in 1_usize..=5,
        delays in proptest::collection::vec((0..=LATEST, 1_u64..60), 1..40),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let mut model = Model::new(size);
        let mut delays = delays.into_iter().cycle();
        for event in events {
            match event {
                Event::Grow(member, mib) if member < size => model.grow(member, mib),
                Event::Compact(percent) => for member in &mut model.members {
                    let database = member.database.as_mut().unwrap();
                    database.used_bytes = database.used_bytes / 100 * percent;
                },
                Event::Sick(member) if member < size => model.sick[member] = true,
                Event::Well => model.sick.iter_mut().for_each(|sick| *sick = false),
                Event::Lead(member) if member < size => model.leader = member,
                Event::Other(other) => model.other = other,
                // Nobody looks for so long: all that was under way is over.
                Event::Pass(time) if time >= 1800 => model.now += time,
                Event::Pass(time) => for _ in 0..time {
                    let (delay, duration) = delays.next().unwrap();
                    model.second(delay, duration);
                },
                _ => {}
            }
        }
        model.sick.iter_mut().for_each(|sick| *sick = false);
        model.other = false;
        model.now += 3 * 24 * 3600;
        let before = model.done;
        for _ in 0..(size as u64 + 2) * (CALM.as_secs() + LATEST + 62) {
            let (delay, duration) = delays.next().unwrap();
            model.second(delay, duration);
        }
        prop_assert!(model.done - before <= size + 1, "one each is enough, but for one that was under way");
        let left = model.members.iter().filter(|member| {
            need(policy(), member.database.unwrap()).is_some_and(|need| size > 1 || need == Need::Quota)
        });
        prop_assert_eq!(left.count(), 0);
    }
}
