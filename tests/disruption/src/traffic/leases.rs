//! Leader leases, watched for their history. Refuses to touch them.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::numbered_object::Read;
use super::recorder::Recorder;
use super::server::Server;
use super::watch_stream::{Target, Told, follow};
use crate::model::{LeaseView, Moment};

/// Follows one lease of kube-system until stopped.
pub(crate) async fn follow_lease(
    server: Server,
    recorder: Arc<Recorder>,
    name: String,
    limit: Duration,
    stop: CancellationToken,
) {
    let target = Target {
        path: "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases".to_owned(),
        selector: Some(format!("metadata.name%3D{name}")),
        limit,
    };
    let write_down = |read: &Read, after_a_gap: bool| {
        let view = LeaseView { after_a_gap, ..view(recorder.now(), &read.spec) };
        let mut records = recorder.records();
        let views = records.leases.entry(name.clone()).or_default();
        // A list shows again what the watch showed before.
        if views.last().is_none_or(|last| LeaseView { at: view.at, after_a_gap, ..last.clone() } != view) {
            views.push(view);
        }
    };
    follow(&server, 0, &target, None, &stop, |told| match told {
        Told::Put(read) => write_down(read, false),
        Told::Relisted { list, .. } => list.items.iter().for_each(|read| write_down(read, true)),
        _ => {}
    })
    .await;
}

fn view(at: Moment, spec: &serde_json::Value) -> LeaseView {
    let moment = |field: &str| {
        let text = spec.get(field)?.as_str()?;
        let nanoseconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        Some(Duration::from_nanos(nanoseconds.try_into().ok()?))
    };
    LeaseView {
        at,
        holder: spec.get("holderIdentity").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
        acquired: moment("acquireTime").unwrap_or_default(),
        renewed: moment("renewTime").unwrap_or_default(),
        term: Duration::from_secs(
            spec.get("leaseDurationSeconds").and_then(serde_json::Value::as_u64).unwrap_or_default(),
        ),
        after_a_gap: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_client_go_writes_it() {
        let spec = serde_json::json!({
            "holderIdentity": "scheduler-0_1f",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-02T03:04:05.000006Z",
            "renewTime": "2026-01-02T03:04:07.500000Z",
        });
        let view = view(Duration::from_secs(1), &spec);
        assert_eq!((&*view.holder, view.term.as_secs()), ("scheduler-0_1f", 15));
        assert_eq!(view.acquired + Duration::from_micros(2_499_994), view.renewed);
        let cleared = super::view(Duration::ZERO, &serde_json::json!({ "holderIdentity": "" }));
        assert_eq!(cleared.holder, "");
    }
}
