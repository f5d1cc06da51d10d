//! Finds the replicas, asks each of them every second, and serves a loopback port by what they say.
//! Refuses to wait for the slow: a question that takes too long is an answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::front::serve;
use crate::roster::{Answer, CutAfter, Roster, View};

/// Pause between two questions to the same replica.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A replica that takes longer is silent; so is a name server.
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);
/// Rounds between two looks for replicas while one serves; without one they are looked for in every round.
const ROUNDS_BETWEEN_LOOKS: u32 = 5;

/// All replicas that are known, with what the last questions left.
type Known<B> = BTreeMap<SocketAddr, (<B as Backends>::Backend, Option<<B as Backends>::Connection>)>;

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
        tasks.spawn_local(serve(listener, viewed.clone(), CancellationToken::new()));
        tasks.spawn_local(async move { keep_asking(what, &backends, cut_after, &view, tell).await });
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

async fn keep_asking<B: Backends>(
    what: &'static str,
    backends: &B,
    cut_after: CutAfter,
    view: &watch::Sender<View>,
    tell: impl Fn(&str),
) {
    let began = Instant::now();
    let mut roster = Roster::new(cut_after);
    let mut known: Known<B> = BTreeMap::new();
    let mut not_found = None;
    let mut told = String::new();
    let mut rounds = 0_u32;
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if rounds.is_multiple_of(ROUNDS_BETWEEN_LOOKS) || !roster.anybody_serves() {
            match find(backends).await {
                Ok(found) => {
                    roster.found(found.iter().map(|(address, _)| *address));
                    known = found
                        .into_iter()
                        .map(|(address, backend)| {
                            let kept = known.remove(&address).and_then(|(_, kept)| kept);
                            (address, (backend, kept))
                        })
                        .collect();
                    not_found = None;
                    // Before the first answers: whoever is there may be used.
                    set(view, roster.view(began.elapsed()));
                }
                // Those that were known are still asked: a name server that is away takes nobody away.
                Err(why) if not_found.as_ref() != Some(&why) => {
                    tracing::warn!(what, why, "the replicas cannot be looked up");
                    not_found = Some(why);
                }
                Err(_as_before) => {}
            }
        }
        rounds = rounds.wrapping_add(1);
        let asked = began.elapsed();
        for (address, answer) in ask_all(backends, &mut known).await {
            if roster.answered(address, answer.clone(), asked) {
                tracing::info!(what, replica = %address, ?answer, "a replica changed");
            }
        }
        let now = roster.view(began.elapsed());
        for address in now.lost.iter().filter(|address| !view.borrow().lost.contains(address)) {
            tracing::warn!(what, replica = %address, "connections to this replica are cut, since others serve");
        }
        set(view, now);
        let line = if known.is_empty() { not_found.clone().unwrap_or_default() } else { roster.told() };
        if line != told {
            tell(&line);
            told = line;
        }
    }
}

async fn find<B: Backends>(backends: &B) -> Result<Vec<(SocketAddr, B::Backend)>, String> {
    timeout(ANSWER_LIMIT, backends.find())
        .await
        .unwrap_or_else(|_late| Err(format!("no name server answered within {ANSWER_LIMIT:?}")))
}

/// All at once: a silent one must not hold up the others.
async fn ask_all<B: Backends>(backends: &B, known: &mut Known<B>) -> Vec<(SocketAddr, Answer)> {
    let questions = known.iter_mut().map(async |(address, (backend, connection))| {
        let asked = timeout(ANSWER_LIMIT, backends.ask(*address, backend, connection.take())).await;
        let late = |_elapsed| (Answer::Silent(format!("no answer within {ANSWER_LIMIT:?}")), None);
        let (answer, kept) = asked.unwrap_or_else(late);
        *connection = kept;
        (*address, answer)
    });
    futures_util::future::join_all(questions).await
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
