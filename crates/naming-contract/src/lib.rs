//! Names, ports and paths that more than one room must agree on: chart, supervisors, command and tests.
//! Owns constants only; refuses logic, I/O and anything that just one room needs.

pub mod component;
pub mod environment;
pub mod files;
pub mod labels;
pub mod objects;
pub mod ports;

pub use component::Component;
pub use objects::ReleaseObjects;
