//! What must be remembered outside the members' volumes, so that no cluster is ever founded twice.
//! Owns the record and its stores; refuses decisions: the planner of etcd-membership draws them.

mod config_map;
mod error;
mod file;
mod record;
mod store;

pub use config_map::ConfigMapRecord;
pub use error::RecordError;
pub use file::FileRecord;
pub use record::{ClusterRecord, FORMAT_VERSION, InitialMember, MemberLine, random_identifier};
pub use store::{Creation, RecordStore};
