//! What a person is told when the look itself fails: a fake API server that lists, refuses or hangs. It forwards no port;
//! the tests of the chart look at real Pods.

use http::StatusCode;
use http_serving::{Limits, Request, respond, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::*;

/// A status code and a body.
type Told = (u16, Value);

/// The status code with which it never answers.
const HANGS: u16 = 0;

/// What is seen of `demo` in `tenant` at an API server that answers so, by paths.
async fn look(answer: fn(&str, &str) -> Told) -> Result<Vec<InstanceStatus>, String> {
    mutual_tls::install_provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = TempDir::new().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let content = json!({
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": format!("http://{}", listener.local_addr().unwrap())}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "namespace": "tenant"}}],
    });
    durable_files::write_private(&kubeconfig, content.to_string().as_bytes()).unwrap();
    let access = Access {
        namespace: None,
        release: "demo".parse().unwrap(),
        kubeconfig: Some(kubeconfig),
        context: None,
        limit: Duration::from_millis(500),
    };
    let handler = move |request: Request| async move {
        let (code, body) = answer(&request.path, &request.query.unwrap_or_default());
        if code == HANGS {
            std::future::pending::<()>().await;
        }
        respond(StatusCode::from_u16(code).unwrap(), "application/json", body.to_string())
    };
    let local = LocalSet::new();
    local.spawn_local(serve(listener, None, Limits::default(), handler, CancellationToken::new()));
    let looked = local.run_until(async { HostedControlPlane::open(&access).await?.status().await });
    looked.await.map_err(|error| telemetry::error_chain(&error))
}

fn list(items: &[Value]) -> Told {
    (200, json!({"metadata": {}, "items": items}))
}

fn refused(code: u16) -> Told {
    let message = "the fake's sentence";
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        _ => "ServiceUnavailable",
    };
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

fn pod(release: &str) -> Value {
    let labels = json!({"app.kubernetes.io/instance": release, "app.kubernetes.io/component": "etcd"});
    let state = json!({"running": {}});
    let container = json!({
        "name": "etcd", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state,
    });
    json!({
        "metadata": {"name": format!("{release}-etcd-0"), "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": "etcd", "ports": [{"containerPort": 8686}]}]},
        "status": {"containerStatuses": [container]},
    })
}

#[tokio::test]
async fn a_missing_right_is_named_with_verb_and_resource() {
    let message =
        look(|path, _| if path.ends_with("/statefulsets") { refused(403) } else { list(&[]) }).await;
    let message = message.unwrap_err();
    assert!(message.starts_with("you may not list statefulsets in namespace tenant"), "{message}");
    assert!(message.contains("`edit`"), "{message}");
    let message =
        look(|path, _| if path.ends_with("/portforward") { refused(403) } else { of_pods(path) }).await;
    let message = message.unwrap_err();
    assert!(message.starts_with("you may not get and create pods/portforward"), "{message}");
}

fn of_pods(path: &str) -> Told {
    if path.ends_with("/pods") { list(&[pod("demo")]) } else { list(&[]) }
}

#[tokio::test]
async fn a_pod_that_cannot_be_asked_is_a_row_and_no_failure() {
    let rows =
        look(|path, _| if path.ends_with("/portforward") { refused(500) } else { of_pods(path) }).await;
    let rows = rows.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].state, "Unresponsive");
    assert!(rows[0].reason.contains("500"), "{}", rows[0].reason);
    let rows =
        look(|path, _| if path.ends_with("/portforward") { refused(HANGS) } else { of_pods(path) }).await;
    assert!(rows.unwrap()[0].reason.ends_with("no answer within 500ms"));
}

#[tokio::test]
async fn nothing_there_is_told_by_what_is_wrong() {
    let message =
        look(|path, _| if path.ends_with("/namespaces/tenant") { refused(404) } else { list(&[]) }).await;
    let message = message.unwrap_err();
    assert!(message.starts_with("there is no namespace tenant at http://127.0.0.1:"), "{message}");
    let message =
        look(|path, _| if path.ends_with("/namespaces/tenant") { refused(403) } else { list(&[]) }).await;
    let message = message.unwrap_err();
    assert!(
        message.starts_with("there is no control plane demo in namespace tenant; none is there"),
        "{message}"
    );
    let others =
        look(|path, query| match (path.ends_with("/pods"), query.contains("hosted-control-plane")) {
            (true, true) => list(&[pod("two"), pod("one"), pod("two")]),
            _ => list(&[]),
        });
    let message = others.await.unwrap_err();
    assert!(message.ends_with("there is one, two: name one with --release"), "{message}");
}

#[tokio::test]
async fn who_is_not_known_and_who_is_not_answered_is_told_so() {
    let message = look(|_, _| refused(401)).await.unwrap_err();
    assert!(message.contains("does not know who asks"), "{message}");
    let message = look(|_, _| refused(503)).await.unwrap_err();
    assert!(
        message.starts_with("cannot list ") && message.ends_with(": 503 the fake's sentence"),
        "{message}"
    );
    let message = look(|_, _| refused(HANGS)).await.unwrap_err();
    assert!(message.contains("has not answered within 500ms; --timeout allows more"), "{message}");
}
