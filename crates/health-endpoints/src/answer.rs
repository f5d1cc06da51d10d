//! The routes: /livez /readyz /startupz /statusz /metrics, with `?verbose` and `?exclude=` as Kubernetes' own endpoints.
//! Pure: a board and a request in, a response out. Refuses every method but GET and HEAD.

use http::{Method, StatusCode};
use http_serving::{Request, Response, respond};

use crate::document::StatusDocument;
use crate::{StatusBoard, metrics};

const TEXT: &str = "text/plain; charset=utf-8";

/// One named check of an endpoint.
struct Check {
    name: &'static str,
    outcome: Result<(), String>,
}

pub(crate) fn answer(board: &StatusBoard, request: &Request) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
    }
    let query = request.query.as_deref().unwrap_or_default();
    match request.path.as_str() {
        // A wait is no reason to end a process, so starting up and being alive are the same: a startup
        // probe that waited for readiness would restart the very process that waits.
        "/livez" | "/startupz" => {
            checks("livez", vec![Check { name: "loop", outcome: board.alive() }], query)
        }
        "/readyz" => checks("readyz", readiness(&board.document()), query),
        "/statusz" => match serde_json::to_vec_pretty(&board.document()) {
            Ok(body) => respond(StatusCode::OK, "application/json", body),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        "/metrics" => match metrics::encode(&board.document()) {
            Ok(body) => respond(StatusCode::OK, metrics::CONTENT_TYPE, body),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        _ => respond(StatusCode::NOT_FOUND, TEXT, "one of /livez /readyz /startupz /statusz /metrics\n"),
    }
}

fn readiness(document: &StatusDocument) -> Vec<Check> {
    let outcome = if document.ready {
        Ok(())
    } else {
        Err(format!("{}: {}", document.state, document.not_ready_because))
    };
    vec![Check { name: "child", outcome }]
}

/// Renders as k8s.io/apiserver's healthz does: `ok`, or every check with its sign and the failed ones with a reason.
fn checks(endpoint: &str, checks: Vec<Check>, query: &str) -> Response {
    let mut verbose = false;
    let mut excluded: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            None if pair == "verbose" => verbose = true,
            Some(("verbose", _)) => verbose = true,
            Some(("exclude", name)) => excluded.push(name),
            _ => {}
        }
    }
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        if excluded.contains(&check.name) {
            lines.push_str(&format_line('+', check.name, "excluded: ok"));
            continue;
        }
        match check.outcome {
            Ok(()) => lines.push_str(&format_line('+', check.name, "ok")),
            Err(reason) => {
                failed = true;
                lines.push_str(&format_line('-', check.name, &format!("failed: {reason}")));
            }
        }
    }
    if failed {
        lines.push_str(endpoint);
        lines.push_str(" check failed\n");
        respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines)
    } else if verbose {
        lines.push_str(endpoint);
        lines.push_str(" check passed\n");
        respond(StatusCode::OK, TEXT, lines)
    } else {
        respond(StatusCode::OK, TEXT, "ok")
    }
}

fn format_line(sign: char, name: &str, text: &str) -> String {
    format!("[{sign}]{name} {text}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use naming_contract::Component;

    use super::*;
    use crate::State;

    fn get(board: &StatusBoard, path: &str, query: Option<&str>) -> Response {
        let request = Request {
            method: Method::GET,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            peer: ([127, 0, 0, 1], 1).into(),
        };
        answer(board, &request)
    }

    fn board() -> StatusBoard {
        StatusBoard::new("etcd-0", Component::Etcd, "0.1.0")
    }

    #[tokio::test]
    async fn a_waiting_supervisor_is_alive_and_not_ready() {
        let board = board();
        board.enter(State::Waiting, "waits for a quorum");
        assert_eq!(get(&board, "/livez", None).status(), StatusCode::OK);
        assert_eq!(get(&board, "/startupz", None).status(), StatusCode::OK);
        assert_eq!(get(&board, "/readyz", None).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(&board, "/readyz", Some("exclude=child")).status(), StatusCode::OK);
        assert_eq!(get(&board, "/other", None).status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_is_not_told_when_it_is_older_than_two_seconds() {
        let board = board();
        board.enter(State::Running, "ready");
        board.readiness(Ok(()));
        assert_eq!(get(&board, "/readyz", Some("verbose")).status(), StatusCode::OK);
        tokio::time::advance(Duration::from_millis(2001)).await;
        assert_eq!(get(&board, "/readyz", None).status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn a_loop_that_cannot_heal_fails_liveness() {
        let board = board();
        board.liveness(Err("the child cannot be killed".to_owned()));
        assert_eq!(get(&board, "/livez", None).status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn the_status_reads_back_as_it_was_written() {
        let board = board();
        board.detail("leader", "true");
        board.key_generation("service-account", 3);
        let json = serde_json::to_vec(&board.document()).unwrap();
        let read: StatusDocument = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, board.document());
    }
}
