//! Orders to a machine's first process: one line to a unix socket, lines back, the last of them `ok` or a refusal.
//! Whoever may open the socket (root, by its directory) could kill the machine anyway.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::error::{ClusterError, Result};
use crate::init::Services;

/// Longest order, in bytes.
const LIMIT: u64 = 1024;
const DONE: &str = "ok";

pub(crate) fn listen(socket: &Path) -> Result<UnixListener> {
    // Of an earlier life of this machine.
    let _absent = std::fs::remove_file(socket);
    UnixListener::bind(socket).map_err(ClusterError::path("listen at", socket))
}

pub(crate) async fn answer_for_ever(listener: UnixListener, services: Rc<Services>) -> Infallible {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let services = Rc::clone(&services);
            tokio::task::spawn_local(async move { answer(stream, &services).await });
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

async fn answer(stream: UnixStream, services: &Services) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LIMIT)).read_line(&mut line).await?;
    let outcome = match line.trim().split_once(' ') {
        Some(("start", name)) => services.start(name).map(|()| String::new()),
        Some(("stop", name)) => services.stop(name).await.map(|()| String::new()),
        None if line.trim() == "status" => Ok(services.status()),
        _ => Err("the orders are: start NAME, stop NAME, status".to_owned()),
    };
    let text = match outcome {
        Ok(text) => format!("{text}{DONE}\n"),
        Err(refusal) => format!("{refusal}\n"),
    };
    write.write_all(text.as_bytes()).await
}

/// Gives one order; the answer without its last line, or the refusal.
pub(crate) async fn order(socket: &Path, order: &str) -> io::Result<std::result::Result<String, String>> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("{order}\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(match text.strip_suffix(&format!("{DONE}\n")) {
        Some(answer) => Ok(answer.to_owned()),
        None if text.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(text.trim().to_owned()),
    })
}
