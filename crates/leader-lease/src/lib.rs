//! Whose leader lease it is, and handing it on when its holder is dead for certain, so that another leads within
//! seconds instead of after the lease has expired. Refuses to judge whether a process lives: its caller has reaped it.

mod decision;
mod lease;

pub use decision::{LONGEST_HOSTNAME, is_ours_to_clear, released};
pub use lease::{Clearing, LeaderLease, LeaseError};
