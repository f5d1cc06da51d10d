//! Rotations among instances that crash, come, go, stay behind and confirm late, driven by two replicas that are started again
//! and whose clocks jump, in generated orders. Refuses time of its own: seconds are counted.

use std::collections::BTreeSet;

use certificates::SharedKeySet;
use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::kept::Kept;
use crate::rotation::standing::{Moment, Standings, Stored, is_news};

const BEGAN: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const PATIENCE: Patience = Patience {
    settle: Duration::from_secs(30),
    known: Duration::from_secs(50),
    overlap: Duration::from_secs(100),
};

/// The set of which the world has one.
const KEPT: Kept = Kept::Shared(SharedKeySet::ServiceAccount);
/// What a replica that is started again may count too much of a wait, in seconds: a part of it.
const PART: u64 = 4;

/// What may happen between two looks of the planner.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// An instance takes over what is handed out, by whichever replica answers.
    Fetch(usize),
    /// An instance restarts its child with what it holds.
    Restart(usize),
    /// An instance is gone and another is there, which fetches before it serves.
    Replace(usize),
    /// An instance does not answer at the next look.
    Silent(usize),
    /// A token is signed, an object written.
    Make(usize),
    /// Everything stored is written anew, by whoever writes.
    Rewrite,
    /// Time passes.
    Pass(u16),
    /// A replica's planner looks, and its step is stored.
    Look(usize),
    /// A replica's planner looks and dies before its step is stored; it is started again.
    Crash(usize),
    /// A replica's clock jumps by so many seconds.
    Jump(usize, i32),
}

/// A replica of who drives the rotation.
struct Replica {
    standings: Standings,
    /// In seconds of the world.
    began: u64,
    /// Of its clock, in seconds.
    wrong_by: i64,
}

#[derive(Debug, Clone, Copy)]
struct Instance {
    component: Component,
    held: u64,
    in_use: u64,
    silent: bool,
}

/// What the keys of one generation are for.
#[derive(Debug, Clone)]
struct Set {
    uses: u64,
    trusts: BTreeSet<u64>,
    stored_at: u64,
}

struct World {
    set: Rotated,
    replicas: [Replica; 2],
    /// Where it is stored to stand.
    stored: Stored,
    /// When that stage was entered, and how often a replica was started since.
    entered_at: u64,
    starts: u64,
    /// How much earlier than it should have the last old key may have gone, in seconds.
    too_early: u64,
    /// By generation, from 1.
    sets: Vec<Set>,
    instances: Vec<Instance>,
    /// Numbers of the keys with which something that still counts was made, and when.
    made: Vec<(u64, u64)>,
    rewritten: Option<u64>,
    seconds: u64,
}

impl World {
    fn new(set: Rotated) -> Self {
        let instance = |component| Instance { component, held: 1, in_use: 1, silent: false };
        let replica = || Replica { standings: Standings::default(), began: 0, wrong_by: 0 };
        let position = Position { key: 1, stage: Stage::Settled, stood: None, generation: 1 };
        let mut world = Self {
            set,
            replicas: [replica(), replica()],
            stored: Stored { position, at: None },
            entered_at: 0,
            starts: 0,
            too_early: 0,
            sets: vec![Set { uses: 1, trusts: BTreeSet::from([1]), stored_at: 0 }],
            instances: [Component::KubeApiserver, Component::KubeApiserver, Component::KubeControllerManager]
                .map(instance)
                .to_vec(),
            made: vec![(1, 0)],
            rewritten: None,
            seconds: 0,
        };
        for replica in 0..2 {
            world.position(replica);
        }
        world
    }

    /// What the clock of a replica says.
    fn wall(&self, replica: usize) -> OffsetDateTime {
        BEGAN + Duration::from_secs(self.seconds) + time::Duration::seconds(self.replicas[replica].wrong_by)
    }

    /// Where a replica sees it stand.
    fn position(&mut self, replica: usize) -> Position {
        let wall = self.wall(replica);
        let Replica { standings, began, .. } = &mut self.replicas[replica];
        let now = Moment { steady: Duration::from_secs(self.seconds - *began), wall };
        let wait = PATIENCE.at(self.stored.position.stage);
        Position { stood: standings.look(KEPT, &self.stored, wait, now), ..self.stored.position }
    }

    fn restart(&mut self, replica: usize) {
        let wrong_by = self.replicas[replica].wrong_by;
        self.replicas[replica] = Replica { standings: Standings::default(), began: self.seconds, wrong_by };
        self.starts += 1;
        self.position(replica);
    }

    fn of(&self, generation: u64) -> &Set {
        &self.sets[usize::try_from(generation).unwrap() - 1]
    }

    fn next(&mut self, replica: usize, wanted: u64) -> Step {
        let position = self.position(replica);
        let holders: Vec<Holder> = self
            .instances
            .iter()
            .enumerate()
            .map(|(index, instance)| Holder {
                name: index.to_string(),
                component: instance.component,
                confirmed: match instance.silent {
                    true => Err("no answer".to_owned()),
                    false if instance.in_use < position.generation => {
                        Err(format!("generation {}", instance.in_use))
                    }
                    false => Ok(()),
                },
            })
            .collect();
        step(self.set, &position, wanted, &holders, self.rewritten, self.wall(replica), PATIENCE)
    }

    fn enter(&mut self, replica: usize, stage: Stage) {
        let mut position = self.stored.position;
        let (stood, may_be_early) = (self.seconds - self.entered_at, self.starts * PART);
        let wait = PATIENCE.at(position.stage).as_secs();
        assert!(stood + may_be_early >= wait, "{:?} is left after {stood} of {wait} s", position.stage);
        let settled = position.stood.is_none() || stood >= PATIENCE.settle.as_secs();
        assert!(
            settled,
            "{:?} is left after {stood} s, while it may not be known everywhere",
            position.stage
        );
        if position.stage == Stage::Retiring {
            self.too_early = may_be_early;
        }
        let (key, mut set) = (position.key, self.of(position.generation).clone());
        match stage {
            Stage::Introduced => assert!(set.trusts.insert(key + 1)),
            Stage::Used => set.uses = key + 1,
            Stage::Retiring => {}
            Stage::Settled if position.stage == Stage::Dropped => {}
            Stage::Dropped | Stage::Settled => assert!(set.trusts.remove(&key)),
        }
        if stage != Stage::Retiring && position.stage != Stage::Dropped {
            set.stored_at = self.seconds;
            self.sets.push(set);
            position.generation += 1;
        }
        position.key += u64::from(stage == Stage::Settled);
        position.stage = stage;
        (self.entered_at, self.starts) = (self.seconds, 0);
        self.store(replica, Position { stood: Some(Duration::ZERO), ..position });
        // To publish it, it looks where that stands.
        self.position(replica);
    }

    fn store(&mut self, replica: usize, position: Position) {
        self.stored = Stored { position, at: Some(self.wall(replica)) };
    }

    /// Stores how long a replica waits already, as the driver does.
    fn store_count(&mut self, replica: usize) {
        let (stored, Some(stood)) = (self.stored.position, self.position(replica).stood) else { return };
        if is_news(stood, stored.stood.unwrap_or_default(), PATIENCE.at(stored.stage)) {
            self.store(replica, Position { stood: Some(stood), ..stored });
        }
    }

    /// What a replica of the certificate-authority may hand out now: the present set, or while that is young the one before.
    fn handed_out(&self, stale: bool) -> u64 {
        let present = self.stored.position.generation;
        let young = self.of(present).stored_at + PATIENCE.settle.as_secs() > self.seconds;
        if stale && young { present.max(2) - 1 } else { present }
    }

    fn happen(&mut self, event: Event, stale: bool, wanted: u64) {
        let count = self.instances.len();
        match event {
            Event::Fetch(index) => {
                let handed_out = self.handed_out(stale);
                let held = &mut self.instances[index % count].held;
                *held = handed_out.max(*held);
            }
            Event::Restart(index) => {
                let instance = &mut self.instances[index % count];
                instance.in_use = instance.held;
            }
            Event::Replace(index) => {
                let handed_out = self.handed_out(stale);
                let instance = &mut self.instances[index % count];
                (instance.held, instance.in_use) = (handed_out, handed_out);
            }
            Event::Silent(index) => self.instances[index % count].silent = true,
            Event::Make(index) => {
                let instance = &self.instances[index % count];
                if concerns(self.set, instance.component) {
                    self.made.push((self.of(instance.in_use).uses, self.seconds));
                }
            }
            Event::Rewrite => {
                // As cluster-bootstrap does: only when it is told to, and through any API server.
                if self.set == Rotated::Encryption
                    && let Some(generation) = self.position(0).asks_to_rewrite(PATIENCE)
                {
                    let uses = self.of(self.instances[0].in_use).uses;
                    self.made.iter_mut().for_each(|(key, _)| *key = uses);
                    self.rewritten = Some(generation);
                }
            }
            Event::Pass(seconds) => self.seconds += u64::from(seconds),
            Event::Look(replica) => {
                match self.next(replica, wanted) {
                    Step::Enter(next) => self.enter(replica, next),
                    Step::Wait(_) => self.store_count(replica),
                    Step::Rest => {}
                }
                self.instances.iter_mut().for_each(|instance| instance.silent = false);
            }
            Event::Crash(replica) => {
                drop(self.next(replica, wanted));
                self.restart(replica);
            }
            Event::Jump(replica, by) => self.replicas[replica].wrong_by += i64::from(by),
        }
    }

    fn check(&self) {
        for one in self.instances.iter().filter(|it| concerns(self.set, it.component)) {
            let uses = self.of(one.in_use).uses;
            // The controller-manager only signs tokens; every instance is asked by others for whom it trusts.
            let meets = |it: &&Instance| {
                it.component == Component::KubeApiserver || self.set == Rotated::CertificateAuthorities
            };
            for other in self.instances.iter().filter(meets) {
                let trusts = &self.of(other.in_use).trusts;
                assert!(trusts.contains(&uses), "{one:?} uses what {other:?} does not trust");
                for (key, made) in &self.made {
                    let counts = match self.set {
                        Rotated::Encryption => true,
                        _ => made + PATIENCE.overlap.as_secs() > self.seconds + self.too_early,
                    };
                    assert!(!counts || trusts.contains(key), "{other:?} has lost key {key} of {made} s");
                }
            }
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Event::Fetch),
        4 => (0..3_usize).prop_map(Event::Restart),
        1 => (0..3_usize).prop_map(Event::Replace),
        1 => (0..3_usize).prop_map(Event::Silent),
        2 => (0..3_usize).prop_map(Event::Make),
        1 => Just(Event::Rewrite),
        3 => (1..60_u16).prop_map(Event::Pass),
        6 => (0..2_usize).prop_map(Event::Look),
        1 => (0..2_usize).prop_map(Event::Crash),
        1 => (0..2_usize, -5_000_000..5_000_000).prop_map(|(replica, by)| Event::Jump(replica, by)),
    ]
}

fn sets() -> impl Strategy<Value = Rotated> {
    prop::sample::select(&Rotated::ALL[..])
}

proptest! {
    #[test]
    fn nobody_meets_a_key_that_he_does_not_trust_and_every_rotation_ends(
        set in sets(), wanted in 1..4_u64, events in prop::collection::vec((event(), any::<bool>()), 0..200),
    ) {
        let mut world = World::new(set);
        for (event, stale) in events {
            world.happen(event, stale, wanted);
            world.check();
        }
        for _round in 0..40 {
            for index in 0..3 {
                world.happen(Event::Fetch(index), false, wanted);
                world.happen(Event::Restart(index), false, wanted);
                world.check();
            }
            for event in [Event::Pass(60), Event::Rewrite, Event::Look(0)] {
                world.happen(event, false, wanted);
                world.check();
            }
        }
        let Position { key, stage, .. } = world.stored.position;
        prop_assert_eq!((key, stage), (wanted, Stage::Settled));
    }

    #[test]
    fn an_instance_that_says_nothing_or_is_behind_holds_everything_up(set in sets(), silent: bool, rounds in 1..20_usize) {
        let mut world = World::new(set);
        for _round in 0..rounds {
            world.happen(Event::Pass(60), false, 2);
            for index in 0..3 {
                world.happen(Event::Fetch(index), false, 2);
                if index != 1 || silent {
                    world.happen(Event::Restart(index), false, 2);
                }
            }
            if silent {
                world.happen(Event::Silent(1), false, 2);
            }
            world.happen(Event::Look(0), false, 2);
        }
        prop_assert_eq!(world.stored.position.in_use(), 1);
        prop_assert!(world.stored.position.stage <= Stage::Introduced);
    }
}

#[test]
fn the_reasons_name_those_who_are_waited_for() {
    let mut world = World::new(Rotated::ServiceAccount);
    assert_eq!(world.next(0, 1), Step::Rest);
    assert_eq!(world.next(0, 2), Step::Enter(Stage::Introduced));
    world.enter(0, Stage::Introduced);
    assert_eq!(
        world.next(0, 2),
        Step::Wait(
            "other replicas to read what was stored, until 2026-11-22 12:00:30.0 +00:00:00".to_owned()
        )
    );
    world.seconds += 31;
    world.instances[1].silent = true;
    assert_eq!(
        world.next(0, 2),
        Step::Wait("0 (generation 1), 1 (no answer), 2 (generation 1) to take up generation 2".to_owned())
    );
    world.instances.clear();
    assert_eq!(world.next(0, 2), Step::Wait("an API server to be there".to_owned()));
}
