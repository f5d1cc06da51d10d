//! Answers of the API: JSON always, refusals with a remedy.
//! Refuses details that only the log should have.

use certificates::Refusal;
use http::{HeaderValue, StatusCode, header};
use http_serving::{Response, respond};
use serde::Serialize;

const JSON: &str = "application/json";

pub(crate) fn answer(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => respond(StatusCode::OK, JSON, body),
        Err(_impossible) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written", "report this")
        }
    }
}

pub(crate) fn nothing_new() -> Response {
    respond(StatusCode::NOT_MODIFIED, JSON, "")
}

pub(crate) fn refuse(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Response {
    let refusal = Refusal { error: error.into(), remedy: remedy.into() };
    let mut response = respond(status, JSON, serde_json::to_vec(&refusal).unwrap_or_default());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
