//! The management cluster's API as a Pod of one release uses it: single objects of its own namespace, by name.
//! Refuses lists over the namespace but of Pods by their labels, forced writes and any object that its caller does not
//! name, but for Events of a Pod.

mod access;
mod error;
mod event;
mod evict;
mod follow;
mod object;

pub use access::{ManagementApi, ManagementArguments};
pub use error::ManagementError;
pub use event::{PodReference, warn_of_pod};
pub use evict::{Evicted, evict};
pub use follow::{Followed, follow};
pub use object::{Creation, Object, create_only, find, pods, replace};
