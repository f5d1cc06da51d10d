//! Rotations among instances that crash, come, go, stay behind and confirm late, in generated orders.
//! Refuses time of its own: seconds are counted.

use std::collections::BTreeSet;

use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const BEGAN: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const PATIENCE: Patience = Patience {
    settle: Duration::from_secs(30),
    known: Duration::from_secs(50),
    overlap: Duration::from_secs(100),
};

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
    /// The planner looks, and its step is stored.
    Look,
    /// The planner looks and dies before its step is stored.
    Crash,
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
    position: Position,
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
        Self {
            set,
            position: Position { key: 1, stage: Stage::Settled, since: None, generation: 1 },
            sets: vec![Set { uses: 1, trusts: BTreeSet::from([1]), stored_at: 0 }],
            instances: [Component::KubeApiserver, Component::KubeApiserver, Component::KubeControllerManager]
                .map(instance)
                .to_vec(),
            made: vec![(1, 0)],
            rewritten: None,
            seconds: 0,
        }
    }

    fn now(&self) -> OffsetDateTime {
        BEGAN + Duration::from_secs(self.seconds)
    }

    fn of(&self, generation: u64) -> &Set {
        &self.sets[usize::try_from(generation).unwrap() - 1]
    }

    fn next(&self, wanted: u64) -> Step {
        let holders: Vec<Holder> = self
            .instances
            .iter()
            .enumerate()
            .map(|(index, instance)| Holder {
                name: index.to_string(),
                component: instance.component,
                confirmed: match instance.silent {
                    true => Err("no answer".to_owned()),
                    false if instance.in_use < self.position.generation => {
                        Err(format!("generation {}", instance.in_use))
                    }
                    false => Ok(()),
                },
            })
            .collect();
        step(self.set, &self.position, wanted, &holders, self.rewritten, self.now(), PATIENCE)
    }

    fn enter(&mut self, stage: Stage) {
        let (key, mut set) = (self.position.key, self.of(self.position.generation).clone());
        match stage {
            Stage::Introduced => assert!(set.trusts.insert(key + 1)),
            Stage::Used => set.uses = key + 1,
            Stage::Retiring => {}
            Stage::Settled if self.position.stage == Stage::Dropped => {}
            Stage::Dropped | Stage::Settled => assert!(set.trusts.remove(&key)),
        }
        if stage != Stage::Retiring && self.position.stage != Stage::Dropped {
            set.stored_at = self.seconds;
            self.sets.push(set);
            self.position.generation += 1;
        }
        self.position.key += u64::from(stage == Stage::Settled);
        self.position.stage = stage;
        self.position.since = Some(self.now());
    }

    /// What a replica of the certificate-authority may hand out now: the present set, or while that is young the one before.
    fn handed_out(&self, stale: bool) -> u64 {
        let present = self.position.generation;
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
                    && let Some(generation) = self.position.asks_to_rewrite(self.now(), PATIENCE)
                {
                    let uses = self.of(self.instances[0].in_use).uses;
                    self.made.iter_mut().for_each(|(key, _)| *key = uses);
                    self.rewritten = Some(generation);
                }
            }
            Event::Pass(seconds) => self.seconds += u64::from(seconds),
            Event::Look => {
                if let Step::Enter(stage) = self.next(wanted) {
                    self.enter(stage);
                }
                self.instances.iter_mut().for_each(|instance| instance.silent = false);
            }
            Event::Crash => drop(self.next(wanted)),
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
                        _ => made + PATIENCE.overlap.as_secs() > self.seconds,
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
        6 => Just(Event::Look),
        1 => Just(Event::Crash),
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
            for event in [Event::Pass(60), Event::Rewrite, Event::Look] {
                world.happen(event, false, wanted);
                world.check();
            }
        }
        prop_assert_eq!((world.position.key, world.position.stage), (wanted, Stage::Settled));
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
            world.happen(Event::Look, false, 2);
        }
        prop_assert_eq!(world.position.in_use(), 1);
        prop_assert!(world.position.stage <= Stage::Introduced);
    }
}

#[test]
fn the_reasons_name_those_who_are_waited_for() {
    let mut world = World::new(Rotated::ServiceAccount);
    assert_eq!(world.next(1), Step::Rest);
    assert_eq!(world.next(2), Step::Enter(Stage::Introduced));
    world.enter(Stage::Introduced);
    assert_eq!(
        world.next(2),
        Step::Wait(
            "other replicas to read what was stored, until 2026-11-22 12:00:30.0 +00:00:00".to_owned()
        )
    );
    world.seconds += 31;
    world.instances[1].silent = true;
    assert_eq!(
        world.next(2),
        Step::Wait("0 (generation 1), 1 (no answer), 2 (generation 1) to take up generation 2".to_owned())
    );
    world.instances.clear();
    assert_eq!(world.next(2), Step::Wait("an API server to be there".to_owned()));
}
