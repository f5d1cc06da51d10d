//! New connections go to the server that leads, or to usable ones in turn, to the next one when one refuses; those to a lost
//! one are cut, and quiet ones to one that ends are closed where that is wanted. Refuses to look inside: TLS ends at the server.
//! Other connections to one that is not usable any more are left to drain.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;

use crate::refusals::Refusals;
use crate::roster::{Best, View};

/// The servers, always up to date.
type Servers = watch::Receiver<View>;

/// How long a new connection waits for a usable server.
const WAIT_FOR_SERVER: Duration = Duration::from_secs(5);
/// Before the leader is tried again that refused, or whose place nobody has taken yet.
const TRY_LEADER_AGAIN: Duration = Duration::from_millis(200);
/// So long a new connection insists on a leader. One that waits does no harm: its client would be refused or, through a
/// follower, get no answer for seven seconds.
const INSIST_ON_LEADER: Duration = Duration::from_millis(3500);
/// A connect takes a round trip unless the server's machine is gone or its backlog is full.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Open connections at most: two file descriptors each, and 16 KiB of buffers.
const MOST_CONNECTIONS: usize = 2048;
/// Seconds of silence before a client's connection is examined, between examinations, and how many fail it: a client
/// whose machine died must not hold a connection for ever.
const KEEPALIVE: (u32, u32, u32) = (30, 10, 3);
/// The same towards servers, in shorter terms: a server whose machine died is left within five seconds, with data on the
/// way or without, even if nobody asks it.
const KEEPALIVE_OF_SERVERS: (u32, u32, u32) = (2, 1, 3);
/// How long data on the way to a server may stay unacknowledged, or unwanted by a full window, in milliseconds
/// (`TCP_USER_TIMEOUT`).
const UNACKNOWLEDGED_LIMIT: u32 = 5000;
/// Pause after an accept failed; the usual cause is a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server for the next connection: of the usable ones that were not tried yet, in turn.
fn choose(usable: &[SocketAddr], tried: &[SocketAddr], turn: usize) -> Option<SocketAddr> {
    let eligible: Vec<_> = usable.iter().filter(|server| !tried.contains(server)).collect();
    if eligible.is_empty() { None } else { Some(*eligible[turn % eligible.len()]) }
}

/// Serves on `listener` until `stop`; connections that are open then are cut. Must be called in a `LocalSet`.
pub async fn serve(listener: TcpListener, servers: watch::Receiver<View>, stop: CancellationToken) {
    serve_and_learn(listener, servers, stop, Refusals::new(Rc::default(), None)).await;
}

/// The same; learns from servers that refuse a connection.
pub(crate) async fn serve_and_learn(
    listener: TcpListener,
    servers: watch::Receiver<View>,
    stop: CancellationToken,
    refusals: Refusals,
) {
    let refusals = Rc::new(refusals);
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut turn = 0_usize;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_ended) = connections.join_next() => continue,
            accepted = accept(&listener, &free) => accepted,
        };
        match accepted {
            Ok((client, permit)) => {
                turn = turn.wrapping_add(1);
                let (servers, refusals) = (servers.clone(), Rc::clone(&refusals));
                connections.spawn_local(async move {
                    forward(client, servers, turn, &refusals).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "front: cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Cancel-safe. Clients beyond the limit stay in the backlog.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    let (client, _peer) = listener.accept().await?;
    Ok((client, permit))
}

async fn forward(client: TcpStream, mut servers: Servers, turn: usize, refusals: &Refusals) {
    keep_alive(&client, KEEPALIVE);
    let Some((address, server)) = connect(&mut servers, turn, refusals).await else {
        tracing::debug!("front: no server became usable in time; the connection is closed");
        return;
    };
    let passed = Cell::new(Instant::now());
    let [mut client, mut server] =
        [client, server].map(|stream| InspectReader::new(stream, |_: &[u8]| passed.set(Instant::now())));
    let lost = async {
        if servers.wait_for(|now| now.lost.contains(&address)).await.is_err() {
            // Nobody tells any more, which says nothing about this server.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut server) => {
            if let Err(error) = copied {
                tracing::trace!(%error, "front: connection broken");
            }
        }
        () = lost => tracing::debug!(server = %address, "front: connection to a lost server cut"),
        () = refusals.until_quiet(address, &passed) => {
            tracing::debug!(server = %address, "front: quiet connection to a server that ends closed");
        }
    }
}

/// Connects to a usable server, waiting for one if need be.
async fn connect(servers: &mut Servers, turn: usize, refusals: &Refusals) -> Option<(SocketAddr, TcpStream)> {
    let began = Instant::now();
    let deadline = began + WAIT_FOR_SERVER;
    loop {
        let insists = began.elapsed() < INSIST_ON_LEADER;
        let (candidates, look_again) = candidates(&servers.borrow_and_update(), insists);
        let mut tried = Vec::new();
        while let Some(server) = choose(&candidates, &tried, turn) {
            match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(server)).await {
                Ok(Ok(stream)) => {
                    refusals.accepted(server);
                    keep_alive(&stream, KEEPALIVE_OF_SERVERS);
                    if let Err(error) = setsockopt(&stream, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_LIMIT) {
                        tracing::debug!(%error, "front: socket option not set");
                    }
                    return Some((server, stream));
                }
                Ok(Err(error)) => {
                    tracing::debug!(%server, %error, "front: the server refuses the connection");
                    refusals.refused(server, &error);
                }
                Err(_elapsed) => tracing::debug!(%server, "front: the server does not accept it in time"),
            }
            tried.push(server);
        }
        // Nobody was there, or all refused although they were usable a moment ago: what changes that is told.
        let until = look_again.map_or(deadline, |pause| deadline.min(Instant::now() + pause));
        match tokio::time::timeout_at(until, servers.changed()).await {
            Ok(Ok(())) => {}
            Err(_) if Instant::now() < deadline => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}

/// Whom to try now, and after which pause to look again even if nothing changes.
fn candidates(now: &View, insists: bool) -> (Vec<SocketAddr>, Option<Duration>) {
    match now.best {
        Best::Leader(leader) if insists => (vec![leader], Some(TRY_LEADER_AGAIN)),
        Best::NextLeader if insists => (Vec::new(), Some(TRY_LEADER_AGAIN)),
        _ => (now.usable.clone(), None),
    }
}

fn keep_alive(stream: &TcpStream, (idle, interval, count): (u32, u32, u32)) {
    let set = stream
        .set_nodelay(true)
        .and_then(|()| Ok(setsockopt(stream, sockopt::KeepAlive, &true)?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::TcpKeepIdle, &idle)?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::TcpKeepInterval, &interval)?))
        .and_then(|()| Ok(setsockopt(stream, sockopt::TcpKeepCount, &count)?));
    if let Err(error) = set {
        tracing::debug!(%error, "front: socket options not set");
    }
}

#[cfg(test)]
mod tests;
