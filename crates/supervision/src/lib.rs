//! One child's life: a pure state machine decides, a tokio driver spawns, probes, signals and waits.
//! Refuses to know any component: what is particular comes through [`Supervised`].
#![doc = include_str!("../README.md")]

mod driver;
mod driver_futures;
mod endings;
mod machine;
mod machine_crashes;
mod machine_phases;
mod machine_transitions;
mod supervised;
mod termination_message;
mod timings;

pub use driver::{Configuration, ExitReport, RestartReason, run};
pub use endings::{EXIT_CODE_REFUSED, GoodEndings, describe, exit_code};
pub use machine::{Action, Machine, Observation, SpawnFailure};
pub use machine_transitions::TRANSITIONS;
pub use process_control::ChildEnding;
pub use supervised::{ChildCommand, Health, PrepareError, Supervised};
pub use timings::Timings;

#[cfg(test)]
mod machine_properties;
#[cfg(test)]
mod machine_tests;
