//! One HTTP/2 connection and single requests over it. It ends when dropped. Refuses to reconnect: whoever holds it decides.

use std::time::Duration;

use bytes::Bytes;
use durable_files::FileIdentity;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::credentials::Caller;
use super::trouble::{Meaning, Trouble};

/// More than all objects of a run in one list.
const BODY_LIMIT: usize = 64 << 20;

pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    caller: Caller,
}

impl Connection {
    pub(super) fn new(
        sender: SendRequest<Full<Bytes>>,
        driver: impl Future<Output = hyper::Result<()>> + Send + 'static,
        caller: Caller,
    ) -> Self {
        // Its error reaches whoever waits for an answer; on an idle connection it is no failure of any request.
        let driver = tokio::spawn(async {
            let _told_to_the_requests = driver.await;
        });
        Self { sender, driver, caller }
    }

    /// The kubeconfig of which it is.
    pub(super) fn made_with(&self) -> Option<FileIdentity> {
        self.caller.file
    }

    /// Whether it can take no more requests: closed, or told to go away.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// One request, answered as a whole within `limit`; an answer that is no success is trouble.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<Bytes, Trouble> {
        let answer = async {
            let response = self.begin(method, path, body).await?;
            let (parts, body) = response.into_parts();
            let body = collect(body).await?;
            if parts.status.is_success() {
                Ok(body)
            } else {
                Err(Trouble::status(parts.status, retry_after(&parts.headers), &body))
            }
        };
        timeout(limit, answer).await.unwrap_or_else(|_elapsed| Err(Trouble::no_answer(limit)))
    }

    /// One request whose answer has just begun, within `limit`; for watches.
    pub(crate) async fn open(&mut self, path: &str, limit: Duration) -> Result<Incoming, Trouble> {
        let answer = async {
            let response = self.begin(Method::GET, path, None).await?;
            let (parts, body) = response.into_parts();
            if parts.status.is_success() {
                return Ok(body);
            }
            let body = collect(body).await?;
            Err(Trouble::status(parts.status, retry_after(&parts.headers), &body))
        };
        timeout(limit, answer).await.unwrap_or_else(|_elapsed| Err(Trouble::no_answer(limit)))
    }

    async fn begin(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, Trouble> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.caller.authority))
            .header(ACCEPT, "application/json")
            .header("user-agent", "pilothouse-disruption");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.caller.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|error| {
            Trouble::new("a request that cannot be written", error.to_string(), Meaning::NotDone)
        })?;
        self.sender.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            Trouble::sending(error.error(), unsent)
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn collect(body: Incoming) -> Result<Bytes, Trouble> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(match error.downcast_ref::<hyper::Error>() {
            Some(error) => Trouble::sending(error, false),
            None => Trouble::new("an answer that is too long", error.to_string(), Meaning::Unclear),
        }),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use h2::Reason;
    use hyper::client::conn::http2;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::DuplexStream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A connection to a fake server, which is the other end of a pipe.
    async fn connection() -> (Connection, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (sender, driver) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(ours)).await.expect("a handshake");
        let caller = Caller { authority: "server.example:6443".to_owned(), ..Caller::default() };
        (Connection::new(sender, driver, caller), theirs)
    }

    async fn ask(connection: &mut Connection) -> Result<Bytes, Trouble> {
        connection.ask(Method::GET, "/some", None, LIMIT).await
    }

    #[tokio::test]
    async fn a_stream_that_is_refused_is_to_be_tried_again_and_one_that_is_broken_off_is_unclear() {
        let (mut connection, theirs) = connection().await;
        let server = async {
            let mut server = h2::server::handshake(theirs).await.expect("a handshake");
            for reason in [Reason::REFUSED_STREAM, Reason::INTERNAL_ERROR] {
                let (_request, mut answer) = server.accept().await.expect("a request").expect("a whole one");
                answer.send_reset(reason);
            }
            // Nothing more comes, but what was decided must be written.
            let _closed = server.accept().await;
        };
        let client = async {
            assert_eq!(ask(&mut connection).await.unwrap_err().meaning, Meaning::TryAgain(Duration::ZERO));
            let trouble = ask(&mut connection).await.unwrap_err();
            assert_eq!(
                (&*trouble.kind, trouble.meaning),
                ("connection broken: INTERNAL_ERROR", Meaning::Unclear)
            );
        };
        tokio::select! { () = server => panic!("the server ended first"), () = client => {} }
    }

    #[tokio::test]
    async fn a_request_that_a_server_did_not_take_before_it_went_away_is_to_be_tried_again() {
        let (mut connection, theirs) = connection().await;
        let server = async {
            let mut server = h2::server::handshake(theirs).await.expect("a handshake");
            server.abrupt_shutdown(Reason::NO_ERROR);
            let _closed = server.accept().await;
        };
        let (answer, ()) = tokio::join!(ask(&mut connection), server);
        let trouble = answer.unwrap_err();
        assert_eq!(trouble.meaning, Meaning::TryAgain(Duration::ZERO), "{trouble:?}");
        // The connection knows by now that it is of no more use.
        let again = ask(&mut connection).await.unwrap_err();
        assert_eq!(again.kind, "connection ended before the request was sent");
        assert!(connection.is_closed());
    }

    #[tokio::test]
    async fn a_connection_that_breaks_while_a_request_is_answered_leaves_open_what_was_done() {
        let (mut connection, theirs) = connection().await;
        let server = async {
            let mut server = h2::server::handshake(theirs).await.expect("a handshake");
            let _taken = server.accept().await.expect("a request").expect("a whole one");
        };
        let (answer, ()) = tokio::join!(ask(&mut connection), server);
        let trouble = answer.unwrap_err();
        assert_eq!(trouble.meaning, Meaning::Unclear, "{trouble:?}");
        assert!(trouble.kind.starts_with("connection broken"), "{trouble:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up() {
        let (mut connection, theirs) = connection().await;
        let server = async {
            let mut server = h2::server::handshake(theirs).await.expect("a handshake");
            let _kept_waiting = server.accept().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = server => {}
            answer = ask(&mut connection) => assert_eq!(answer.unwrap_err().kind, "no answer within 10 s"),
        }
    }
}
