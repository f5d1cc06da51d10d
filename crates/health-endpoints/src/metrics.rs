//! The status document as Prometheus metrics (OpenMetrics text), made anew for every scrape.
//! Refuses counters of its own: what is told here and under /statusz can never differ.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text::encode as encode_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::document::{State, StatusDocument};

/// Content type of the OpenMetrics text format.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const STATES: [State; 7] = [
    State::Bootstrapping,
    State::Waiting,
    State::Starting,
    State::Running,
    State::Restarting,
    State::Draining,
    State::Stopped,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProfileLabel {
    profile: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeySetLabel {
    key_set: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: String,
    component: &'static str,
}

pub(crate) fn encode(document: &StatusDocument) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("pilothouse_supervisor");

    let build = Family::<BuildLabels, Gauge>::default();
    build
        .get_or_create(&BuildLabels {
            version: document.version.clone(),
            component: document.component.name(),
        })
        .set(1);
    registry.register("build", "Version and component; always 1", build);

    let state = Family::<StateLabel, Gauge>::default();
    for known in STATES {
        state.get_or_create(&StateLabel { state: known.to_string() }).set(i64::from(known == document.state));
    }
    registry.register("state", "1 for the state the supervisor is in", state);

    let since = Gauge::<i64>::default();
    since.set(document.since.unix_timestamp());
    registry.register("state_since_timestamp_seconds", "When the present state was entered", since);

    let ready = Gauge::<i64>::default();
    ready.set(i64::from(document.ready));
    registry.register("ready", "1 when the child serves its purpose now", ready);

    let restarts = Counter::<u64, AtomicU64>::default();
    restarts.inc_by(u64::from(document.restarts));
    registry.register(
        "child_restarts",
        "Starts of the child after its first, in this supervisor's life",
        restarts,
    );

    let expiry = Family::<ProfileLabel, Gauge>::default();
    for certificate in &document.certificates {
        expiry
            .get_or_create(&ProfileLabel { profile: certificate.profile.clone() })
            .set(certificate.not_after.unix_timestamp());
    }
    registry.register(
        "certificate_expiry_timestamp_seconds",
        "End of validity of each leaf certificate",
        expiry,
    );

    let generations = Family::<KeySetLabel, Gauge>::default();
    for (name, generation) in &document.key_generations {
        generations
            .get_or_create(&KeySetLabel { key_set: name.clone() })
            .set(i64::try_from(*generation).unwrap_or(i64::MAX));
    }
    registry.register("key_generation", "Generation in use of each shared key set", generations);

    let mut text = String::new();
    encode_text(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use naming_contract::Component;

    use super::*;
    use crate::StatusBoard;

    #[test]
    fn metrics_tell_what_the_document_tells() {
        let board = StatusBoard::new("etcd-0", Component::Etcd, "0.1.0");
        board.restarted();
        board.restarted();
        board.key_generation("encryption", 7);
        let text = encode(&board.document()).unwrap();
        for line in [
            "pilothouse_supervisor_state{state=\"Bootstrapping\"} 1",
            "pilothouse_supervisor_state{state=\"Running\"} 0",
            "pilothouse_supervisor_child_restarts_total 2",
            "pilothouse_supervisor_key_generation{key_set=\"encryption\"} 7",
            "pilothouse_supervisor_ready 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in:\n{text}");
        }
    }
}
