//! The plain-HTTP endpoints by which kubelet, people and Prometheus learn the truth about a supervisor.
//! Owns the status document and how it is served; refuses to judge: others write what they know to the board.

mod answer;
mod board;
mod client;
mod document;
mod metrics;
mod server;

pub use board::{READINESS_AGE_LIMIT, StatusBoard};
pub use client::{HealthClient, HealthClientError};
pub use document::{
    AuthorityInUse, CertificateStatus, ReloadBehaviour, RotationStatus, State, StatusDocument,
};
pub use server::{BindError, HealthServer};
