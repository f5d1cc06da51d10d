//! What is done when: made from a seed, or read from a file that a plan was written to. Pure: the same seed and names give the
//! same plan on every machine, until there is another kind of event; a written plan stays the same for ever.

use std::time::Duration;

use certificates::Rotated;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_xorshift::XorShiftRng;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Process};
use crate::milliseconds;

/// Between two faults. Most come while the one before still has an effect: a start takes 2 to 5 s.
const PAUSE: std::ops::RangeInclusive<u64> = 200..=5_000;
/// How long a process is frozen, or a network is bad. etcd's supervisor kills a member that is silent for 10 s, others are killed after 30 s.
const A_WHILE: std::ops::RangeInclusive<u64> = 500..=14_000;
/// Of the packets between members, in hundred, that a bad network loses: TCP carries on, at a tenth of its pace and worse.
const LOSS: std::ops::RangeInclusive<u32> = 5..=40;
/// How long a packet between members takes in a slow network, in milliseconds: members elect anew after 1 s without a word of
/// their leader, and say each other so often that it takes there and back to be slower.
const DELAY: std::ops::RangeInclusive<u64> = 20..=700;
/// Writes a second that a slow disk takes: a commit needs some two, and a member without load ten in a second.
const SLOW: std::ops::RangeInclusive<u32> = 3..=40;
/// By how much a clock is ahead, in seconds: leaves that live for 72 h are issued 5 min back, those of these runs live for 40 s.
const AHEAD: std::ops::RangeInclusive<u64> = 30..=3_600;
/// How many processes die in the same instant, at most, when several do.
const AT_ONCE: usize = 6;

/// As `pilothouse up` makes them; plans name them.
pub const INSTANCES: [&str; 11] = [
    "certificate-authority-0",
    "etcd-0",
    "etcd-1",
    "etcd-2",
    "kube-apiserver-0",
    "kube-apiserver-1",
    "kube-controller-manager-0",
    "kube-controller-manager-1",
    "kube-scheduler-0",
    "kube-scheduler-1",
    "cluster-bootstrap-0",
];
/// The member whose volume is small.
pub(crate) const SMALL: &str = "etcd-2";

/// An event and how long after the one before it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How long after.
    #[serde(with = "milliseconds", rename = "afterMilliseconds")]
    pub after: Duration,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// All events of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where it comes from, or what it found.
    pub about: String,
    /// In this order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Events for [`INSTANCES`], one after the other until their pauses add up to `length`.
    #[must_use]
    pub fn new(seed: u64, length: Duration) -> Self {
        let mut random = XorShiftRng::seed_from_u64(seed);
        let (mut steps, mut at) = (Vec::new(), Duration::ZERO);
        while at < length {
            let after = Duration::from_millis(random.random_range(PAUSE));
            at += after;
            steps.push(Step { after, event: event(&mut random) });
        }
        Self { about: format!("seed {seed}, {} s", length.as_secs()), steps }
    }

    /// Reads what [`Self::text`] gave.
    ///
    /// # Errors
    /// That it is no plan, or names an instance that there is not.
    pub fn read(text: &str) -> Result<Self, String> {
        let plan: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut named = plan.steps.iter().flat_map(|step| step.event.instances());
        match named.find(|name| !INSTANCES.contains(&name.as_str())) {
            Some(stranger) => Err(format!("there is no instance {stranger}")),
            None => Ok(plan),
        }
    }

    /// Whether it sets our clock, ahead and back.
    #[must_use]
    pub fn sets_the_clock(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.event, Event::ClockAhead { .. }))
    }

    /// As it is kept in a file: JSON, a line for each event.
    ///
    /// # Panics
    /// Never: there is nothing that JSON cannot say.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |step| serde_json::to_string(step).expect("JSON can say it");
        let steps: Vec<String> = self.steps.iter().map(line).collect();
        let about = serde_json::Value::from(self.about.as_str());
        format!("{{\n\"about\": {about},\n\"steps\": [\n{}\n]\n}}\n", steps.join(",\n"))
    }
}

fn event(random: &mut XorShiftRng) -> Event {
    let one = |random: &mut XorShiftRng| chosen(random, &INSTANCES);
    let member = |random: &mut XorShiftRng| chosen(random, &["etcd-0", "etcd-1", "etcd-2"]);
    match random.random_range(0..26_u32) {
        0..4 => Event::Kill(vec![(one(random), process(random))]),
        4 => {
            let mut several = INSTANCES.map(str::to_owned).to_vec();
            several.shuffle(random);
            several.truncate(random.random_range(2..=AT_ONCE));
            Event::Kill(several.into_iter().map(|instance| (instance, process(random))).collect())
        }
        5 | 6 => {
            Event::Freeze { instance: one(random), process: process(random), lasts: for_a_while(random) }
        }
        7 | 8 => Event::Stop(one(random)),
        9 => Event::LoseVolume(member(random)),
        10 => Event::CutOff { member: member(random), lasts: for_a_while(random) },
        11 | 12 => Event::Isolate { member: member(random), lasts: for_a_while(random) },
        13 => Event::Loss { percent: random.random_range(LOSS), lasts: for_a_while(random) },
        14 => {
            let packet = Duration::from_millis(random.random_range(DELAY));
            Event::Delay { packet, lasts: for_a_while(random) }
        }
        15 => Event::FillVolume { member: SMALL.to_owned(), lasts: for_a_while(random) },
        16 => {
            let writes = random.random_range(SLOW);
            Event::SlowVolume { member: SMALL.to_owned(), writes, lasts: for_a_while(random) }
        }
        17 => {
            let numbered = one(random);
            let number = numbered.rsplit('-').next();
            let same = |instance: &&str| instance.rsplit('-').next() == number;
            let instances = INSTANCES.into_iter().filter(same).map(str::to_owned).collect();
            Event::Standstill { instances, lasts: for_a_while(random) }
        }
        18 => {
            let ahead = Duration::from_secs(random.random_range(AHEAD));
            Event::ClockAhead { ahead, lasts: for_a_while(random) }
        }
        19 => Event::RollApiServers,
        20 => Event::DownAndUp,
        21 => Event::Defragment(member(random)),
        22 => Event::Snapshot(member(random)),
        _ => Event::Rotate(*Rotated::ALL.choose(random).unwrap_or(&Rotated::Encryption)),
    }
}

fn chosen(random: &mut XorShiftRng, from: &[&str]) -> String {
    from.choose(random).copied().unwrap_or_default().to_owned()
}

fn for_a_while(random: &mut XorShiftRng) -> Duration {
    Duration::from_millis(random.random_range(A_WHILE))
}

fn process(random: &mut XorShiftRng) -> Process {
    if random.random_bool(0.5) { Process::Child } else { Process::Supervisor }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plan_reads_like_what_is_done() {
        let plan = Plan {
            about: "what \"it\" found".to_owned(),
            steps: vec![
                Step {
                    after: Duration::from_millis(200),
                    event: Event::Kill(vec![("etcd-0".to_owned(), Process::Child)]),
                },
                Step {
                    after: Duration::from_secs(1),
                    event: Event::Delay { packet: Duration::from_millis(70), lasts: Duration::from_secs(3) },
                },
                Step { after: Duration::ZERO, event: Event::Rotate(Rotated::CertificateAuthorities) },
                Step { after: Duration::ZERO, event: Event::DownAndUp },
            ],
        };
        assert_eq!(plan.text(), TEXT);
        assert_eq!(Plan::read(TEXT), Ok(plan));
    }

    const TEXT: &str = r#"{
"about": "what \"it\" found",
"steps": [
{"afterMilliseconds":200,"kill":[["etcd-0","child"]]},
{"afterMilliseconds":1000,"delay":{"packetMilliseconds":70,"milliseconds":3000}},
{"afterMilliseconds":0,"rotate":"certificate-authorities"},
{"afterMilliseconds":0,"downAndUp":null}
]
}
"#;

    #[test]
    fn what_would_do_nothing_is_no_plan() {
        let read = |step: &str| Plan::read(&format!(r#"{{"about": "", "steps": [{step}]}}"#));
        assert!(read(r#"{"afterMilliseconds": 1, "stop": "etcd-0"}"#).is_ok());
        assert!(read(r#"{"afterMilliseconds": 1, "stop": "etcd-3"}"#).unwrap_err().contains("etcd-3"));
        assert!(read(r#"{"afterMilliseconds": 1, "stopped": "etcd-0"}"#).is_err());
        assert!(read(r#"{"afterMilliseconds": 1}"#).is_err());
    }

    proptest! {
        #[test]
        fn plans_last_as_long_as_asked_and_are_read_as_they_were_written(seed: u64, seconds in 1_u64..600) {
            let length = Duration::from_secs(seconds);
            let plan = Plan::new(seed, length);
            let lasts: Duration = plan.steps.iter().map(|step| step.after).sum();
            prop_assert!(lasts >= length && lasts < length + Duration::from_millis(*PAUSE.end() + 1));
            prop_assert_eq!(Plan::read(&plan.text()), Ok(plan.clone()));
            prop_assert_eq!(Plan::new(seed, length), plan);
        }
    }
}
