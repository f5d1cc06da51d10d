//! Generated histories and what must be true of all of them.
//! 1500 of each property; `PROPTEST_CASES` runs more.

use proptest::prelude::*;

use crate::world::{Event, World};

/// Rounds in which every supervisor acts once. A rejoin takes about ten acts; two of them follow each other.
const ROUNDS_TO_HEAL: usize = 200;

fn event() -> impl Strategy<Value = Event> {
    let slot = 0..5_usize;
    prop_oneof![
        60 => slot.clone().prop_map(Event::Step),
        6 => (slot.clone(), 0..3_usize).prop_map(|(slot, parts)| Event::HalfStep(slot, parts)),
        3 => slot.clone().prop_map(Event::CrashSupervisor),
        3 => slot.clone().prop_map(Event::CrashChild),
        3 => slot.clone().prop_map(Event::LoseVolume),
        1 => slot.clone().prop_map(Event::ReturnVolume),
        2 => slot.clone().prop_map(Event::DeleteDirectory),
        1 => slot.clone().prop_map(Event::DeleteContents),
        1 => slot.clone().prop_map(Event::Corrupt),
        1 => slot.clone().prop_map(Event::RemoveByHand),
        2 => any::<[u8; 5]>().prop_map(Event::Partition),
        3 => Just(Event::Heal),
        3 => slot.clone().prop_map(Event::Elect),
        8 => (slot, any::<u8>()).prop_map(|(slot, to)| Event::Write(slot, to)),
        2 => Just(Event::LockExpires),
        1 => Just(Event::LockIsLost),
        1 => Just(Event::FiveMinutes),
        1 => any::<bool>().prop_map(Event::RecordReadable),
        1 => Just(Event::LoseRecord),
        2 => any::<bool>().prop_map(Event::Patience),
    ]
}

fn history() -> impl Strategy<Value = (usize, Vec<Event>)> {
    (prop_oneof![1 => Just(1), 5 => Just(3), 4 => Just(5)], prop::collection::vec(event(), 0..250))
}

/// The same while the number of wanted members changes.
fn history_of_sizes() -> impl Strategy<Value = (usize, Vec<Event>)> {
    let size = || prop_oneof![Just(1), Just(3), Just(5)];
    let event = prop_oneof![
        40 => event(),
        1 => size().prop_map(Event::Scale),
        1 => (0..5_usize).prop_map(Event::GraceEnds),
    ];
    (size(), prop::collection::vec(event, 0..400))
}

fn live_through(mut world: World, events: &[Event], majority_stays: bool) -> Result<World, TestCaseError> {
    for event in events {
        world.happen(*event, majority_stays);
        prop_assert!(
            world.violations.is_empty(),
            "{:?} after {event:?}; {:#?}",
            world.violations,
            world.last_steps
        );
    }
    Ok(world)
}

/// Faults are over: everything reaches everything, every supervisor is restarted when it ends, time passes.
fn calm_down(world: &mut World) -> Result<bool, TestCaseError> {
    world.happen(Event::Heal, true);
    world.happen(Event::RecordReadable(true), true);
    for round in 0..ROUNDS_TO_HEAL {
        for slot in 0..world.size {
            world.happen(Event::Step(slot), true);
        }
        world.happen(Event::Patience(round % 10 == 9), true);
        if round % 10 == 5 {
            world.happen(Event::LockExpires, true);
        }
        if round % 25 == 24 {
            world.happen(Event::FiveMinutes, true);
        }
        prop_assert!(world.violations.is_empty(), "{:?}; {:#?}", world.violations, tail(&world.last_steps));
        if world.is_whole() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tail(steps: &[String]) -> &[String] {
    &steps[steps.len().saturating_sub(25)..]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_500), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// While a majority keeps its data: safety all the time, and all members are voters again within bounded steps.
    #[test]
    fn a_majority_heals_everything((size, events) in history()) {
        let mut world = live_through(World::new(size), &events, true)?;
        let whole = calm_down(&mut world)?;
        prop_assert!(whole, "not whole: {:?} {:?}; {:#?}", world.configuration(), world.volumes, tail(&world.last_steps));
        prop_assert_eq!(world.missing_writes(), Vec::<u64>::new());
    }

    /// Whatever is lost: never a second cluster, never a member that founds again what it took part in.
    #[test]
    fn nothing_is_founded_twice_whatever_is_lost((size, events) in history()) {
        let mut world = live_through(World::new(size), &events, false)?;
        calm_down(&mut world)?;
    }

    /// Safety alone: that all members are voters again is not claimed for every history in which their number changes.
    #[test]
    fn nothing_is_founded_twice_while_the_number_of_members_changes((wanted, events) in history_of_sizes()) {
        let mut world = live_through(World::scalable(5, wanted), &events, false)?;
        calm_down(&mut world)?;
    }
}

#[test]
fn five_members_lose_two_volumes_at_once_and_heal() {
    let mut world = World::new(5);
    assert!(calm_down(&mut world).unwrap(), "founding: {:#?}", world.last_steps);
    world.happen(Event::LoseVolume(3), true);
    world.happen(Event::LoseVolume(4), true);
    assert!(!world.is_whole());
    assert!(calm_down(&mut world).unwrap(), "healing: {:#?}", world.last_steps);
    assert!(world.missing_writes().is_empty());
}

/// etcd adds nobody while that could cost the quorum: then the lost voter must be replaced before those that were removed.
#[test]
fn a_lost_voter_goes_before_removed_members_that_cannot_be_added_yet() {
    let mut world = World::new(5);
    assert!(calm_down(&mut world).unwrap());
    for member in [0, 1] {
        world.happen(Event::CrashSupervisor(member), false);
        world.happen(Event::RemoveByHand(member), false);
    }
    while world.last_steps.last().is_none_or(|step| step != "etcd-0: TakeRejoinLock") {
        world.happen(Event::Step(0), false);
    }
    world.happen(Event::LoseVolume(2), false);
    assert_eq!(world.configuration().unwrap().1.members.len(), 3);
    assert!(calm_down(&mut world).unwrap(), "{:#?}", tail(&world.last_steps));
}

#[test]
fn three_members_that_lose_two_volumes_wait_and_say_so() {
    let mut world = World::new(3);
    assert!(calm_down(&mut world).unwrap());
    world.happen(Event::LoseVolume(1), false);
    world.happen(Event::LoseVolume(2), false);
    assert!(!calm_down(&mut world).unwrap());
    let last = world.last_steps.last().unwrap();
    assert!(
        last.contains("the data of a majority is missing")
            && last.contains("`etcd-supervisor recover --lost etcd-"),
        "{last}"
    );
}
