//! How tests call the misbehaving child, what it writes down, and how its health is asked for.
//! Refuses to be part of any product.

mod health;
mod misbehaviour;

pub use health::{ask, serve};
pub use misbehaviour::{Misbehaviour, SupervisorArguments};
