//! Finds the replicas, asks each of them every second, sooner while nobody serves or a leader is missing, and serves a loopback
//! port by what they say. Refuses to wait for the slow: a question that takes too long is an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Fuse, FusedFuture as _, FutureExt as _, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::front::serve_and_learn;
use crate::refusals::Refusals;
use crate::roster::{Answer, CutAfter, Roster, View};

/// Pause between two questions to the same replica.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The same while nobody serves, since the child waits for the first one that does: this part of the time that nobody has served
/// for, so that many that start at once and take minutes do not take the processor from each other, but at least so long.
const ASK_WHILE_NOBODY: (u32, Duration) = (32, Duration::from_millis(250));
/// The same while a leader is missing.
const ASK_SOON: Duration = Duration::from_millis(100);
/// A replica that takes longer is silent; so is a name server.
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);
/// Pause between two looks for replicas while none serves.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While one serves replicas are looked for after so many of these pauses.
const PAUSES_BETWEEN_LOOKS: u32 = 5;

/// What a look for replicas found.
type Found<B> = Result<Vec<(SocketAddr, <B as Backends>::Backend)>, String>;

/// The replicas of something.
pub trait Backends {
    /// One of them, ready to be asked.
    type Backend;
    /// What is worth keeping from one question to the next.
    type Connection;

    /// Where they are now; the error is for people.
    fn find(&self) -> impl Future<Output = Result<Vec<(SocketAddr, Self::Backend)>, String>>;

    /// Whether this one serves, asked over the connection that the last question left. What this one leaves is kept; after a
    /// failure best nothing, since certificates may have been renewed. A question that takes too long leaves nothing.
    fn ask(
        &self,
        address: SocketAddr,
        backend: &Self::Backend,
        kept: Option<Self::Connection>,
    ) -> impl Future<Output = (Answer, Option<Self::Connection>)>;
}

/// A loopback port behind which are all replicas that serve. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    view: watch::Receiver<View>,
    /// What each replica said last; why none is known, while none is.
    told: watch::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl Front {
    /// Takes a free port of 127.0.0.1 and serves it at once. `what` names a replica for people; `tell` is told, whenever it
    /// changes, what each of them said last, as one line. Must be called in a `LocalSet`. The error is the system's, which has
    /// no port.
    pub fn start<B: Backends + 'static>(
        what: &'static str,
        backends: B,
        cut_after: CutAfter,
        tell: impl Fn(&str) + 'static,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (view, viewed) = watch::channel(View::default());
        let (line, told) = watch::channel("not looked for yet".to_owned());
        let tell = move |now: &str| {
            line.send_replace(now.to_owned());
            tell(now);
        };
        let mut tasks = JoinSet::new();
        let doubts = Rc::new(Notify::new());
        let (served, stop) = (viewed.clone(), CancellationToken::new());
        let refusals = Refusals::new(Rc::clone(&doubts), cut_after.ending);
        tasks.spawn_local(serve_and_learn(listener, served, stop, refusals));
        tasks.spawn_local(async move { keep_asking(what, &backends, cut_after, &view, &doubts, tell).await });
        Ok(Self { address, view: viewed, told, _tasks: tasks })
    }

    /// Why nobody can be reached through it, if there is nobody at all: a connection would only wait.
    #[must_use]
    pub fn nobody(&self) -> Option<String> {
        self.view.borrow().usable.is_empty().then(|| self.told.borrow().clone())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What goes on for as long as the front does.
struct Watching<'a, B: Backends> {
    what: &'static str,
    backends: &'a B,
    began: Instant,
    roster: Roster,
    known: BTreeMap<SocketAddr, Rc<B::Backend>>,
    /// One for each replica that is known, and for one that was until a moment ago.
    questions: FuturesUnordered<LocalBoxFuture<'a, Answered<B>>>,
    asked: BTreeSet<SocketAddr>,
    /// Why none is known.
    not_found: Option<String>,
    /// When somebody was last known to serve, at first the beginning.
    served: Instant,
    /// Ends the pauses of all questions.
    doubts: &'a Notify,
}

/// A question that has ended.
struct Answered<B: Backends> {
    address: SocketAddr,
    answer: Answer,
    /// When it was asked.
    asked: Instant,
    kept: Option<B::Connection>,
}

async fn keep_asking<B: Backends>(
    what: &'static str,
    backends: &B,
    cut_after: CutAfter,
    view: &watch::Sender<View>,
    doubts: &Notify,
    tell: impl Fn(&str),
) {
    let mut watching = Watching {
        what,
        backends,
        began: Instant::now(),
        roster: Roster::new(cut_after),
        known: BTreeMap::new(),
        questions: FuturesUnordered::new(),
        asked: BTreeSet::new(),
        not_found: None,
        served: Instant::now(),
        doubts,
    };
    let (mut told, mut looks) = (String::new(), 0_u32);
    watching.found(find(backends).await);
    let mut pause = pin!(sleep(LOOK_EVERY));
    let mut finding = pin!(Fuse::terminated());
    loop {
        let now = watching.view(&view.borrow().lost);
        set(view, now);
        let line = watching.told();
        if line != told {
            tell(&line);
            told = line;
        }
        tokio::select! {
            () = &mut pause => {
                pause.set(sleep(LOOK_EVERY));
                looks = looks.wrapping_add(1);
                let wanted = looks.is_multiple_of(PAUSES_BETWEEN_LOOKS) || !watching.roster.anybody_serves();
                if wanted && finding.is_terminated() {
                    finding.set(find(backends).fuse());
                }
            }
            found = &mut finding => watching.found(found),
            Some(answered) = watching.questions.next() => watching.answered(answered),
        }
    }
}

impl<B: Backends> Watching<'_, B> {
    fn found(&mut self, found: Found<B>) {
        match found {
            Ok(found) => {
                self.known =
                    found.into_iter().map(|(address, backend)| (address, Rc::new(backend))).collect();
                self.not_found = None;
                let all: Vec<SocketAddr> = self.known.keys().copied().collect();
                self.noticing(|roster, now| roster.found(all.iter().copied(), now));
                for address in all {
                    if !self.asked.contains(&address) {
                        self.ask(address, None, Duration::ZERO);
                    }
                }
            }
            // Those that were known are still asked: a name server that is away takes nobody away.
            Err(why) if self.not_found.as_ref() != Some(&why) => {
                tracing::warn!(what = self.what, why, "the replicas cannot be looked up");
                self.not_found = Some(why);
            }
            Err(_as_before) => {}
        }
    }

    /// After a pause, which a doubt ends.
    fn ask(&mut self, address: SocketAddr, kept: Option<B::Connection>, pause: Duration) {
        let Some(backend) = self.known.get(&address).map(Rc::clone) else { return };
        let (backends, doubts) = (self.backends, self.doubts);
        self.asked.insert(address);
        self.questions.push(Box::pin(async move {
            let _doubted = timeout(pause, doubts.notified()).await;
            let asked = Instant::now();
            let answer = timeout(ANSWER_LIMIT, backends.ask(address, &backend, kept)).await;
            let late = |_elapsed| (Answer::Silent(format!("no answer within {ANSWER_LIMIT:?}")), None);
            let (answer, kept) = answer.unwrap_or_else(late);
            Answered { address, answer, asked, kept }
        }));
    }

    fn answered(&mut self, Answered { address, answer, asked, kept }: Answered<B>) {
        self.asked.remove(&address);
        let asked = asked.duration_since(self.began);
        let told = answer.clone();
        if self.noticing(|roster, now| roster.answered(address, answer, asked, now)) {
            tracing::info!(what = self.what, replica = %address, answer = ?told, "a replica changed");
        }
        let pause = self.pause();
        self.ask(address, kept, pause);
    }

    /// Until a replica is asked again.
    fn pause(&mut self) -> Duration {
        let nobody_for = if self.roster.anybody_serves() {
            self.served = Instant::now();
            None
        } else {
            Some(self.served.elapsed())
        };
        pause(self.roster.awaits_leader(self.began.elapsed()), nobody_for)
    }

    /// Lets the roster learn something; if the leader is gone by that, all are asked at once.
    fn noticing<T>(&mut self, learn: impl FnOnce(&mut Roster, Duration) -> T) -> T {
        let now = self.began.elapsed();
        let awaited = self.roster.awaits_leader(now);
        let learnt = learn(&mut self.roster, now);
        if !awaited && self.roster.awaits_leader(now) {
            self.doubts.notify_waiters();
        }
        learnt
    }

    fn view(&self, lost_before: &[SocketAddr]) -> View {
        let now = self.roster.view(self.began.elapsed());
        for address in now.lost.iter().filter(|address| !lost_before.contains(address)) {
            tracing::warn!(what = self.what, replica = %address, "connections to this replica are cut, since others serve");
        }
        now
    }

    fn told(&self) -> String {
        if self.known.is_empty() { self.not_found.clone().unwrap_or_default() } else { self.roster.told() }
    }
}

/// `nobody_for`: how long nobody has served; none while somebody does.
fn pause(awaits_leader: bool, nobody_for: Option<Duration>) -> Duration {
    let (part, least) = ASK_WHILE_NOBODY;
    match nobody_for {
        _ if awaits_leader => ASK_SOON,
        None => ASK_EVERY,
        Some(nobody_for) => (nobody_for / part).clamp(least, ASK_EVERY),
    }
}

async fn find<B: Backends>(backends: &B) -> Found<B> {
    timeout(ANSWER_LIMIT, backends.find())
        .await
        .unwrap_or_else(|_late| Err(format!("no name server answered within {ANSWER_LIMIT:?}")))
}

fn set<T: PartialEq>(sender: &watch::Sender<T>, now: T) {
    sender.send_if_modified(|known| {
        let differs = *known != now;
        *known = now;
        differs
    });
}

#[cfg(test)]
mod tests;
