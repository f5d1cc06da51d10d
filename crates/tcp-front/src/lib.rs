//! New connections go to replicas that serve, and open ones leave a replica that is lost or ends, without looking inside.
//! `roster` decides and is pure; `watching` asks, `front` accepts and copies, `refusals` tells who ends. Refuses to know what is fronted.

mod front;
mod refusals;
mod roster;
mod watching;

pub use front::serve;
pub use roster::{Answer, Best, CutAfter, View};
pub use watching::{Backends, Front};
