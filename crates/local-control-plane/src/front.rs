//! A small TCP front for the API servers: new connections go to ready ones in turn, the next one when one refuses.
//! Refuses to look inside: TLS ends at the API server. Connections to one that went unready are left to drain.

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

/// The ready API servers, always up to date.
pub(crate) type ReadyServers = watch::Receiver<Vec<SocketAddr>>;

/// How long a new connection waits for a server to become ready.
const WAIT_FOR_SERVER: Duration = Duration::from_secs(5);
/// A connect on loopback takes microseconds unless the server's backlog is full.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Open connections at most: two file descriptors each, and 16 KiB of buffers.
const MOST_CONNECTIONS: usize = 2048;
/// Seconds of silence before a client's connection is examined, between examinations, and how many fail it: a client
/// whose machine died must not hold a connection for ever.
const KEEPALIVE: (u32, u32, u32) = (30, 10, 3);
/// Pause after an accept failed; the usual cause is a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server for the next connection: of the ready ones that were not tried yet, in turn.
pub(crate) fn choose(ready: &[SocketAddr], tried: &[SocketAddr], turn: usize) -> Option<SocketAddr> {
    let eligible: Vec<_> = ready.iter().filter(|server| !tried.contains(server)).collect();
    if eligible.is_empty() { None } else { Some(*eligible[turn % eligible.len()]) }
}

/// Serves on `listener` until `stop`; connections that are open then are cut.
pub(crate) async fn serve(listener: TcpListener, ready: ReadyServers, stop: CancellationToken) {
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
                let ready = ready.clone();
                connections.spawn_local(async move {
                    forward(client, ready, turn).await;
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

async fn forward(mut client: TcpStream, ready: ReadyServers, turn: usize) {
    keep_alive(&client);
    let Some(mut server) = connect(ready, turn).await else {
        tracing::debug!("front: no API server became ready in time; the connection is closed");
        return;
    };
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        tracing::trace!(%error, "front: connection broken");
    }
}

/// Connects to a ready server, waiting for one if need be.
async fn connect(mut ready: ReadyServers, turn: usize) -> Option<TcpStream> {
    let deadline = Instant::now() + WAIT_FOR_SERVER;
    loop {
        let servers = ready.borrow_and_update().clone();
        let mut tried = Vec::new();
        while let Some(server) = choose(&servers, &tried, turn) {
            match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(server)).await {
                Ok(Ok(stream)) => {
                    let _unimportant = stream.set_nodelay(true);
                    return Some(stream);
                }
                Ok(Err(error)) => {
                    tracing::debug!(%server, %error, "front: API server refuses the connection");
                }
                Err(_elapsed) => tracing::debug!(%server, "front: API server does not accept the connection"),
            }
            tried.push(server);
        }
        // Nobody was there, or all refused although they were ready a moment ago: what changes that is told.
        match tokio::time::timeout_at(deadline, ready.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}

fn keep_alive(client: &TcpStream) {
    let (idle, interval, count) = KEEPALIVE;
    let set = client
        .set_nodelay(true)
        .and_then(|()| Ok(setsockopt(client, sockopt::KeepAlive, &true)?))
        .and_then(|()| Ok(setsockopt(client, sockopt::TcpKeepIdle, &idle)?))
        .and_then(|()| Ok(setsockopt(client, sockopt::TcpKeepInterval, &interval)?))
        .and_then(|()| Ok(setsockopt(client, sockopt::TcpKeepCount, &count)?));
    if let Err(error) = set {
        tracing::debug!(%error, "front: socket options not set");
    }
}

#[cfg(test)]
mod tests;
