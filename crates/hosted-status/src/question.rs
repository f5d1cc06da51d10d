//! Asks one Pod for its status document through the API server and the kubelet, as `kubectl port-forward` goes: no
//! NetworkPolicy is in the way, and no address of a Pod need be reachable. Refuses to wait: whoever asks sets the limit.

use bytes::Bytes;
use health_endpoints::StatusDocument;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::access::said;

/// A document has a few KiB.
const LARGEST_DOCUMENT: usize = 1024 * 1024;

/// Why there is no document.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The right to port-forward is missing.
    Forbidden,
    /// Anything else, for people.
    Because(String),
}

/// The document of a Pod whose health endpoints are at `port`.
pub(crate) async fn ask(pods: &Api<Pod>, name: &str, port: u16) -> Result<StatusDocument, Unanswered> {
    let mut forwarder = pods.portforward(name, &[port]).await.map_err(|error| match &error {
        kube::Error::Api(status) if status.code == StatusCode::FORBIDDEN.as_u16() => Unanswered::Forbidden,
        error => Unanswered::Because(said(error)),
    })?;
    let (Some(stream), Some(refusal)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
        return Err(Unanswered::Because(format!("port {port} is not forwarded")));
    };
    let answer = tokio::select! {
        answer = document(stream) => answer,
        // The kubelet cannot reach the port: on the stream nothing would ever come.
        Some(because) = refusal => Err(because),
    };
    forwarder.abort();
    answer.map_err(Unanswered::Because)
}

/// One request and its answer over a stream.
async fn document(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<StatusDocument, String> {
    let chain = |error: &dyn std::error::Error| telemetry::error_chain(error);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/statusz")
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| chain(&error))?;
    let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
    if response.status() != StatusCode::OK {
        return Err(format!("/statusz answers {}", response.status()));
    }
    let body = Limited::new(response.into_body(), LARGEST_DOCUMENT).collect().await;
    let body = body.map_err(|error| chain(error.as_ref()))?.to_bytes();
    connection.abort();
    serde_json::from_slice(&body)
        .map_err(|error| format!("/statusz is of another version of Pilothouse: {error}"))
}

#[cfg(test)]
mod tests;
