//! Which changes are made, and what befalls the control plane at which moments of each, from a seed.
//! Pure: the same seed gives the same plan on every machine.

use std::time::Duration;

use certificates::Rotated;
use hosted_control_plane::COMPONENTS;
use naming_contract::Component;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_xorshift::XorShiftRng;

/// Faults of one change.
const FAULTS: usize = 2;
/// How long a process is frozen, or a member is cut off. etcd's supervisor kills a member that is silent for 10 s, others are
/// killed after 30 s.
const A_WHILE: std::ops::RangeInclusive<u64> = 2_000..=15_000;
/// How long a node is dead: less than Kubernetes needs to notice it, and more.
const DEAD: std::ops::RangeInclusive<u64> = 10_000..=60_000;
/// The load runs on the first node, which must stay.
const NODES_THAT_DIE: [u8; 2] = [2, 3];

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    ApiServersRolled,
    ControllersRolled,
    EtcdRolled,
    /// To five members, and back to three.
    EtcdScaled,
    Replaced(Rotated),
    NodeDrained,
}

impl Change {
    const ALL: [Self; 8] = [
        Self::ApiServersRolled,
        Self::ControllersRolled,
        Self::EtcdRolled,
        Self::EtcdScaled,
        Self::Replaced(Rotated::ServiceAccount),
        Self::Replaced(Rotated::Encryption),
        Self::Replaced(Rotated::CertificateAuthorities),
        Self::NodeDrained,
    ];

    /// Seconds that it takes undisturbed (docs/hosted-measurements.md), within which faults come.
    fn seconds(self) -> u64 {
        match self {
            Self::ControllersRolled => 14,
            Self::NodeDrained => 20,
            Self::ApiServersRolled => 30,
            Self::EtcdScaled => 35,
            Self::EtcdRolled => 70,
            Self::Replaced(_) => 120,
        }
    }
}

/// What befalls it meanwhile. A number chooses among the Pods that a component has at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL of the upstream process.
    ChildKilled(Component, usize),
    /// SIGKILL of everything in the container, ours first of all.
    ContainerKilled(Component, usize),
    /// SIGSTOP of the upstream process, and SIGCONT after a while if it still lives.
    ChildFrozen(Component, usize, Duration),
    PodDeleted(Component, usize),
    /// A member's Pod and volume, both deleted.
    VolumeLost(usize),
    /// etcd's leader and its peers do not reach each other; clients reach all of them.
    LeaderCutOff(Duration),
    /// Dead for a while, then started again with its disk.
    NodeDead(u8, Duration),
}

/// One fault and how long after the one before it, or after the change began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) after: Duration,
    pub(crate) fault: Fault,
}

/// A change and what befalls the control plane meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) change: Change,
    pub(crate) steps: Vec<Step>,
}

/// Every change once, in some order.
pub(crate) fn trials(seed: u64) -> Vec<Trial> {
    let mut random = XorShiftRng::seed_from_u64(seed);
    let mut changes = Change::ALL;
    changes.shuffle(&mut random);
    changes.into_iter().map(|change| trial(&mut random, change)).collect()
}

fn trial(random: &mut XorShiftRng, change: Change) -> Trial {
    let mut moments: Vec<u64> =
        (0..FAULTS).map(|_| random.random_range(0..change.seconds() * 1_000)).collect();
    moments.sort_unstable();
    // One grave fault at most: two could take a majority of etcd's members away for good, which is no fault of ours. None while a
    // node is out: it has a member of etcd along.
    let grave = if change == Change::NodeDrained { FAULTS } else { random.random_range(0..FAULTS) };
    let mut before = 0;
    let steps = moments.into_iter().enumerate().map(|(index, moment)| {
        let after = Duration::from_millis(moment - std::mem::replace(&mut before, moment));
        let fault = if index == grave { grave_fault(random) } else { light_fault(random) };
        Step { after, fault }
    });
    Trial { change, steps: steps.collect() }
}

fn light_fault(random: &mut XorShiftRng) -> Fault {
    let component = COMPONENTS.choose(random).copied().unwrap_or(Component::Etcd);
    let which = random.random_range(0..60);
    match random.random_range(0..4_u32) {
        0 if component.has_child() => Fault::ChildKilled(component, which),
        1 if component.has_child() => Fault::ChildFrozen(component, which, a_while(random)),
        2 => Fault::PodDeleted(component, which),
        _ => Fault::ContainerKilled(component, which),
    }
}

fn grave_fault(random: &mut XorShiftRng) -> Fault {
    match random.random_range(0..3_u32) {
        0 => Fault::VolumeLost(random.random_range(0..3)),
        1 => Fault::LeaderCutOff(a_while(random)),
        _ => {
            let node = NODES_THAT_DIE.choose(random).copied().unwrap_or(2);
            Fault::NodeDead(node, Duration::from_millis(random.random_range(DEAD)))
        }
    }
}

fn a_while(random: &mut XorShiftRng) -> Duration {
    Duration::from_millis(random.random_range(A_WHILE))
}

#[test]
fn a_seed_gives_one_plan_with_every_change_and_at_most_one_grave_fault_each() {
    let grave = |step: &&Step| {
        matches!(step.fault, Fault::VolumeLost(_) | Fault::LeaderCutOff(_) | Fault::NodeDead(..))
    };
    for seed in 0..200 {
        let plan = trials(seed);
        assert_eq!(plan, trials(seed));
        for change in Change::ALL {
            assert_eq!(plan.iter().filter(|trial| trial.change == change).count(), 1, "{change:?}");
        }
        for trial in &plan {
            let at_most = usize::from(trial.change != Change::NodeDrained);
            assert_eq!(trial.steps.iter().filter(grave).count(), at_most, "{trial:?}");
            let last: Duration = trial.steps.iter().map(|step| step.after).sum();
            assert!(last < Duration::from_secs(trial.change.seconds()), "{trial:?}");
        }
    }
    assert_ne!(trials(1), trials(2));
}
