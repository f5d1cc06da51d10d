//! Carries a rotation out: looks who is there and what each has in use, stores the next set, publishes its number, tells
//! where it stands and for whom it waits. Refuses decisions: those are the planner's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use certificates::{Authority, PublishedGenerations, Rotated, SharedKeySet, WantedKeys};
use health_endpoints::{RotationStatus, State, StatusBoard};
use telemetry::error_chain;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::change::changed;
use super::planner::{Holder, Patience, Position, Stage, Step, step};
use super::sighted::Sighted;
use super::standing::{Moment, Standings, ToldClock, is_news};
use super::stored::StoredKeys;
use crate::AuthorityKeys;
use crate::founding::STORED_SETS;
use crate::kept::Kept;

/// How often is looked, at others only while a rotation is under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest life of a request to kube-apiserver (its --request-timeout), which may seal an object with the key that was
/// the first of the list when it began.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// How shared keys and CAs are rotated.
#[derive(Debug, Clone)]
pub struct RotationSettings {
    /// What the command line asks for.
    pub wanted: WantedKeys,
    /// How long an old service-account key is trusted after nobody signs with it any more: as long as a token may live.
    pub token_overlap: Duration,
    /// How long a new CA is trusted before it signs, and an old one after nobody of ours shows its leaves any more: for
    /// clients outside.
    pub authority_overlap: Duration,
}

/// Where a rotation takes place.
pub(crate) trait RotationPlace {
    /// From a set that is stored until the next one may be.
    const SETTLE: Duration;

    /// What is asked for beside the command line.
    fn wanted(&self) -> Result<WantedKeys, String>;

    /// Every instance that exists and is concerned; who is not, too, if that is simpler.
    async fn instances(&self, what: Rotated) -> Result<Vec<Sighted>, String>;

    /// Puts `after` in the place of `before`, at once; an error leaves either.
    async fn store(&self, kept: Kept, before: &StoredKeys, after: &StoredKeys) -> Result<(), String>;

    /// Tells everybody numbers and bundles; called again and again with the same.
    fn publish(&self, keys: &AuthorityKeys, generations: &PublishedGenerations);
}

/// All rotations of one control plane.
pub(crate) struct Rotations<P> {
    keys: Rc<AuthorityKeys>,
    place: P,
    settings: RotationSettings,
    board: StatusBoard,
    /// What the board says while nothing is under way.
    at_rest: String,
    told: RefCell<BTreeMap<Rotated, String>>,
    began: Instant,
    standings: RefCell<Standings>,
    clock: RefCell<ToldClock>,
}

impl<P: RotationPlace> Rotations<P> {
    pub(crate) fn new(
        keys: Rc<AuthorityKeys>,
        place: P,
        settings: RotationSettings,
        board: StatusBoard,
        at_rest: String,
    ) -> Self {
        Self {
            keys,
            place,
            settings,
            board,
            at_rest,
            told: RefCell::default(),
            began: Instant::now(),
            standings: RefCell::default(),
            clock: RefCell::default(),
        }
    }

    /// Rotates whatever is to be rotated, for ever. Dropping it is safe at any time: what is stored says how to go on.
    pub(crate) async fn carry_out(&self) -> Infallible {
        loop {
            let wanted = self.place.wanted().map(|wanted| wanted.or(self.settings.wanted));
            for what in Rotated::ALL {
                let now = self.moment();
                let Some(position) = self.position(what, now) else { continue };
                let (number, waits_for) = match &wanted {
                    Ok(wanted) => {
                        let number = wanted.of(what);
                        (number, self.advance(what, &position, number, now).await)
                    }
                    Err(why) => (0, Some(why.clone())),
                };
                self.tell(what, number, waits_for);
            }
            self.place.publish(&self.keys, &self.published());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn moment(&self) -> Moment {
        Moment { steady: self.began.elapsed(), wall: OffsetDateTime::now_utc() }
    }

    /// Where the least advanced of those that are replaced together stands.
    fn position(&self, what: Rotated, now: Moment) -> Option<Position> {
        let patience = self.patience(what);
        let mut standings = self.standings.borrow_mut();
        let mut positions: Vec<Position> = Vec::new();
        for kept in Kept::of(what) {
            let Some(stored) = self.keys.stored(*kept).map(|stored| stored.standing()) else { continue };
            let stood = standings.look(*kept, &stored, patience.at(stored.position.stage), now);
            positions.push(Position { stood, ..stored.position });
        }
        positions.sort_by_key(|position| (position.key, position.stage));
        let first = *positions.first()?;
        // Those that stand there came one after the other; one that is ahead came later still, and is not waited for.
        let there = positions.iter().filter(|it| (it.key, it.stage) == (first.key, first.stage));
        Some(Position { stood: there.filter_map(|position| position.stood).min(), ..first })
    }

    /// One step of one rotation, which stood there `now`; gives what it waits for.
    async fn advance(&self, what: Rotated, position: &Position, wanted: u64, now: Moment) -> Option<String> {
        // Nobody is asked for nothing.
        if position.rests(wanted) {
            return None;
        }
        let sighted = match self.place.instances(what).await {
            Ok(sighted) => sighted,
            Err(why) => return Some(format!("the list of instances: {why}")),
        };
        let holders: Vec<Holder> = sighted
            .iter()
            .map(|sighted| Holder {
                name: sighted.name.clone(),
                component: sighted.component,
                confirmed: match what {
                    Rotated::ServiceAccount => {
                        sighted.has_keys(SharedKeySet::ServiceAccount, position.generation)
                    }
                    Rotated::Encryption => sighted.has_keys(SharedKeySet::Encryption, position.generation),
                    Rotated::CertificateAuthorities => sighted.has_authorities(&self.keys),
                },
            })
            .collect();
        let rewritten =
            sighted.iter().filter_map(|sighted| sighted.generation(PublishedGenerations::REWRITTEN)).max();
        let patience = self.patience(what);
        let stage = match step(what, position, wanted, &holders, rewritten, self.as_told(now), patience) {
            Step::Rest => return None,
            Step::Wait(whom) => {
                self.store_count(what, position).await;
                return Some(whom);
            }
            Step::Enter(stage) => stage,
        };
        let now = OffsetDateTime::now_utc();
        for kept in Kept::of(what) {
            if let Err(why) = self.enter(*kept, position, stage, now).await {
                return Some(why);
            }
        }
        None
    }

    /// A moment as it is told to people.
    fn as_told(&self, moment: Moment) -> OffsetDateTime {
        let (now, jump) = self.clock.borrow_mut().now(moment);
        if let Some(by) = jump {
            tracing::warn!(%by, "this machine's clock was set, or it slept: a rotation counts the time that was seen to pass");
        }
        now
    }

    /// Stores now and then how long a stage has stood, for whoever goes on after this process.
    async fn store_count(&self, what: Rotated, position: &Position) {
        let Some(stood) = position.stood else { return };
        let wait = self.patience(what).at(position.stage);
        for kept in Kept::of(what) {
            let Some(before) = self.keys.stored(*kept) else { continue };
            let stored = before.position();
            let counted = stored.stood.unwrap_or_default();
            if (stored.key, stored.stage) != (position.key, position.stage) || !is_news(stood, counted, wait)
            {
                continue;
            }
            let now = OffsetDateTime::now_utc();
            let Some(after) = before.counted(*kept, self.keys.founding(), stood, now) else { continue };
            let stored = match self.place.store(*kept, &before, &after).await {
                Ok(()) => self.keys.adopt(*kept, after).map_err(|error| format!("{error:?}")),
                // What another replica has counted is read like its stages.
                Err(why) => Err(why),
            };
            if let Err(why) = stored {
                tracing::debug!(%kept, why, "how long its rotation has waited is not stored; tried again");
            }
        }
    }

    /// Stores one of those that are replaced together, unless it is ahead: an earlier try, or another replica, ended there.
    async fn enter(
        &self,
        kept: Kept,
        position: &Position,
        stage: Stage,
        now: OffsetDateTime,
    ) -> Result<(), String> {
        let Some(before) = self.keys.stored(kept) else { return Ok(()) };
        if (before.position().key, before.position().stage) != (position.key, position.stage) {
            return Ok(());
        }
        let after =
            changed(kept, &before, stage, self.keys.founding(), now).map_err(|error| error_chain(&error))?;
        let stored = self.place.store(kept, &before, &after).await;
        stored.map_err(|why| format!("the {kept} to be stored: {why}"))?;
        self.keys.adopt(kept, after).map_err(|error| format!("the {kept} to be usable: {error:?}"))?;
        // At once: whoever looks after what is published would take it for somebody's edit.
        self.place.publish(&self.keys, &self.published());
        Ok(())
    }

    fn patience(&self, what: Rotated) -> Patience {
        let (known, overlap) = match what {
            Rotated::ServiceAccount => (Duration::ZERO, self.settings.token_overlap),
            Rotated::Encryption => (Duration::ZERO, REQUEST_LIMIT),
            Rotated::CertificateAuthorities => {
                (self.settings.authority_overlap, self.settings.authority_overlap)
            }
        };
        Patience { settle: P::SETTLE, known, overlap }
    }

    /// What everybody is told.
    pub(crate) fn published(&self) -> PublishedGenerations {
        let generation = |kept| self.keys.stored(kept).map(|stored| stored.position().generation);
        let sets = STORED_SETS.into_iter().map(|set| (set.name().to_owned(), Kept::Shared(set)));
        let cluster_signing = SharedKeySet::ClusterSigning.name().to_owned();
        let cluster_signing = std::iter::once((cluster_signing, Kept::Authority(Authority::Cluster)));
        let authorities = Authority::ALL
            .into_iter()
            .map(|it| (PublishedGenerations::of_authority(it), Kept::Authority(it)));
        let patience = self.patience(Rotated::Encryption);
        PublishedGenerations {
            key_sets: sets
                .chain(cluster_signing)
                .chain(authorities)
                .filter_map(|(name, kept)| Some((name, generation(kept)?)))
                .collect(),
            signers: Authority::ALL
                .into_iter()
                .filter_map(|it| Some((it.name().to_owned(), self.keys.authority(it)?.fingerprint.clone())))
                .collect(),
            rewrite_stored: self
                .position(Rotated::Encryption, self.moment())
                .and_then(|position| position.asks_to_rewrite(patience)),
        }
    }

    /// On the board always, in the log when it is news.
    fn tell(&self, what: Rotated, wanted: u64, waits_for: Option<String>) {
        let Some(position) = self.position(what, self.moment()) else { return };
        let under_way = waits_for.is_some() || !position.rests(wanted);
        let stage = position.told(what);
        let line = match &waits_for {
            Some(whom) => format!("{}: {stage}; waits for {whom}", what.all_of_them()),
            None => format!("{}: {stage}", what.all_of_them()),
        };
        self.board.rotation(RotationStatus {
            key_set: what.name().to_owned(),
            key: position.in_use(),
            generation: position.generation,
            under_way,
            stage,
            waits_for,
        });
        let mut told = self.told.borrow_mut();
        if told.get(&what) == Some(&line) {
            return;
        }
        let first = told.insert(what, line.clone()).is_none();
        if !first || under_way {
            tracing::info!(generation = position.generation, "{line}");
        }
        let under_way: Vec<String> = (self.board.document().rotations.into_iter())
            .filter(|rotation| rotation.under_way)
            .map(|rotation| rotation.key_set)
            .collect();
        let rotations = told.iter().filter(|(what, _)| under_way.iter().any(|name| name == what.name()));
        let rotations = rotations.map(|(_, line)| line.as_str());
        let reason = std::iter::once(self.at_rest.as_str()).chain(rotations).collect::<Vec<_>>().join("; ");
        // A replica that ends says so, and nothing else.
        if self.board.document().state == State::Running {
            self.board.reason(&reason);
        }
    }
}

#[cfg(test)]
mod tests;
