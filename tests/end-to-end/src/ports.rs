//! Ports for servers that are started later. Refuses those that the kernel gives away by itself.

use std::net::TcpListener;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that the kernel gives to outgoing connections and to whoever asks for any port, and below what `pilothouse up`
/// takes by itself: somebody else could have it before the server starts.
const LOWEST: u32 = 10_000;
const COUNT: u32 = 10_000;

/// A free port, and another one at each call; processes that run at once begin to look at different places.
///
/// # Panics
/// When none is free.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(97)));
    (0..COUNT)
        .map(|_| LOWEST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
