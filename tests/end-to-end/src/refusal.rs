//! A `pilothouse up` that must end by itself, with a text that names the thing and the remedy.
//! Refuses to accept one that leaves a process behind or takes long.

use std::time::Duration;

use process_control::ChildEnding;
use tokio::time::Instant;

use crate::ControlPlane;
use crate::leftovers::assert_nothing_left;

/// From the start of `pilothouse up` to its end, when a supervisor says that this can never work.
const REFUSED_LIMIT: Duration = Duration::from_secs(30);

impl ControlPlane {
    /// Starts it and sees it end by itself with code 1 and all of `parts` in what it says; nothing of it goes on.
    pub async fn refused(&mut self, parts: &[&str]) {
        let said_before = self.output().len();
        let began = Instant::now();
        self.start();
        let ending = self.ended().await;
        let took = began.elapsed();
        let said = self.output().split_off(said_before);
        let told = &said[said.rfind("pilothouse: ").unwrap_or_default()..];
        println!("refused after {took:?}: {told}");
        assert_eq!(ending, ChildEnding::Exited(1), "{said}");
        assert!(took < REFUSED_LIMIT, "{took:?}: {said}");
        for part in parts {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
        assert_nothing_left(&self.state_directory(), Duration::from_secs(2)).await;
    }
}
