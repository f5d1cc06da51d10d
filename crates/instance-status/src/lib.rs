//! What `pilothouse status` tells of each instance, the same for a control plane on this machine and for one in Pods.
//! Refuses to ask: documents and the present time are arguments.

mod row;
mod table;

pub use row::InstanceStatus;
pub use table::table;
