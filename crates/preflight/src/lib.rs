//! What is checked before an upstream component starts: is it the right binary, does it take its flags, is its port free.
//! Refuses to start components: what runs here ends by itself within seconds.

mod ask;
mod complaint;
mod error;
mod kubernetes;
mod port;

pub use ask::{Answer, UpstreamBinary};
pub use error::BinaryError;
pub use kubernetes::Checked;
pub use port::{reached_at, wait_for_port};
