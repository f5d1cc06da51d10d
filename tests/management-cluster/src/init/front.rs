//! The one port of the host that leads into a machine's network: bytes there and back.
//! Refuses to look at them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpStream;

use crate::error::{ClusterError, Result};
use crate::specification::Front;

pub(super) struct Bound {
    listener: TcpListener,
    forward: SocketAddr,
}

pub(super) fn bind(front: Front) -> Result<Bound> {
    let listener = TcpListener::bind(front.listen)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(ClusterError::path("listen at", front.listen.to_string()))?;
    Ok(Bound { listener, forward: front.forward })
}

impl Bound {
    /// Forwards for ever.
    pub(super) fn keep(self) -> Result<impl Future<Output = ()>> {
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .map_err(ClusterError::path("listen at", "the host's port"))?;
        Ok(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::task::spawn_local(forward(client, self.forward));
                } else {
                    // Out of descriptors: somebody must close some first.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        })
    }
}

/// An API server that is away shows as a connection that is closed at once.
async fn forward(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
