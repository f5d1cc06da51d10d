//! What is checked before an upstream component starts: is it the right binary, does it take its flags, is its port free,
//! is there space for its configuration.
//! Refuses to start components: what runs here ends by itself within seconds.

mod ask;
mod complaint;
mod error;
mod kubernetes;
mod port;
mod space;

pub use ask::{Answer, UpstreamBinary};
pub use error::BinaryError;
pub use kubernetes::Checked;
pub use port::{reached_at, wait_for_port};
pub use space::when_there_is_space;
