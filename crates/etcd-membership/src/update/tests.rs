//! Generated histories of updates: Pods end, start and crash, revisions change in mid-roll and break members, leadership
//! moves, and what a supervisor decided may reach the API after another one leads.

use proptest::prelude::*;

use super::*;
use crate::quorum::quorum;

const SETTLE: Duration = Duration::from_secs(10);
/// How long an eviction may be under way.
const LATEST: Duration = Duration::from_secs(7);

fn well(name: &str, revision: &str) -> MemberAtUpdate {
    let pod =
        PodAtUpdate::There { uid: format!("{name}-{revision}"), revision: revision.into(), ready: true };
    MemberAtUpdate { name: name.into(), pod, votes: true, serves: true }
}

fn view(me: &str, members: &[MemberAtUpdate]) -> UpdateView {
    UpdateView {
        me: me.into(),
        revision: Some("new".into()),
        members: members.to_vec(),
        voters: members.len(),
        changing: None,
    }
}

fn after_settling(view: &UpdateView) -> (String, Option<(String, Turn)>) {
    let mut updater = Updater::new(SETTLE);
    let first = updater.look(view, Duration::ZERO);
    assert!(first.evict.is_none_or(|victim| victim.turn == Turn::Alone), "{:?}", first.told);
    let then = updater.look(view, SETTLE);
    (then.told.unwrap_or_default(), then.evict.map(|victim| (victim.name, victim.turn)))
}

#[test]
fn the_highest_goes_first_and_the_leader_last() {
    let members = [well("e-0", "old"), well("e-1", "old"), well("e-2", "old")];
    assert_eq!(after_settling(&view("e-2", &members)).1, Some(("e-1".into(), Turn::OthersServe)));
    assert_eq!(after_settling(&view("e-1", &members)).1, Some(("e-2".into(), Turn::OthersServe)));
    let members = [well("e-0", "new"), well("e-1", "old"), well("e-2", "new")];
    let (told, evict) = after_settling(&view("e-1", &members));
    assert_eq!(evict, Some(("e-1".into(), Turn::Leader)));
    assert!(told.starts_with("2 of 3 members at revision new; next e-1, the leader and the last"), "{told}");
    let all = [well("e-0", "new"), well("e-1", "new"), well("e-2", "new")];
    assert_eq!(after_settling(&view("e-1", &all)), (String::new(), None));
}

#[test]
fn a_single_member_goes_at_once() {
    let mut updater = Updater::new(SETTLE);
    let update = updater.look(&view("e-0", &[well("e-0", "old")]), Duration::ZERO);
    assert_eq!(update.evict.map(|victim| victim.turn), Some(Turn::Alone));
}

#[test]
fn who_does_not_serve_goes_first_but_never_with_the_quorum() {
    let sick = |mut member: MemberAtUpdate| {
        member.serves = false;
        member
    };
    let members = [well("e-0", "old"), sick(well("e-1", "old")), well("e-2", "old")];
    assert_eq!(after_settling(&view("e-0", &members)).1, Some(("e-1".into(), Turn::Sick)));
    let members = [well("e-0", "old"), sick(well("e-1", "new")), well("e-2", "old")];
    let (told, evict) = after_settling(&view("e-0", &members));
    assert_eq!(evict, None);
    assert_eq!(told, "1 of 3 members at revision new; next e-2, waits for e-1 to serve");
    let members = [well("e-0", "old"), sick(well("e-1", "old")), sick(well("e-2", "old"))];
    let (told, evict) = after_settling(&view("e-0", &members));
    assert_eq!(evict, None);
    assert!(
        told.ends_with("waits for more members that serve: without it 1 would, and 2 of 3 are needed"),
        "{told}"
    );
}

#[test]
fn nobody_goes_while_another_is_away_joins_or_leaves_or_the_set_is_behind() {
    let mut away = well("e-1", "new");
    away.pod = PodAtUpdate::Leaving;
    let members = [well("e-0", "old"), away.clone(), well("e-2", "old")];
    let (told, evict) = after_settling(&view("e-0", &members));
    assert_eq!((evict, told.contains("waits for e-1 to end and come back")), (None, true), "{told}");
    away.pod = PodAtUpdate::Missing;
    let mut sick = well("e-2", "old");
    sick.serves = false;
    assert_eq!(after_settling(&view("e-0", &[well("e-0", "old"), away, sick])).1, None);
    let mut joining = view("e-0", &[well("e-0", "old"), well("e-1", "old"), well("e-2", "old")]);
    joining.changing = Some("e-4 to leave".into());
    assert_eq!(after_settling(&joining).1, None);
    joining.revision = None;
    assert_eq!(after_settling(&joining).1, None);
}

#[test]
fn another_choice_begins_anew() {
    let members = [well("e-0", "old"), well("e-1", "old"), well("e-2", "old")];
    let now = view("e-0", &members);
    let mut updater = Updater::new(SETTLE);
    assert_eq!(updater.look(&now, Duration::ZERO).evict, None);
    let mut blip = now.clone();
    blip.members[1].serves = false;
    assert_eq!(updater.look(&blip, SETTLE / 2).evict, None);
    assert_eq!(updater.look(&now, SETTLE).evict, None);
    assert!(updater.look(&now, SETTLE * 2).evict.is_some());
}

/// One member as it really is.
#[derive(Debug, Clone)]
struct Real {
    /// None: there is no Pod.
    pod: Option<RealPod>,
    /// Until then its etcd is down, though the Pod is there.
    down_until: Duration,
}

#[derive(Debug, Clone)]
struct RealPod {
    uid: u32,
    revision: u32,
    leaving: bool,
    ready: bool,
}

#[derive(Debug)]
struct World {
    now: Duration,
    members: Vec<Real>,
    revision: u32,
    /// The highest that there ever was.
    latest: u32,
    /// Whether members of this revision ever serve.
    broken: std::collections::BTreeSet<u32>,
    leader: usize,
    updaters: Vec<Updater>,
    /// Evictions that were decided, whether the decider was the last, and what was then the quorum's reserve.
    under_way: Vec<(Duration, Victim)>,
    faults: u32,
    next_uid: u32,
    evictions: Vec<(usize, u32)>,
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Look,
    LookAndStall,
    Deliver,
    Lead(usize),
    Kubelet(usize),
    Crash(usize, u64),
    Revise { broken: bool },
    RollBack,
}

impl World {
    fn new(size: usize) -> Self {
        let pod = |uid| RealPod { uid, revision: 0, leaving: false, ready: true };
        let members = (0..size).map(|number| Real {
            pod: Some(pod(u32::try_from(number).unwrap())),
            down_until: Duration::ZERO,
        });
        Self {
            now: Duration::ZERO,
            members: members.collect(),
            revision: 0,
            latest: 0,
            broken: [].into(),
            leader: 0,
            updaters: (0..size).map(|_| Updater::new(SETTLE)).collect(),
            under_way: Vec::new(),
            faults: 0,
            next_uid: 100,
            evictions: Vec::new(),
        }
    }

    fn serves(&self, member: usize) -> bool {
        let real = &self.members[member];
        real.down_until <= self.now && real.pod.as_ref().is_some_and(|pod| pod.ready && !pod.leaving)
    }

    fn serving(&self) -> usize {
        (0..self.members.len()).filter(|member| self.serves(*member)).count()
    }

    fn has_quorum(&self) -> bool {
        decides(self.serving(), self.members.len())
    }

    fn away(&self) -> usize {
        self.members.iter().filter(|real| real.pod.as_ref().is_none_or(|pod| pod.leaving)).count()
    }

    fn view(&self, me: usize) -> UpdateView {
        let member = |(number, real): (usize, &Real)| MemberAtUpdate {
            name: format!("e-{number}"),
            pod: match &real.pod {
                None => PodAtUpdate::Missing,
                Some(pod) if pod.leaving => PodAtUpdate::Leaving,
                Some(pod) => PodAtUpdate::There {
                    uid: pod.uid.to_string(),
                    revision: pod.revision.to_string(),
                    ready: pod.ready,
                },
            },
            votes: true,
            serves: self.serves(number),
        };
        UpdateView {
            me: format!("e-{me}"),
            revision: Some(self.revision.to_string()),
            members: self.members.iter().enumerate().map(member).collect(),
            voters: self.members.len(),
            changing: None,
        }
    }

    /// Somebody with a quorum behind him leads; whoever did before has to begin anew when he leads again.
    fn lead(&mut self, member: usize) {
        let candidates = (0..self.members.len()).map(|step| (member + step) % self.members.len());
        if let Some(next) =
            candidates.clone().find(|candidate| self.serves(*candidate)).filter(|_| self.has_quorum())
            && next != self.leader
        {
            self.leader = next;
            self.updaters[next] = Updater::new(SETTLE);
        }
    }

    fn look(&mut self) -> Option<Victim> {
        if !self.serves(self.leader) {
            self.lead(self.leader);
        }
        if !self.has_quorum() || !self.serves(self.leader) {
            return None;
        }
        let me = self.leader;
        let view = self.view(me);
        let victim = self.updaters[me].look(&view, self.now).evict?;
        let number: usize = victim.name[2..].parse().unwrap();
        let pod = self.members[number].pod.clone().unwrap();
        assert_ne!(pod.revision, self.revision, "{victim:?} is of the latest settings: {self:#?}");
        if number == me {
            let old = |real: &&Real| real.pod.as_ref().is_some_and(|pod| pod.revision != self.revision);
            assert_eq!(self.members.iter().filter(old).count(), 1, "the leader goes last: {self:#?}");
        }
        let remain = self.serving() - usize::from(self.serves(number));
        assert!(self.members.len() == 1 || remain >= quorum(self.members.len()), "{victim:?}: {self:#?}");
        Some(victim)
    }

    /// The API: a precondition on the UID, and no budget.
    fn evict(&mut self, victim: &Victim) {
        let number: usize = victim.name[2..].parse().unwrap();
        let away = self.away();
        let Some(pod) = self.members[number].pod.as_mut() else { return };
        if pod.uid.to_string() != victim.uid || pod.leaving {
            return;
        }
        pod.leaving = true;
        self.evictions.push((number, pod.revision));
        assert_eq!(away, 0, "two are away: {self:#?}");
        assert!(self.faults > 0 || self.members.len() == 1 || self.has_quorum(), "{self:#?}");
    }

    /// A Pod goes one step on its way: ends, is made anew with the latest settings, becomes ready.
    fn kubelet(&mut self, member: usize) {
        let real = &mut self.members[member];
        match &mut real.pod {
            Some(pod) if pod.leaving => real.pod = None,
            Some(pod) => pod.ready = !self.broken.contains(&pod.revision),
            None => {
                self.next_uid += 1;
                let pod =
                    RealPod { uid: self.next_uid, revision: self.revision, leaving: false, ready: false };
                real.pod = Some(pod);
            }
        }
    }

    fn happen(&mut self, event: &Event) {
        let size = self.members.len();
        match event {
            Event::Pass(seconds) => self.now += Duration::from_secs(*seconds),
            Event::Look => {
                if let Some(victim) = self.look() {
                    self.evict(&victim);
                }
            }
            Event::LookAndStall => {
                let decided = self.look().map(|victim| (self.now, victim));
                self.under_way.extend(decided);
            }
            Event::Deliver => {
                for (at, victim) in std::mem::take(&mut self.under_way) {
                    if self.now.saturating_sub(at) <= LATEST {
                        self.evict(&victim);
                    }
                }
            }
            Event::Lead(member) => self.lead(member % size),
            Event::Kubelet(member) => self.kubelet(member % size),
            Event::Crash(member, seconds) => {
                self.faults += 1;
                self.members[member % size].down_until = self.now + Duration::from_secs(*seconds);
            }
            Event::Revise { broken } => {
                self.latest += 1;
                self.revision = self.latest;
                if *broken {
                    self.broken.insert(self.revision);
                }
            }
            Event::RollBack => self.revision = 0,
        }
    }

    fn calm_down(&mut self) {
        for _ in 0..200 {
            self.now += Duration::from_secs(2);
            (0..self.members.len()).for_each(|member| self.kubelet(member));
            self.happen(&Event::Look);
        }
    }

    fn is_done(&self) -> bool {
        let done =
            |real: &Real| real.pod.as_ref().is_some_and(|pod| pod.revision == self.revision && pod.ready);
        self.members.iter().all(done)
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u64..8).prop_map(Event::Pass),
        6 => Just(Event::Look),
        2 => Just(Event::LookAndStall),
        2 => Just(Event::Deliver),
        2 => (0_usize..5).prop_map(Event::Lead),
        6 => (0_usize..5).prop_map(Event::Kubelet),
        1 => (0_usize..5, 0_u64..40).prop_map(|(member, seconds)| Event::Crash(member, seconds)),
        1 => any::<bool>().prop_map(|broken| Event::Revise { broken }),
        1 => Just(Event::RollBack),
    ]
}

/// What matters each second when leadership moves while an eviction is under way.
fn race() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Look),
        3 => Just(Event::LookAndStall),
        1 => Just(Event::Deliver),
        1 => (0_usize..3).prop_map(Event::Lead),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1_usize), Just(3), Just(5)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn one_at_a_time_and_never_the_quorum_whatever_happens(
        size in size(),
        events in proptest::collection::vec(event(), 0..150),
    ) {
        let mut world = World::new(size);
        for event in &events {
            world.happen(event);
        }
        // The settings are corrected; what is under way is over.
        world.under_way.clear();
        world.now += Duration::from_secs(60);
        world.happen(&Event::Revise { broken: false });
        // A single member that cannot start leads nobody: its Pod waits for a hand.
        prop_assume!(size > 1 || world.members[0].pod.as_ref().is_none_or(|pod| !world.broken.contains(&pod.revision)));
        world.calm_down();
        prop_assert!(world.is_done(), "{world:#?}");
    }

    #[test]
    fn two_that_both_think_they_lead_do_not_evict_beside_each_other(events in proptest::collection::vec(race(), 0..60)) {
        let mut world = World::new(3);
        world.happen(&Event::Revise { broken: false });
        for event in &events {
            world.happen(&Event::Pass(1));
            world.happen(event);
        }
    }

    #[test]
    fn undisturbed_each_goes_exactly_once_and_the_leader_last(size in size(), leader in 0_usize..5) {
        let mut world = World::new(size);
        world.lead(leader % size);
        let leader = world.leader;
        world.happen(&Event::Revise { broken: false });
        world.calm_down();
        prop_assert!(world.is_done());
        let mut members: Vec<usize> = world.evictions.iter().map(|(member, _)| *member).collect();
        prop_assert_eq!(members.last(), Some(&leader));
        members.sort_unstable();
        prop_assert_eq!(members, (0..size).collect::<Vec<_>>());
    }

    #[test]
    fn settings_that_break_members_stop_after_the_first_and_corrected_ones_heal_it(
        size in prop_oneof![Just(3_usize), Just(5)],
        back in any::<bool>(),
    ) {
        let mut world = World::new(size);
        world.happen(&Event::Revise { broken: true });
        world.calm_down();
        prop_assert_eq!(world.evictions.len(), 1);
        prop_assert_eq!(world.serving(), size - 1);
        world.happen(&if back { Event::RollBack } else { Event::Revise { broken: false } });
        world.calm_down();
        prop_assert!(world.is_done());
        prop_assert_eq!(world.evictions.len(), if back { 2 } else { 1 + size });
        prop_assert_eq!(world.evictions[0].0, world.evictions[1].0, "the sick one first");
    }
}
