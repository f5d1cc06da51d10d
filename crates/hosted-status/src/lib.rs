//! What a control plane in a management cluster is doing: every Pod's `/statusz`, asked through port-forwarding, and what
//! Kubernetes knows of Pods that cannot answer. Acts for a person, with his kubeconfig; refuses to change anything.

mod access;
mod control_plane;
mod error;
mod question;
mod rows;

pub use access::{Access, ObjectName, ObjectNameError};
pub use control_plane::HostedControlPlane;
pub use error::HostedError;
pub use rows::{Answer, Observation, rows};
