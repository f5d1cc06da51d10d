//! Asks /livez, /readyz and /healthz of upstream components and understands which of their checks failed.
//! Refuses to conclude that anything must be restarted: that is the driver's business.

mod answer;
mod probe;

pub use answer::HealthAnswer;
pub use probe::{HealthProbe, why_no_answer};
