//! Carries a rotation out: looks who is there and what each has in use, stores the next set, publishes its number, tells
//! where it stands and for whom it waits. Refuses decisions: those are the planner's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use certificates::{PublishedGenerations, SharedKeySet, WantedKeys};
use health_endpoints::{RotationStatus, State, StatusBoard, StatusDocument};
use naming_contract::Component;
use telemetry::error_chain;
use time::OffsetDateTime;

use super::change::changed;
use super::planner::{Holder, Patience, Position, Step, step};
use super::stored::StoredKeys;
use crate::AuthorityKeys;
use crate::founding::STORED_SETS;

/// How often is looked, at others only while a rotation is under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest life of a request to kube-apiserver (its --request-timeout), which may seal an object with the key that was
/// the first of the list when it began.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// How shared keys are rotated.
#[derive(Debug, Clone)]
pub struct RotationSettings {
    /// What the command line asks for.
    pub wanted: WantedKeys,
    /// How long an old service-account key is trusted after nobody signs with it any more: as long as a token may live.
    pub token_overlap: Duration,
}

/// An instance that exists, and what it says of itself, if it does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighted {
    pub(crate) name: String,
    pub(crate) component: Component,
    pub(crate) document: Option<StatusDocument>,
}

/// Where a rotation takes place.
pub(crate) trait RotationPlace {
    /// From a set that is stored until the next one may be.
    const SETTLE: Duration;

    /// What is asked for beside the command line.
    fn wanted(&self) -> Result<WantedKeys, String>;

    /// Every instance that exists and is concerned with shared keys.
    async fn instances(&self) -> Result<Vec<Sighted>, String>;

    /// Puts `after` in the place of `before`, at once; an error leaves either.
    async fn store(&self, set: SharedKeySet, before: &StoredKeys, after: &StoredKeys) -> Result<(), String>;

    /// Tells everybody; called again and again with the same.
    fn publish(&self, generations: &PublishedGenerations);
}

/// The rotations of all sets of one control plane.
pub(crate) struct Rotations<P> {
    keys: Rc<AuthorityKeys>,
    place: P,
    settings: RotationSettings,
    board: StatusBoard,
    /// What the board says while nothing is under way.
    at_rest: String,
    told: RefCell<BTreeMap<SharedKeySet, String>>,
}

impl<P: RotationPlace> Rotations<P> {
    pub(crate) fn new(
        keys: Rc<AuthorityKeys>,
        place: P,
        settings: RotationSettings,
        board: StatusBoard,
        at_rest: String,
    ) -> Self {
        Self { keys, place, settings, board, at_rest, told: RefCell::default() }
    }

    /// Rotates whatever is to be rotated, for ever. Dropping it is safe at any time: what is stored says how to go on.
    pub(crate) async fn carry_out(&self) -> Infallible {
        loop {
            let wanted = self.place.wanted().map(|wanted| wanted.or(self.settings.wanted));
            for set in STORED_SETS {
                let Some(stored) = self.keys.stored(set) else { continue };
                let position = stored.position();
                let (number, waits_for) = match &wanted {
                    Ok(wanted) => {
                        let number = wanted.of(set);
                        (number, self.advance(set, &stored, &position, number).await)
                    }
                    Err(why) => (0, Some(why.clone())),
                };
                self.tell(set, number, waits_for);
            }
            self.place.publish(&self.published());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One step of one set; gives what it waits for.
    async fn advance(
        &self,
        set: SharedKeySet,
        stored: &StoredKeys,
        position: &Position,
        wanted: u64,
    ) -> Option<String> {
        // Nobody is asked for nothing.
        if position.rests(wanted) {
            return None;
        }
        let sighted = match self.place.instances().await {
            Ok(sighted) => sighted,
            Err(why) => return Some(format!("the list of instances: {why}")),
        };
        let holders: Vec<Holder> = sighted.iter().map(|sighted| sighted.holder(set)).collect();
        let rewritten =
            sighted.iter().filter_map(|sighted| sighted.generation(PublishedGenerations::REWRITTEN)).max();
        let now = OffsetDateTime::now_utc();
        let stage = match step(set, position, wanted, &holders, rewritten, now, self.patience(set)) {
            Step::Rest => return None,
            Step::Wait(what) => return Some(what),
            Step::Enter(stage) => stage,
        };
        let after = match changed(set, stored, stage, self.keys.founding(), now) {
            Ok(after) => after,
            Err(error) => return Some(error_chain(&error)),
        };
        if let Err(why) = self.place.store(set, stored, &after).await {
            return Some(format!("the keys to be stored: {why}"));
        }
        self.keys.adopt(set, after);
        None
    }

    fn patience(&self, set: SharedKeySet) -> Patience {
        let overlap = match set {
            SharedKeySet::Encryption => REQUEST_LIMIT,
            _ => self.settings.token_overlap,
        };
        Patience { settle: P::SETTLE, overlap }
    }

    /// What everybody is told.
    pub(crate) fn published(&self) -> PublishedGenerations {
        let now = OffsetDateTime::now_utc();
        let position = |set| self.keys.stored(set).map(|stored| stored.position());
        PublishedGenerations {
            key_sets: STORED_SETS
                .into_iter()
                .filter_map(|set| Some((set.name().to_owned(), position(set)?.generation)))
                .collect(),
            rewrite_stored: position(SharedKeySet::Encryption)
                .and_then(|position| position.asks_to_rewrite(now, self.patience(SharedKeySet::Encryption))),
        }
    }

    /// On the board always, in the log when it is news.
    fn tell(&self, set: SharedKeySet, wanted: u64, waits_for: Option<String>) {
        let Some(position) = self.keys.stored(set).map(|stored| stored.position()) else { return };
        let under_way = waits_for.is_some() || !position.rests(wanted);
        let line = match &waits_for {
            Some(what) => format!("{set} keys: {position}; waits for {what}"),
            None => format!("{set} keys: {position}"),
        };
        self.board.rotation(RotationStatus {
            key_set: set.name().to_owned(),
            key: position.in_use(),
            generation: position.generation,
            under_way,
            stage: position.to_string(),
            waits_for,
        });
        let mut told = self.told.borrow_mut();
        if told.get(&set) == Some(&line) {
            return;
        }
        let first = told.insert(set, line.clone()).is_none();
        if !first || under_way {
            tracing::info!(generation = position.generation, "{line}");
        }
        let rotations: Vec<&str> = self
            .board
            .document()
            .rotations
            .iter()
            .filter(|rotation| rotation.under_way)
            .filter_map(|rotation| told.get(&rotation.key_set.parse().ok()?).map(String::as_str))
            .collect();
        let reason = std::iter::once(self.at_rest.as_str()).chain(rotations).collect::<Vec<_>>().join("; ");
        // A replica that ends says so, and nothing else.
        if self.board.document().state == State::Running {
            self.board.reason(&reason);
        }
    }
}

impl Sighted {
    fn generation(&self, name: &str) -> Option<u64> {
        self.document.as_ref()?.key_generations.get(name).copied()
    }

    fn holder(&self, set: SharedKeySet) -> Holder {
        Holder { name: self.name.clone(), component: self.component, generation: self.generation(set.name()) }
    }
}
