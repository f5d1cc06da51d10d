//! The seam between the driver and a component: what must hold first, how to start, how to look, how to leave.
//! Refuses defaults that hide a decision; each component answers for itself.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

use conditions::Progress;
use process_control::ChildEnding;

/// What to spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildCommand {
    /// The upstream binary.
    pub program: PathBuf,
    /// Its arguments, without its own name. Never a secret: argv is public.
    pub arguments: Vec<String>,
    /// Set on top of the inherited environment, `PILOTHOUSE_*` variables removed. Never a secret.
    pub environment: BTreeMap<String, String>,
}

/// What one look at a running child saw. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Its own liveness: an error three times in a row and for 30 s means that it is wedged.
    pub alive: Result<(), String>,
    /// Whether it serves its purpose now.
    pub ready: Result<(), String>,
}

/// Why a child will not be started, ever, with these settings; ends the supervisor with exit code 78 (`EX_CONFIG`).
#[derive(Debug, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct PrepareError {
    /// What is wrong, naming the thing.
    pub what: String,
    /// What the operator can do.
    pub remedy: String,
    /// The cause, if another error is.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A component as the driver sees it. All futures run on the one thread of a `current_thread` runtime and are
/// dropped when they are no longer wanted: dropping must be safe at every await.
pub trait Supervised {
    /// Waits for everything that must be true before the child may start, then says what to start.
    /// Called before the first child and again before every later one. Temporary trouble is waited out inside.
    fn prepare(&self, progress: &dyn Progress) -> impl Future<Output = Result<ChildCommand, PrepareError>>;

    /// Looks at the running child once. The driver limits how long a look may take.
    fn health(&self) -> impl Future<Output = Health>;

    /// Whether the running child can be spared for as long as a restart takes, or why not. Whoever wants a restart that
    /// can wait asks before it; when it begins, [`Supervised::hold_back`] looks once more.
    fn can_be_spared(&self) -> impl Future<Output = Result<(), String>>;

    /// Returns when the child may be sent its SIGTERM; immediately for most. `progress` tells what it holds out for.
    /// Bounded by the driver's hold limit, at which a stop goes on and a restart is put off.
    fn hold_back(&self, progress: &dyn Progress) -> impl Future<Output = ()>;

    /// Resolves, with the reason, when further waiting for a draining child has become senseless; else never.
    fn drain_is_senseless(&self) -> impl Future<Output = String>;

    /// The child is reaped and will not come back as this process. Leases are cleared and leadership is confirmed here.
    fn ended(&self, ending: ChildEnding, stopping: bool) -> impl Future<Output = ()>;
}
