//! Binds the address and serves the board. Plain HTTP, no authentication: nothing here is secret and nothing is changed.
//! Refuses to wait for anything: every answer comes from memory, whatever the child does.

use std::net::SocketAddr;

use http_serving::{Limits, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::StatusBoard;
use crate::answer::answer;

/// The health endpoints, bound and ready to be served.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// The address of the health endpoints could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve health endpoints on {address}; give a free address with --health-address")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub source: std::io::Error,
}

impl HealthServer {
    /// Takes the address.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|source| BindError { address, source })
    }

    /// The address taken; the port is the real one where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    pub async fn serve(self, board: StatusBoard, stop: CancellationToken) {
        let limits = Limits { body_bytes: 1024, ..Limits::default() };
        let handler = move |request| std::future::ready(answer(&board, &request));
        serve(self.listener, None, limits, handler, stop).await;
    }
}
