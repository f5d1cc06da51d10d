//! Pods that are wanted and not there, and changes that are not through.

use naming_contract::Component;
use serde_json::json;

use super::cluster::{Cluster, workload};

#[test]
fn a_missing_member_has_a_row_with_its_name() {
    let mut cluster = Cluster::healthy();
    cluster.pods.remove("demo-etcd-1");
    let row = cluster.row("demo-etcd-1");
    assert_eq!((row.state.as_str(), row.ready, row.component), ("Absent", false, Component::Etcd));
    assert_eq!(row.reason, "wanted and not there yet; `kubectl describe statefulset demo-etcd` tells why");
    assert_eq!(cluster.rows().len(), 5);
}

#[test]
fn ordinals_need_not_begin_at_0() {
    let mut cluster = Cluster::empty();
    let mut set = workload(Component::Etcd, 2);
    set["spec"]["ordinals"] = json!({"start": 5});
    cluster.stateful_sets.push(set);
    let names: Vec<_> = cluster.rows().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["demo-etcd-5", "demo-etcd-6"]);
}

#[test]
fn a_member_that_goes_is_not_missing_too() {
    let mut cluster = Cluster::healthy();
    cluster.pods.get_mut("demo-etcd-1").unwrap()["metadata"]["deletionTimestamp"] =
        json!("2026-11-23T02:01:00Z");
    assert_eq!(cluster.rows().len(), 5);
}

#[test]
fn missing_pods_of_a_deployment_share_a_row_that_says_how_many_and_why() {
    let mut cluster = Cluster::healthy();
    cluster.pods.retain(|name, _| !name.starts_with("demo-kube-apiserver"));
    let row = cluster.row("demo-kube-apiserver");
    assert_eq!(row.state, "Absent");
    assert_eq!(
        row.reason,
        "2 of 2 wanted Pods not there yet; `kubectl describe deployment demo-kube-apiserver` tells why"
    );
    cluster.deployments[0]["status"]["conditions"] = json!([{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"demo-kube-apiserver-5c4b-\" is forbidden: exceeded quota: cpu",
    }]);
    let row = cluster.row("demo-kube-apiserver");
    assert!(row.reason.ends_with("forbidden: exceeded quota: cpu"), "{}", row.reason);
}

#[test]
fn a_pod_that_goes_leaves_a_gap_in_its_deployment() {
    let mut cluster = Cluster::healthy();
    let pod = cluster.pods.get_mut("demo-kube-apiserver-5c4b-aaaaa").unwrap();
    pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T02:01:00Z");
    assert!(cluster.row("demo-kube-apiserver").reason.starts_with("1 of 2 wanted Pods"));
}

#[test]
fn a_change_is_not_through_while_old_pods_are_ready() {
    let mut cluster = Cluster::healthy();
    cluster.stateful_sets[0]["status"]["updatedReplicas"] = json!(1);
    let row = cluster.row("demo-etcd");
    assert_eq!((row.state.as_str(), row.ready), ("Updating", false));
    assert_eq!(row.reason, "2 of 3 Pods still have older settings");
    let leader = cluster.answers.get_mut("demo-etcd-2").unwrap().as_mut().unwrap();
    leader.details.insert("update".into(), "1 of 3 members at revision x; next demo-etcd-0".into());
    let row = cluster.row("demo-etcd");
    assert!(
        row.reason.ends_with("older settings; 1 of 3 members at revision x; next demo-etcd-0"),
        "{row:?}"
    );
    cluster.deployments[0]["status"]["updatedReplicas"] = json!(0);
    cluster.deployments[0]["spec"]["paused"] = json!(true);
    let row = cluster.row("demo-kube-apiserver");
    assert_eq!(row.reason, "2 of 2 Pods still have older settings; it is paused");
}

#[test]
fn a_change_is_not_through_before_its_controller_has_seen_it() {
    let mut cluster = Cluster::healthy();
    cluster.deployments[0]["metadata"]["generation"] = json!(5);
    assert_eq!(
        cluster.row("demo-kube-apiserver").reason,
        "its controller has not seen its latest settings yet"
    );
}

#[test]
fn nothing_is_wanted_of_a_workload_scaled_to_nothing() {
    let mut cluster = Cluster::empty();
    cluster.deployments.push(workload(Component::KubeScheduler, 0));
    assert_eq!(cluster.rows(), []);
}
