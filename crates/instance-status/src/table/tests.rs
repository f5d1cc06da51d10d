//! The table as people see it, on one machine and in Pods.

use std::collections::BTreeMap;

use health_endpoints::{CertificateStatus, ReloadBehaviour, State, StatusDocument};
use naming_contract::Component;

use super::*;

fn leading_etcd() -> StatusDocument {
    StatusDocument {
        name: "etcd-0".into(),
        component: Component::Etcd,
        version: "0.1.0".into(),
        state: State::Running,
        reason: "serves".into(),
        since: OffsetDateTime::UNIX_EPOCH,
        last_observation: None,
        ready: true,
        not_ready_because: String::new(),
        pid: Some(4711),
        supervisor_pid: 4710,
        restarts: 0,
        certificates: vec![CertificateStatus {
            profile: "etcd-server".into(),
            not_before: OffsetDateTime::UNIX_EPOCH,
            not_after: OffsetDateTime::UNIX_EPOCH + time::Duration::hours(72),
            renew_at: OffsetDateTime::UNIX_EPOCH + time::Duration::hours(36),
            reload: ReloadBehaviour::Reloads,
            last_failure: None,
        }],
        key_generations: BTreeMap::new(),
        authorities: BTreeMap::new(),
        rotations: Vec::new(),
        details: BTreeMap::from([("leader".to_owned(), "true".to_owned())]),
    }
}

fn rows() -> [InstanceStatus; 3] {
    let waiting = StatusDocument {
        component: Component::KubeApiserver,
        state: State::Waiting,
        ready: false,
        not_ready_because: "waits for a linearizable read".into(),
        last_observation: Some("connection refused\nby all".into()),
        certificates: Vec::new(),
        details: BTreeMap::new(),
        ..leading_etcd()
    };
    let row = |name, component, reason| InstanceStatus::new(name, component, "Absent", reason);
    [
        row("etcd-0", Component::Etcd, "").told_by(leading_etcd()),
        row("kube-apiserver-0", Component::KubeApiserver, "").told_by(waiting),
        row(
            "kube-controller-manager-0",
            Component::KubeControllerManager,
            "pilothouse does not run; `pilothouse up` starts it",
        ),
    ]
}

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::hours(3)
}

#[test]
fn the_table_is_aligned() {
    insta::assert_snapshot!(table(&rows(), now()));
}

#[test]
fn pods_have_nodes() {
    let mut rows = rows();
    rows[0].node = Some("node-1".into());
    rows[1].node = Some("a-longer-name".into());
    rows[1].supervisor_restarts = 2;
    insta::assert_snapshot!(table(&rows, now()));
}

#[test]
fn a_controller_whose_leases_must_expire_says_so() {
    let controller = |details: &[(&str, &str)]| StatusDocument {
        component: Component::KubeScheduler,
        reason: "the child runs".into(),
        certificates: Vec::new(),
        details: details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..leading_etcd()
    };
    let row = |name: &str, details: &[(&str, &str)]| {
        InstanceStatus::new(name, Component::KubeScheduler, "Absent", "").told_by(controller(details))
    };
    let off = "off: the hostname is laptop, not kube-scheduler-0: twins may share it";
    insta::assert_snapshot!(table(
        &[
            row("kube-scheduler-0", &[("leaseClearing", off)]),
            row("kube-scheduler-1", &[("leader", "false"), ("leaseHolder", "laptop_1")]),
        ],
        now()
    ));
}

#[test]
fn the_objects_have_the_fields_that_programs_rely_on() {
    let json = serde_json::to_value(rows()).unwrap();
    for row in json.as_array().unwrap() {
        for field in [
            "name",
            "component",
            "state",
            "ready",
            "reason",
            "since",
            "lastObservation",
            "leader",
            "pid",
            "supervisorPid",
            "restarts",
            "supervisorRestarts",
            "endpoint",
            "certificates",
            "keyGenerations",
            "details",
        ] {
            assert!(row.as_object().unwrap().contains_key(field), "{field}");
        }
    }
    assert_eq!(json[0]["leader"], true);
    assert_eq!(json[1]["leader"], serde_json::Value::Null);
}

#[test]
fn durations_have_their_two_largest_units() {
    for (seconds, text) in
        [(-5, "0s"), (59, "59s"), (61, "1m1s"), (3_600, "1h0m"), (90_061, "1d1h"), (259_200, "3d0h")]
    {
        assert_eq!(rounded(time::Duration::seconds(seconds)), text);
    }
}
