//! Load on an API server, and what its clients noticed: counts every failure, misses no lost write, no lost or doubled
//! event, no second leader. Refuses hidden retries; what the protocol itself asks to retry is counted apart.

pub mod model;

mod disruption;
mod error;
mod report;
mod settings;
mod traffic;

pub use disruption::Disruption;
pub use error::DisruptionError;
pub use report::{Load, Mark, Report};
pub use settings::{Mix, Settings};
pub use traffic::{SHUTTING_DOWN, ServerError};
