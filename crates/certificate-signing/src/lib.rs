//! The only holder of CA keys: makes them and the shared keys once, signs leaves by the profile table for proven
//! callers, publishes trust bundles. Refuses to let a CA key out but for the cluster-signing set.

mod answer;
mod authority_keys;
mod csr;
mod directory_store;
mod founding;
mod in_cluster;
pub mod inspect;
mod issuing;
mod kept;
mod lifetimes;
mod publishing;
mod rotation;
mod server;
mod service;
mod serving;
mod state_error;

pub use authority_keys::{AuthorityKeys, Origin};
pub use in_cluster::{AddressError, ExternalAddress, ReleaseSettings};
pub use issuing::{IssueError, Issuing};
pub use lifetimes::{LifetimeError, Lifetimes, parse_duration};
pub use publishing::{PublishError, publish_bundles};
pub use rotation::{PlannedInstance, RotationSettings};
pub use server::{Directories, Place, ServeError, ServerSettings, serve, serve_on};
pub use service::SigningService;
pub use state_error::{MakeError, StateError};
