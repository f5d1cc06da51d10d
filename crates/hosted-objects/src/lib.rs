//! What must exist inside a hosted cluster and Kubernetes does not make itself: roles that components need, and the
//! endpoints of the `kubernetes` Service. Made, and repaired for ever. Refuses everything that a user might own.

mod desired;
mod endpoint_source;
mod endpoints;
mod keeper;
mod likeness;
mod reconcile;
mod rewriting;
mod roles;

pub use desired::{Desired, HostedObjects, Resource};
pub use endpoint_source::{EndpointService, EndpointSource};
pub use endpoints::{ApiServerAddress, ApiServerAddressError};
pub use keeper::keep_in_place;
pub use reconcile::{Outcome, ReconcileError, Reconciler};
pub use rewriting::Rewriting;
