//! Accepts, limits, reads whole requests and hands them to a handler; everything runs on the calling thread.
//! Refuses to be taken down: a broken or slow peer costs one connection for a bounded time.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A whole response.
pub type Response = http::Response<Full<Bytes>>;

/// Gives the TLS configuration for the next connection, so that a renewed certificate is used at once.
pub type TlsSource = Rc<dyn Fn() -> Arc<rustls::ServerConfig>>;

/// A whole request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path without the query.
    pub path: String,
    /// The query without the question mark.
    pub query: Option<String>,
    /// All headers; never logged, they may hold a bearer token.
    pub headers: HeaderMap,
    /// The body, at most as long as the limit.
    pub body: Bytes,
    /// Who asks.
    pub peer: SocketAddr,
}

/// What a peer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest body in bytes; a longer one is answered 413.
    pub body_bytes: usize,
    /// Time for the TLS handshake, for the headers, and for the body, each.
    pub read: Duration,
    /// Connections at once; further ones wait in the listen queue.
    pub connections: usize,
}

impl Default for Limits {
    /// 64 KiB (a request with CSR and token takes about 3), 5 s, 64 connections.
    fn default() -> Self {
        Self { body_bytes: 64 * 1024, read: Duration::from_secs(5), connections: 64 }
    }
}

/// A response with this status, content type and body.
#[must_use]
pub fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// Serves until `stop`, then closes the listener and gives open requests a second to end.
pub async fn serve<H, F>(
    listener: TcpListener,
    tls: Option<TlsSource>,
    limits: Limits,
    handler: H,
    stop: CancellationToken,
) where
    H: Fn(Request) -> F + Clone + 'static,
    F: Future<Output = Response> + 'static,
{
    let local = tokio::task::LocalSet::new();
    local.run_until(accept_until(listener, tls, limits, handler, stop)).await;
}

async fn accept_until<H, F>(
    listener: TcpListener,
    tls: Option<TlsSource>,
    limits: Limits,
    handler: H,
    stop: CancellationToken,
) where
    H: Fn(Request) -> F + Clone + 'static,
    F: Future<Output = Response> + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer, place) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let tls = tls.as_ref().map(|source| source());
        let (handler, stop) = (handler.clone(), stop.clone());
        connections.spawn_local(async move {
            let _place = place;
            match tls {
                None => converse(stream, peer, limits, handler, stop).await,
                Some(configuration) => {
                    let handshake = TlsAcceptor::from(configuration).accept(stream);
                    match tokio::time::timeout(limits.read, handshake).await {
                        Ok(Ok(stream)) => converse(stream, peer, limits, handler, stop).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                        Err(_elapsed) => tracing::debug!(%peer, "TLS handshake timed out"),
                    }
                }
            }
        });
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Connections were told to end after their current request; a peer that does not read is cut.
    let _cut = tokio::time::timeout(Duration::from_secs(1), all_ended).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed; without a permit the connection would still be served.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _small_answers_leave_at_once = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) => {
                // Out of descriptors or a peer that was gone already: neither may end the server.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse<S, H, F>(stream: S, peer: SocketAddr, limits: Limits, handler: H, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Fn(Request) -> F + Clone + 'static,
    F: Future<Output = Response> + 'static,
{
    let service = service_fn(move |request| answer(request, peer, limits, handler.clone()));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.read).max_buf_size(16 * 1024).keep_alive(true);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn answer<H, F>(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    limits: Limits,
    handler: H,
) -> Result<Response, Infallible>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, limits.body_bytes).collect();
    let body = match tokio::time::timeout(limits.read, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("the body is longer than {} bytes\n", limits.body_bytes);
            return Ok(last(respond(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", text)));
        }
        Ok(Err(_broken)) => {
            return Ok(last(respond(StatusCode::BAD_REQUEST, "text/plain", "the body broke off\n")));
        }
        Err(_elapsed) => {
            return Ok(last(respond(
                StatusCode::REQUEST_TIMEOUT,
                "text/plain",
                "the body came too slowly\n",
            )));
        }
    };
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body,
        peer,
    };
    Ok(handler(request).await)
}

/// After a body that was not read to its end the connection cannot be used again.
fn last(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}
