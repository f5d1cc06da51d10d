//! The highest version that all API servers of a control plane ever ran together, in a file or in a `ConfigMap`.
//! It outlives every Pod and, like the data that it speaks of, the release. Refuses decisions, and to go down.

mod config_map;
mod error;
mod file;
mod store;

pub use config_map::ConfigMapVersionRecord;
pub use error::VersionRecordError;
pub use file::FileVersionRecord;
pub use store::VersionRecord;
