//! The child's health over a unix socket: one connection, one line, "ready" or "unready"; nothing when wedged.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Answers for ever: `state` gives the line, none leaves the caller waiting.
pub async fn serve(listener: UnixListener, state: impl Fn() -> Option<&'static str>) -> io::Result<()> {
    let mut left_waiting = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        match state() {
            // A caller that went away is its own matter.
            Some(line) => drop(stream.write_all(line.as_bytes()).await),
            None => left_waiting.push(stream),
        }
    }
}

/// Asks once.
pub async fn ask(socket: &Path) -> io::Result<String> {
    let mut answer = String::new();
    UnixStream::connect(socket).await?.read_to_string(&mut answer).await?;
    Ok(answer)
}
