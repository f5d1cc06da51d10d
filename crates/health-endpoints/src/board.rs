//! The one place where a process keeps what it tells about itself; cheap to clone, written by whoever knows.
//! Refuses opinions: it stores, stamps changes of state with the time, and logs each of them once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use naming_contract::Component;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::document::{AuthorityInUse, CertificateStatus, RotationStatus, State, StatusDocument};

/// Readiness older than this is no longer told as truth.
pub const READINESS_AGE_LIMIT: Duration = Duration::from_secs(2);

/// A shared handle on the process' status document.
#[derive(Debug, Clone)]
pub struct StatusBoard {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    document: StatusDocument,
    ready_at: Option<Instant>,
    alive: Result<(), String>,
}

impl StatusBoard {
    /// A board for an instance that has just begun to bootstrap.
    #[must_use]
    pub fn new(name: &str, component: Component, version: &str) -> Self {
        let document = StatusDocument {
            name: name.to_owned(),
            component,
            version: version.to_owned(),
            state: State::Bootstrapping,
            reason: "just started".to_owned(),
            since: OffsetDateTime::now_utc(),
            last_observation: None,
            ready: false,
            not_ready_because: "just started".to_owned(),
            pid: None,
            supervisor_pid: std::process::id(),
            restarts: 0,
            certificates: Vec::new(),
            key_generations: std::collections::BTreeMap::new(),
            authorities: std::collections::BTreeMap::new(),
            rotations: Vec::new(),
            details: std::collections::BTreeMap::new(),
        };
        Self { inner: Arc::new(Mutex::new(Inner { document, ready_at: None, alive: Ok(()) })) }
    }

    /// Enters a state for a reason; logs one line, but not for each step of a wait. Leaving Running clears readiness.
    pub fn enter(&self, state: State, reason: &str) {
        let mut inner = self.lock();
        if inner.document.state == state && inner.document.reason == reason {
            return;
        }
        let from = inner.document.state;
        if from != state {
            inner.document.since = OffsetDateTime::now_utc();
            inner.document.last_observation = None;
        }
        inner.document.state = state;
        reason.clone_into(&mut inner.document.reason);
        if !matches!(state, State::Running) {
            inner.document.ready = false;
            reason.clone_into(&mut inner.document.not_ready_because);
        }
        drop(inner);
        if from == state && matches!(state, State::Bootstrapping | State::Waiting) {
            // What is waited for is on /statusz at once; in the log every ten seconds if it takes long.
            tracing::debug!(%state, reason, "reason");
        } else {
            tracing::info!(%from, to = %state, reason, "state");
        }
    }

    /// Records what the present wait last saw.
    pub fn observed(&self, seen: &str) {
        self.lock().document.last_observation = Some(seen.to_owned());
    }

    /// Records a fresh answer to "does the child serve its purpose now"; logs one line when the answer changes.
    pub fn readiness(&self, answer: Result<(), String>) {
        let mut inner = self.lock();
        inner.ready_at = Some(Instant::now());
        let ready = answer.is_ok();
        let because = answer.err().unwrap_or_default();
        let changed = inner.document.ready != ready;
        inner.document.ready = ready;
        inner.document.not_ready_because.clone_from(&because);
        drop(inner);
        if changed {
            tracing::info!(ready, because, "readiness");
        }
    }

    /// Records whether this process can still heal its child; a process that cannot fails /livez.
    pub fn liveness(&self, answer: Result<(), String>) {
        self.lock().alive = answer;
    }

    /// Records the child's process id, none when it has ended.
    pub fn child(&self, pid: Option<u32>) {
        self.lock().document.pid = pid;
    }

    /// Counts one more start of the child after its first.
    pub fn restarted(&self) {
        self.lock().document.restarts += 1;
    }

    /// Replaces the status of the leaf of the same profile.
    pub fn certificate(&self, status: CertificateStatus) {
        let mut inner = self.lock();
        let certificates = &mut inner.document.certificates;
        match certificates.iter_mut().find(|known| known.profile == status.profile) {
            Some(known) => *known = status,
            None => certificates.push(status),
        }
    }

    /// Records the generation in use of a shared key set.
    pub fn key_generation(&self, name: &str, generation: u64) {
        self.lock().document.key_generations.insert(name.to_owned(), generation);
    }

    /// Records what is in use of a CA.
    pub fn authority(&self, name: &str, in_use: AuthorityInUse) {
        self.lock().document.authorities.insert(name.to_owned(), in_use);
    }

    /// Replaces the status of the rotation of the same set.
    pub fn rotation(&self, status: RotationStatus) {
        let mut inner = self.lock();
        let rotations = &mut inner.document.rotations;
        match rotations.iter_mut().find(|known| known.key_set == status.key_set) {
            Some(known) => *known = status,
            None => rotations.push(status),
        }
    }

    /// Gives another reason for the same state, for people; whoever knows it logs it.
    pub fn reason(&self, reason: &str) {
        reason.clone_into(&mut self.lock().document.reason);
    }

    /// Records something that only this component knows; an empty text removes it.
    pub fn detail(&self, name: &str, value: &str) {
        let mut inner = self.lock();
        if value.is_empty() {
            inner.document.details.remove(name);
        } else {
            inner.document.details.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The document as it is now; readiness that is older than [`READINESS_AGE_LIMIT`] counts as none.
    #[must_use]
    pub fn document(&self) -> StatusDocument {
        let inner = self.lock();
        let mut document = inner.document.clone();
        let fresh = inner.ready_at.is_some_and(|at| at.elapsed() <= READINESS_AGE_LIMIT);
        if document.ready && !fresh {
            document.ready = false;
            document.not_ready_because = format!("no fresh answer within {READINESS_AGE_LIMIT:?}");
        }
        document
    }

    /// Whether our own loop can still heal the child, with the reason if not.
    pub fn alive(&self) -> Result<(), String> {
        self.lock().alive.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held can only leave a field half-told; telling the rest stays right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
