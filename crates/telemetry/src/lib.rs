//! Logs and build information, the same for every binary: one line an event, JSON or text, on standard error.
//! Refuses secrets and refuses files: where lines go is the business of whoever runs the process.

mod logs;

pub use logs::{LogArguments, LogFormat, TelemetryError, error_chain, tell};

/// The version that every binary of this workspace prints; one number for all, they are released together.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
