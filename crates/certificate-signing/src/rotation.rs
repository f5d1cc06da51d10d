//! Rotation of shared keys and CAs: the next one is trusted by everybody, then used, then the old one goes; where that
//! stands is stored with the keys. Refuses to go on before every instance has confirmed what it has in use.

mod change;
mod driver;
mod on_one_machine;
mod planner;
mod sighted;
mod standing;
mod stored;

#[cfg(test)]
pub(crate) use change::changed;
pub(crate) use change::encryption_name;
pub use driver::RotationSettings;
pub(crate) use driver::{RotationPlace, Rotations};
pub(crate) use on_one_machine::OnOneMachine;
pub use on_one_machine::PlannedInstance;
pub(crate) use planner::{Position, Stage};
pub(crate) use sighted::Sighted;
pub(crate) use stored::StoredKeys;
