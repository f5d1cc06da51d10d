//! What can go wrong with one request, sorted by what it means: never done, perhaps done, or told to try again.

use std::error::Error as _;
use std::time::Duration;

use http::StatusCode;
use telemetry::error_chain;

/// What a failure says about whether the request was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It certainly was not.
    NotDone,
    /// Nobody can tell.
    Unclear,
    /// It was not, and the protocol asks for another try after this time.
    TryAgain(Duration),
}

/// One failure.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// A short name by which it is counted.
    pub(crate) kind: String,
    /// What was said, for the first example of its kind.
    pub(crate) message: String,
    pub(crate) meaning: Meaning,
    /// The HTTP status, where one came.
    pub(crate) status: Option<u16>,
}

/// What kube-apiserver says with Retry-After to who comes after its drain has begun, before it looks at the request
/// (apiserver/pkg/server/filters/waitgroup.go); client-go sends it again by itself.
pub const SHUTTING_DOWN: &str = "apiserver is shutting down";

impl Trouble {
    pub(crate) fn new(kind: impl Into<String>, message: impl Into<String>, meaning: Meaning) -> Self {
        Self { kind: kind.into(), message: message.into(), meaning, status: None }
    }

    pub(crate) fn connecting(kind: &str, error: &dyn std::error::Error) -> Self {
        Self::new(format!("connect: {kind}"), error_chain(error), Meaning::NotDone)
    }

    /// Of a request that was handed to a connection; `unsent` when the connection gave it back.
    pub(crate) fn sending(error: &hyper::Error, unsent: bool) -> Self {
        let message = error_chain(error);
        if unsent {
            let kind = "connection ended before the request was sent";
            return Self::new(kind, message, Meaning::TryAgain(Duration::ZERO));
        }
        let protocol = protocol_error(error);
        // Streams above the last one that a GOAWAY names, and refused streams, were not looked at (RFC 9113, 6.8 and 8.7).
        if protocol
            .is_some_and(|it| it.is_go_away() && it.is_remote() && it.reason() == Some(h2::Reason::NO_ERROR))
        {
            return Self::new("GOAWAY", message, Meaning::TryAgain(Duration::ZERO));
        }
        if protocol.is_some_and(|it| it.is_reset() && it.reason() == Some(h2::Reason::REFUSED_STREAM)) {
            return Self::new("refused stream", message, Meaning::TryAgain(Duration::ZERO));
        }
        Self::new(broken(error), message, Meaning::Unclear)
    }

    pub(crate) fn no_answer(limit: Duration) -> Self {
        let kind = format!("no answer within {} s", limit.as_secs());
        Self::new(kind.clone(), kind, Meaning::Unclear)
    }

    /// Of an answer that is no success. What the server cannot have done is `NotDone`; its own errors leave that open.
    pub(crate) fn status(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        struct Status {
            reason: String,
            message: String,
        }
        let said: Status = serde_json::from_slice(body).unwrap_or_default();
        let kind = if said.reason.is_empty() {
            format!("HTTP {}", status.as_u16())
        } else {
            format!("HTTP {} {}", status.as_u16(), said.reason)
        };
        let meaning = match (status.as_u16(), retry_after) {
            (429, Some(after)) => Meaning::TryAgain(after),
            (503, Some(after)) if said.message == SHUTTING_DOWN => Meaning::TryAgain(after),
            (500.., _) => Meaning::Unclear,
            _ => Meaning::NotDone,
        };
        Self { kind, message: said.message, meaning, status: Some(status.as_u16()) }
    }
}

/// How a connection broke, by what the system or the protocol said.
pub(crate) fn broken(error: &hyper::Error) -> String {
    let mut source = error.source();
    while let Some(cause) = source {
        // h2 holds a system's error without naming it as a cause.
        let held = cause.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
        if let Some(error) = cause.downcast_ref::<std::io::Error>().or(held) {
            return format!("connection broken: {}", error.kind());
        }
        source = cause.source();
    }
    match protocol_error(error).and_then(h2::Error::reason) {
        Some(reason) => format!("connection broken: {reason:?}"),
        None if error.is_timeout() => "connection broken: ping unanswered".to_owned(),
        None => "connection broken".to_owned(),
    }
}

fn protocol_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<h2::Error>() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_what_they_mean_for_the_request() {
        let meaning = |code, after: Option<u64>| {
            Trouble::status(StatusCode::from_u16(code).unwrap(), after.map(Duration::from_secs), b"").meaning
        };
        assert_eq!(meaning(429, Some(1)), Meaning::TryAgain(Duration::from_secs(1)));
        assert_eq!(meaning(429, None), Meaning::NotDone);
        assert_eq!(meaning(409, None), Meaning::NotDone);
        assert_eq!(meaning(500, None), Meaning::Unclear);
        // An API server that loses etcd in the middle of a write answers 503 or 504 too.
        assert_eq!(meaning(503, Some(1)), Meaning::Unclear);
    }

    #[test]
    fn an_api_server_that_ends_has_not_begun_with_what_it_gives_back() {
        let meaning =
            |after, body: &[u8]| Trouble::status(StatusCode::SERVICE_UNAVAILABLE, after, body).meaning;
        let after = Some(Duration::from_secs(1));
        let body =
            br#"{"kind":"Status","reason":"ServiceUnavailable","message":"apiserver is shutting down"}"#;
        assert_eq!(meaning(after, body), Meaning::TryAgain(Duration::from_secs(1)));
        assert_eq!(meaning(None, body), Meaning::Unclear);
    }

    #[test]
    fn a_kind_names_code_and_reason() {
        let body = br#"{"kind":"Status","reason":"InternalError","message":"etcdserver: leader changed"}"#;
        let trouble = Trouble::status(StatusCode::INTERNAL_SERVER_ERROR, None, body);
        assert_eq!(
            (&*trouble.kind, &*trouble.message),
            ("HTTP 500 InternalError", "etcdserver: leader changed")
        );
        assert_eq!(Trouble::status(StatusCode::BAD_GATEWAY, None, b"<html>").kind, "HTTP 502");
    }
}
