//! What is done when, from a seed. Pure: the same seed and names give the same plan on every machine.

use std::fmt;
use std::time::Duration;

use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_xorshift::XorShiftRng;

/// Between two faults. Most come while the one before still has an effect: a start takes 2 to 5 s.
const PAUSE: std::ops::RangeInclusive<u64> = 200..=5_000;
/// How long a process is frozen. etcd's supervisor kills a member that is silent for 10 s, others are killed after 30 s.
const FROZEN: std::ops::RangeInclusive<u64> = 500..=14_000;
/// How many processes die in the same instant, at most, when several do.
const AT_ONCE: usize = 6;

/// Which process of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The upstream component.
    Child,
    /// Ours.
    Supervisor,
}

/// Something that befalls the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of these in the same instant.
    Kill(Vec<(String, Process)>),
    /// SIGSTOP, and SIGCONT after a while if it still lives.
    Freeze {
        /// The instance.
        instance: String,
        /// Which of its processes.
        process: Process,
        /// For how long.
        lasts: Duration,
    },
    /// SIGTERM of a supervisor, as for a new Pod.
    Stop(String),
    /// All data of a member of etcd is deleted, and its processes are killed. All members have theirs when it happens.
    LoseVolume(String),
}

/// A fault and how long after the one before it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How long after.
    pub after: Duration,
    /// What.
    pub fault: Fault,
}

/// All faults of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it was made of.
    pub seed: u64,
    /// In this order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Faults for these instances, one after the other until their pauses add up to `length`.
    #[must_use]
    pub fn new(seed: u64, instances: &[String], length: Duration) -> Self {
        let mut random = XorShiftRng::seed_from_u64(seed);
        let (mut steps, mut at) = (Vec::new(), Duration::ZERO);
        while at < length {
            let after = Duration::from_millis(random.random_range(PAUSE));
            at += after;
            steps.push(Step { after, fault: fault(&mut random, instances) });
        }
        Self { seed, steps }
    }
}

fn fault(random: &mut XorShiftRng, instances: &[String]) -> Fault {
    let one = |random: &mut XorShiftRng| instances.choose(random).cloned().unwrap_or_default();
    match random.random_range(0..10_u32) {
        0..4 => Fault::Kill(vec![(one(random), process(random))]),
        4 => {
            let mut several = instances.to_vec();
            several.shuffle(random);
            several.truncate(random.random_range(2..=AT_ONCE));
            Fault::Kill(several.into_iter().map(|instance| (instance, process(random))).collect())
        }
        5 | 6 => Fault::Freeze {
            instance: one(random),
            process: process(random),
            lasts: Duration::from_millis(random.random_range(FROZEN)),
        },
        7 | 8 => Fault::Stop(one(random)),
        _ => {
            let members: Vec<&String> =
                instances.iter().filter(|instance| instance.starts_with("etcd-")).collect();
            match members.choose(random) {
                Some(member) => Fault::LoseVolume((*member).clone()),
                None => Fault::Stop(one(random)),
            }
        }
    }
}

fn process(random: &mut XorShiftRng) -> Process {
    if random.random_bool(0.5) { Process::Child } else { Process::Supervisor }
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Child => "child",
            Self::Supervisor => "supervisor",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(victims) => {
                formatter.write_str("kill")?;
                victims
                    .iter()
                    .try_for_each(|(instance, process)| write!(formatter, " {instance}'s {process}"))
            }
            Self::Freeze { instance, process, lasts } => {
                write!(formatter, "freeze {instance}'s {process} for {lasts:.1?}")
            }
            Self::Stop(instance) => write!(formatter, "stop {instance}"),
            Self::LoseVolume(member) => write!(formatter, "lose all data of {member}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instances() -> Vec<String> {
        ["etcd-0", "etcd-1", "etcd-2", "kube-apiserver-0", "kube-scheduler-0"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_seed_means_the_same_plan_for_ever() {
        let told: Vec<String> = Plan::new(7, &instances(), Duration::from_secs(12))
            .steps
            .iter()
            .map(|step| format!("{:.1?} {}", step.after, step.fault))
            .collect();
        assert_eq!(told, TOLD);
    }

    const TOLD: [&str; 5] = [
        "1.6s lose all data of etcd-2",
        "3.6s kill kube-scheduler-0's child",
        "1.1s kill kube-scheduler-0's supervisor",
        "3.0s freeze etcd-0's supervisor for 8.1s",
        "3.9s kill etcd-2's child",
    ];

    proptest! {
        #[test]
        fn plans_last_as_long_as_asked_and_name_only_who_is_there(seed: u64, seconds in 1_u64..600) {
            let (instances, length) = (instances(), Duration::from_secs(seconds));
            let plan = Plan::new(seed, &instances, length);
            let lasts: Duration = plan.steps.iter().map(|step| step.after).sum();
            prop_assert!(lasts >= length && lasts < length + Duration::from_millis(*PAUSE.end() + 1));
            for step in &plan.steps {
                let named: Vec<&String> = match &step.fault {
                    Fault::Kill(victims) => victims.iter().map(|(instance, _)| instance).collect(),
                    Fault::Freeze { instance, .. } | Fault::Stop(instance) => vec![instance],
                    Fault::LoseVolume(member) => {
                        prop_assert!(member.starts_with("etcd-"));
                        vec![member]
                    }
                };
                prop_assert!(!named.is_empty() && named.into_iter().all(|name| instances.contains(name)));
            }
        }
    }
}
