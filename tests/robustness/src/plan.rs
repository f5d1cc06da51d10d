//! What is done when, from a seed. Pure: the same seed and names give the same plan on every machine.

use std::fmt;
use std::time::Duration;

use certificates::Rotated;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_xorshift::XorShiftRng;

/// Between two faults. Most come while the one before still has an effect: a start takes 2 to 5 s.
const PAUSE: std::ops::RangeInclusive<u64> = 200..=5_000;
/// How long a process is frozen, or a network is bad. etcd's supervisor kills a member that is silent for 10 s, others are killed after 30 s.
const A_WHILE: std::ops::RangeInclusive<u64> = 500..=14_000;
/// Of the packets between members, in hundred, that a bad network loses: TCP carries on, at a tenth of its pace and worse.
const LOSS: std::ops::RangeInclusive<u32> = 5..=40;
/// Writes a second that a slow disk takes: a commit needs some two, and a member without load ten in a second.
const SLOW: std::ops::RangeInclusive<u32> = 3..=40;
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

/// Something that befalls the control plane, or that its operator does meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
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
    /// Nobody reaches the port that a member has for its peers, while it reaches theirs.
    CutOff {
        /// The member.
        member: String,
        /// For how long.
        lasts: Duration,
    },
    /// The network between members of etcd is bad.
    Loss {
        /// How many of hundred packets it loses.
        percent: u32,
        /// For how long.
        lasts: Duration,
    },
    /// The volume of a member, which is small, has no space left.
    FillVolume {
        /// The member: always the same one.
        member: String,
        /// For how long.
        lasts: Duration,
    },
    /// The disk of a member is slow.
    SlowVolume {
        /// The member: always the same one.
        member: String,
        /// How many writes a second it takes.
        writes: u32,
        /// For how long.
        lasts: Duration,
    },
    /// SIGSTOP of all that has one number, supervisors and all, as of a machine that stands still: dead to others, and back.
    Standstill {
        /// The instances.
        instances: Vec<String>,
        /// For how long.
        lasts: Duration,
    },
    /// An operator wants another key, or other CAs; whoever has that under way already says so, and goes on.
    Rotate(Rotated),
}

/// An event and how long after the one before it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How long after.
    pub after: Duration,
    /// What.
    pub event: Event,
}

/// All events of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it was made of.
    pub seed: u64,
    /// In this order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Events for these instances, one after the other until their pauses add up to `length`.
    #[must_use]
    pub fn new(seed: u64, instances: &[String], length: Duration) -> Self {
        let mut random = XorShiftRng::seed_from_u64(seed);
        let (mut steps, mut at) = (Vec::new(), Duration::ZERO);
        while at < length {
            let after = Duration::from_millis(random.random_range(PAUSE));
            at += after;
            steps.push(Step { after, event: event(&mut random, instances) });
        }
        Self { seed, steps }
    }
}

fn event(random: &mut XorShiftRng, instances: &[String]) -> Event {
    let one = |random: &mut XorShiftRng| instances.choose(random).cloned().unwrap_or_default();
    let member = |random: &mut XorShiftRng| {
        let members = instances.iter().filter(|instance| instance.starts_with("etcd-"));
        members.collect::<Vec<_>>().choose(random).map(|member| (*member).clone())
    };
    match random.random_range(0..17_u32) {
        0..4 => Event::Kill(vec![(one(random), process(random))]),
        4 => {
            let mut several = instances.to_vec();
            several.shuffle(random);
            several.truncate(random.random_range(2..=AT_ONCE));
            Event::Kill(several.into_iter().map(|instance| (instance, process(random))).collect())
        }
        5 | 6 => {
            Event::Freeze { instance: one(random), process: process(random), lasts: for_a_while(random) }
        }
        7 | 8 => Event::Stop(one(random)),
        9 => member(random).map_or(Event::Rotate(Rotated::Encryption), Event::LoseVolume),
        10 => match member(random) {
            Some(member) => Event::CutOff { member, lasts: for_a_while(random) },
            None => Event::Rotate(Rotated::Encryption),
        },
        11 => Event::Loss { percent: random.random_range(LOSS), lasts: for_a_while(random) },
        12 => match small(instances) {
            Some(member) => Event::FillVolume { member: member.clone(), lasts: for_a_while(random) },
            None => Event::Rotate(Rotated::Encryption),
        },
        13 => match small(instances) {
            Some(member) => {
                let writes = random.random_range(SLOW);
                Event::SlowVolume { member: member.clone(), writes, lasts: for_a_while(random) }
            }
            None => Event::Rotate(Rotated::Encryption),
        },
        14 => {
            let numbered = one(random);
            let number = numbered.rsplit('-').next();
            let same = |instance: &&String| instance.rsplit('-').next() == number;
            let instances = instances.iter().filter(same).cloned().collect();
            Event::Standstill { instances, lasts: for_a_while(random) }
        }
        _ => Event::Rotate(*Rotated::ALL.choose(random).unwrap_or(&Rotated::Encryption)),
    }
}

/// Whose volume is small.
pub(crate) fn small(instances: &[String]) -> Option<&String> {
    instances.iter().rfind(|instance| instance.starts_with("etcd-"))
}

fn for_a_while(random: &mut XorShiftRng) -> Duration {
    Duration::from_millis(random.random_range(A_WHILE))
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

impl fmt::Display for Event {
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
            Self::CutOff { member, lasts } => {
                write!(formatter, "cut {member} off from its peers for {lasts:.1?}")
            }
            Self::Loss { percent, lasts } => {
                write!(formatter, "lose {percent} % of what members send each other for {lasts:.1?}")
            }
            Self::FillVolume { member, lasts } => {
                write!(formatter, "leave no space on the volume of {member} for {lasts:.1?}")
            }
            Self::SlowVolume { member, writes, lasts } => {
                write!(formatter, "let the disk of {member} take {writes} writes a second for {lasts:.1?}")
            }
            Self::Standstill { instances, lasts } => {
                write!(formatter, "let {} stand still for {lasts:.1?}", instances.join(", "))
            }
            Self::Rotate(what) => write!(formatter, "replace {}", what.all_of_them()),
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
            .map(|step| format!("{:.1?} {}", step.after, step.event))
            .collect();
        assert_eq!(told, TOLD);
    }

    const TOLD: [&str; 4] = [
        "1.6s replace certificate authorities",
        "3.6s freeze kube-scheduler-0's child for 3.1s",
        "4.8s replace certificate authorities",
        "3.0s stop etcd-0",
    ];

    proptest! {
        #[test]
        fn plans_last_as_long_as_asked_and_name_only_who_is_there(seed: u64, seconds in 1_u64..600) {
            let (instances, length) = (instances(), Duration::from_secs(seconds));
            let plan = Plan::new(seed, &instances, length);
            let lasts: Duration = plan.steps.iter().map(|step| step.after).sum();
            prop_assert!(lasts >= length && lasts < length + Duration::from_millis(*PAUSE.end() + 1));
            for step in &plan.steps {
                let named: Vec<&String> = match &step.event {
                    Event::Kill(victims) => victims.iter().map(|(instance, _)| instance).collect(),
                    Event::Freeze { instance, .. } | Event::Stop(instance) => vec![instance],
                    Event::LoseVolume(member)
                    | Event::CutOff { member, .. }
                    | Event::FillVolume { member, .. }
                    | Event::SlowVolume { member, .. } => {
                        prop_assert!(member.starts_with("etcd-"));
                        vec![member]
                    }
                    Event::Standstill { instances, .. } => instances.iter().collect(),
                    Event::Loss { .. } | Event::Rotate(_) => continue,
                };
                prop_assert!(!named.is_empty() && named.into_iter().all(|name| instances.contains(name)));
            }
        }
    }
}
