//! New connections go to usable servers in turn, to the next one when one refuses; those to a lost one are cut.
//! Refuses to look inside: TLS ends at the server. Connections to one that is not usable any more are left to drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::roster::View;

/// The servers, always up to date.
type Servers = watch::Receiver<View>;

/// How long a new connection waits for a usable server.
const WAIT_FOR_SERVER: Duration = Duration::from_secs(5);
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
                let servers = servers.clone();
                connections.spawn_local(async move {
                    forward(client, servers, turn).await;
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

async fn forward(mut client: TcpStream, mut servers: Servers, turn: usize) {
    keep_alive(&client, KEEPALIVE);
    let Some((address, mut server)) = connect(&mut servers, turn).await else {
        tracing::debug!("front: no server became usable in time; the connection is closed");
        return;
    };
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
    }
}

/// Connects to a usable server, waiting for one if need be.
async fn connect(servers: &mut Servers, turn: usize) -> Option<(SocketAddr, TcpStream)> {
    let deadline = Instant::now() + WAIT_FOR_SERVER;
    loop {
        let usable = servers.borrow_and_update().usable.clone();
        let mut tried = Vec::new();
        while let Some(server) = choose(&usable, &tried, turn) {
            match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(server)).await {
                Ok(Ok(stream)) => {
                    keep_alive(&stream, KEEPALIVE_OF_SERVERS);
                    if let Err(error) = setsockopt(&stream, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_LIMIT) {
                        tracing::debug!(%error, "front: socket option not set");
                    }
                    return Some((server, stream));
                }
                Ok(Err(error)) => {
                    tracing::debug!(%server, %error, "front: the server refuses the connection");
                }
                Err(_elapsed) => tracing::debug!(%server, "front: the server does not accept it in time"),
            }
            tried.push(server);
        }
        // Nobody was there, or all refused although they were usable a moment ago: what changes that is told.
        match tokio::time::timeout_at(deadline, servers.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
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
