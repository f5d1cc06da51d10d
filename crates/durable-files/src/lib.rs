//! Files that survive crashes: replaced whole, fsynced, with the right permissions; locks and content watches.
//! Everything blocks. Refuses to know what the bytes mean.

mod error;
mod executable;
mod identity;
mod lock;
mod read;
mod staging;
mod swap;
mod watch;
mod write;

pub use error::FileError;
pub use executable::install_running_binary;
pub use identity::FileIdentity;
pub use lock::FileLock;
pub use read::{is_private, read_limited, read_mounted_secret, read_private};
pub use swap::{create_directory_once, replace_directory};
pub use watch::ContentWatch;
pub use write::{
    copy_private, create_private_directory, remove_file, take_volume_directory, write_private, write_public,
};
