//! Pods that answer, Pods that cannot, and Pods whose word and Kubernetes' differ.

use health_endpoints::State;
use naming_contract::Component;
use proptest::prelude::*;
use serde_json::{Value, json};
use time::macros::datetime;

use super::cluster::{Cluster, NOW, container, document};

const ETCD: &str = "demo-etcd-1";
const API_SERVER: &str = "demo-kube-apiserver-5c4b-aaaaa";

#[test]
fn a_healthy_control_plane_has_a_ready_row_for_each_pod_in_the_order_of_starting() {
    let mut cluster = Cluster::healthy();
    cluster.deployments.push(super::cluster::workload(Component::CertificateAuthority, 1));
    cluster.add("demo-certificate-authority-77-zzzzz", Component::CertificateAuthority);
    let rows = cluster.rows();
    assert!(rows.iter().all(|row| row.ready), "{rows:?}");
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "demo-certificate-authority-77-zzzzz",
            "demo-etcd-0",
            "demo-etcd-1",
            "demo-etcd-2",
            "demo-kube-apiserver-5c4b-aaaaa",
            "demo-kube-apiserver-5c4b-bbbbb",
        ]
    );
    let etcd = &rows[1];
    assert_eq!(etcd.endpoint.as_deref(), Some("http://10.1.1.7:8686"));
    assert_eq!(etcd.node.as_deref(), Some("node-1"));
    assert_eq!(etcd.data_directory.as_deref(), Some(std::path::Path::new("/var/lib/etcd")));
    assert_eq!((etcd.pid, etcd.supervisor_pid), (Some(12), Some(1)));
}

#[test]
fn what_a_supervisor_waits_for_is_its_reason() {
    let mut cluster = Cluster::healthy();
    let mut waiting = document(API_SERVER, Component::KubeApiserver);
    (waiting.state, waiting.ready) = (State::Waiting, false);
    waiting.not_ready_because = "waits for a linearizable read".to_owned();
    waiting.last_observation = Some("connection refused".to_owned());
    cluster.answers.insert(API_SERVER.to_owned(), Ok(waiting));
    cluster.pods.get_mut(API_SERVER).unwrap()["status"]["containerStatuses"][1]["restartCount"] = json!(3);
    let row = cluster.row(API_SERVER);
    assert_eq!((row.state.as_str(), row.ready), ("Waiting", false));
    assert_eq!(row.reason, "waits for a linearizable read");
    assert_eq!(row.last_observation.as_deref(), Some("connection refused"));
    assert_eq!(row.supervisor_restarts, 3);
}

#[test]
fn pods_of_others_with_the_same_labels_are_no_rows() {
    let mut cluster = Cluster::healthy();
    let mut foreign = cluster.pods[ETCD].clone();
    foreign["metadata"]["name"] = json!("demo-others-etcd-0");
    foreign["spec"]["containers"][1]["ports"] = json!([{"containerPort": 2379}]);
    cluster.pods.insert("demo-others-etcd-0".to_owned(), foreign);
    let mut test = cluster.pods[API_SERVER].clone();
    test["metadata"]["name"] = json!("demo-test");
    test["metadata"]["labels"]["app.kubernetes.io/component"] = json!("test");
    cluster.pods.insert("demo-test".to_owned(), test);
    assert_eq!(cluster.rows().len(), 5);
}

/// The state and the reason of a Pod with such a status that nobody could ask.
fn told(status: Value) -> (String, String) {
    let mut cluster = Cluster::healthy();
    cluster.silence(API_SERVER, status);
    let row = cluster.row(API_SERVER);
    assert!(!row.ready);
    (row.state, row.reason)
}

fn with_container(state: &Value) -> Value {
    json!({"phase": "Pending", "containerStatuses": [container("kube-apiserver", state)]})
}

#[test]
fn a_pod_without_a_node_says_why_none_takes_it() {
    let mut cluster = Cluster::healthy();
    cluster.silence(
        API_SERVER,
        json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient cpu.",
            "lastTransitionTime": "2026-11-23T01:58:00Z",
        }]}),
    );
    cluster.pods.get_mut(API_SERVER).unwrap()["spec"]["nodeName"] = Value::Null;
    let row = cluster.row(API_SERVER);
    assert_eq!(row.state, "Unschedulable");
    assert_eq!(row.reason, "0/3 nodes are available: 3 Insufficient cpu.");
    assert_eq!(row.since, Some(datetime!(2026-11-23 01:58:00 UTC)));
    assert_eq!((row.node, row.endpoint), (None, None));
}

#[test]
fn an_image_that_does_not_exist_is_named() {
    let message = "Back-off pulling image \"registry.k8s.io/kube-apiserver:v9\": not found";
    let (state, reason) = told(with_container(&json!({
        "waiting": {"reason": "ImagePullBackOff", "message": message},
    })));
    assert_eq!(state, "ImagePullBackOff");
    assert_eq!(reason, format!("its container kube-apiserver: {message}"));
}

#[test]
fn our_own_image_that_does_not_exist_is_named_before_the_container_that_waits_for_it() {
    let mut status = with_container(&json!({"waiting": {"reason": "PodInitializing"}}));
    status["initContainerStatuses"] = json!([container(
        "install",
        &json!({
            "waiting": {"reason": "ErrImagePull", "message": "not found"},
        })
    )]);
    assert_eq!(told(status), ("ErrImagePull".to_owned(), "its init container install: not found".to_owned()));
}

#[test]
fn a_crash_loop_says_how_the_last_life_ended_and_not_how_long_the_kubelet_waits() {
    let mut cluster = Cluster::healthy();
    let mut status = with_container(&json!({
        "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"},
    }));
    status["containerStatuses"][0]["restartCount"] = json!(7);
    status["containerStatuses"][0]["lastState"] = json!({"terminated": {
        "exitCode": 78, "reason": "Error", "finishedAt": "2026-11-23T01:59:00Z",
        "message": "first line\nthe flag --etcd-servers is the supervisor's\n",
    }});
    cluster.silence(API_SERVER, status);
    let row = cluster.row(API_SERVER);
    assert_eq!(row.state, "CrashLoopBackOff");
    assert_eq!(
        row.reason,
        "its container kube-apiserver ended with code 78: the flag --etcd-servers is the supervisor's"
    );
    assert_eq!(row.since, Some(datetime!(2026-11-23 01:59:00 UTC)));
    assert_eq!(row.supervisor_restarts, 7);
}

#[test]
fn a_kill_for_memory_is_told() {
    let (state, reason) =
        told(with_container(&json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})));
    assert_eq!(state, "OOMKilled");
    assert_eq!(reason, "its container kube-apiserver ended with code 137: OOMKilled");
}

#[test]
fn a_pod_that_is_being_made_says_what_it_is_at() {
    let creating = with_container(&json!({"waiting": {"reason": "ContainerCreating"}}));
    let (state, reason) = told(creating);
    assert_eq!(state, "Pending");
    assert!(reason.starts_with("its node node-1 prepares its volumes"), "{reason}");
    assert!(reason.contains("`kubectl describe pod demo-kube-apiserver-5c4b-aaaaa`"), "{reason}");
    let mut installing = with_container(&json!({"waiting": {"reason": "PodInitializing"}}));
    installing["initContainerStatuses"] = json!([container("install", &json!({"running": {}}))]);
    assert_eq!(told(installing), ("Pending".to_owned(), "its init container install runs".to_owned()));
    let (state, reason) = told(json!({"phase": "Pending"}));
    assert_eq!(
        (state.as_str(), reason.as_str()),
        ("Pending", "the kubelet of its node node-1 has not begun with it")
    );
}

#[test]
fn a_sidecar_that_runs_is_no_init_container_that_hinders() {
    let mut cluster = Cluster::healthy();
    let mut sidecar = container("proxy", &json!({"running": {}}));
    sidecar["started"] = json!(true);
    cluster.pods.get_mut(API_SERVER).unwrap()["status"]["initContainerStatuses"] = json!([sidecar]);
    cluster.answers.insert(API_SERVER.to_owned(), Err("connection refused".to_owned()));
    let row = cluster.row(API_SERVER);
    assert_eq!(row.state, "Unresponsive");
    assert_eq!(row.reason, "its health endpoints do not answer: connection refused");
    assert_eq!(row.since, Some(datetime!(2026-11-23 01:30:00 UTC)));
}

/// What the control plane makes of the Pods of a node that reports no more: not ready, everything else as it was.
fn lose_node(cluster: &mut Cluster, name: &str) {
    cluster.pods.get_mut(name).unwrap()["status"]["conditions"][1]["status"] = json!("False");
    cluster.answers.insert(name.to_owned(), Err("no answer within 5s".to_owned()));
}

#[test]
fn a_dead_node_is_told_with_what_follows() {
    let mut cluster = Cluster::healthy();
    lose_node(&mut cluster, ETCD);
    lose_node(&mut cluster, API_SERVER);
    let etcd = cluster.row(ETCD);
    assert_eq!(etcd.state, "NodeLost");
    assert!(
        etcd.reason.starts_with("its node node-1 does not report any more; its volume"),
        "{}",
        etcd.reason
    );
    assert!(etcd.reason.contains("delete the Node object"), "{}", etcd.reason);
    assert_eq!(etcd.since, Some(datetime!(2026-11-23 01:00:00 UTC)));
    assert!(cluster.row(API_SERVER).reason.ends_with("another Pod replaces it soon"));
}

#[test]
fn a_node_of_which_no_pod_answers_is_named_before_kubernetes_knows() {
    let mut cluster = Cluster::healthy();
    for name in ["demo-etcd-0", "demo-etcd-2", "demo-kube-apiserver-5c4b-bbbbb"] {
        cluster.pods.get_mut(name).unwrap()["spec"]["nodeName"] = json!("node-2");
    }
    for name in [ETCD, API_SERVER] {
        cluster.answers.insert(name.to_owned(), Err("no answer within 5s".to_owned()));
    }
    cluster.answers.insert("demo-etcd-2".to_owned(), Err("no answer within 5s".to_owned()));
    let silent = "its health endpoints do not answer: no answer within 5s";
    assert_eq!(cluster.row(ETCD).reason, format!("{silent}; nor does any other Pod of node-1"));
    assert_eq!(cluster.row("demo-etcd-2").reason, silent, "others of its node answer");
    // Whoever hears nobody cannot tell a node from the way there.
    for answer in cluster.answers.values_mut() {
        *answer = Err("no answer within 5s".to_owned());
    }
    assert_eq!(cluster.row(ETCD).reason, silent);
}

#[test]
fn a_pod_that_is_to_leave_a_dead_node_says_both() {
    let mut cluster = Cluster::healthy();
    lose_node(&mut cluster, API_SERVER);
    cluster.pods.get_mut(API_SERVER).unwrap()["metadata"]["deletionTimestamp"] =
        json!("2026-11-23T02:01:00Z");
    let row = cluster.row(API_SERVER);
    assert_eq!(row.state, "Terminating");
    assert_eq!(row.reason, "is being deleted, and its node node-1 does not report any more");
}

#[test]
fn a_node_that_answers_but_does_not_report_makes_its_pods_unready() {
    let mut cluster = Cluster::healthy();
    cluster.pods.get_mut(ETCD).unwrap()["status"]["conditions"][1]["status"] = json!("False");
    let row = cluster.row(ETCD);
    assert_eq!((row.state.as_str(), row.ready), ("Running", false));
    assert!(row.reason.contains("does not report any more"), "{}", row.reason);
}

#[test]
fn a_ready_supervisor_whose_kubelet_has_not_noticed_gets_no_requests_yet() {
    let mut cluster = Cluster::healthy();
    cluster.pods.get_mut(ETCD).unwrap()["status"]["conditions"] = json!([{
        "type": "Ready", "status": "False", "reason": "ContainersNotReady",
        "message": "containers with unready status: [etcd]",
    }]);
    let Some(Ok(document)) = cluster.answers.get_mut(ETCD) else { panic!("it answers") };
    document.last_observation = Some("what an earlier wait saw".to_owned());
    let row = cluster.row(ETCD);
    assert!(!row.ready && row.last_observation.is_none());
    assert_eq!(
        row.reason,
        "calls itself ready, but its kubelet does not: containers with unready status: [etcd]"
    );
}

#[test]
fn a_pod_that_goes_is_not_ready_whatever_it_says() {
    let mut cluster = Cluster::healthy();
    let metadata = &mut cluster.pods.get_mut(ETCD).unwrap()["metadata"];
    metadata["deletionTimestamp"] = json!("2026-11-23T02:01:00Z");
    metadata["deletionGracePeriodSeconds"] = json!(120);
    let row = cluster.row(ETCD);
    assert_eq!((row.state.as_str(), row.ready), ("Running", false));
    assert_eq!(row.reason, "is being deleted");

    let mut draining = document(ETCD, Component::Etcd);
    (draining.state, draining.ready) = (State::Draining, false);
    draining.not_ready_because = "holds SIGTERM back: etcd-2 is missing".to_owned();
    cluster.answers.insert(ETCD.to_owned(), Ok(draining));
    assert_eq!(cluster.row(ETCD).reason, "holds SIGTERM back: etcd-2 is missing");

    cluster.answers.remove(ETCD);
    let row = cluster.row(ETCD);
    assert_eq!((row.state.as_str(), row.reason.as_str()), ("Terminating", "is being deleted"));
    assert_eq!(row.since, Some(datetime!(2026-11-23 01:59:00 UTC)));
}

#[test]
fn an_end_that_nobody_confirms_names_the_remedy() {
    let mut cluster = Cluster::healthy();
    cluster.pods.get_mut(ETCD).unwrap()["metadata"]["deletionTimestamp"] = json!("2026-11-23T01:59:00Z");
    cluster.answers.remove(ETCD);
    let row = cluster.row(ETCD);
    assert_eq!(row.state, "Terminating");
    assert!(row.reason.contains("node.kubernetes.io/out-of-service"), "{}", row.reason);
}

#[test]
fn an_evicted_pod_is_told_until_it_is_replaced() {
    let mut cluster = Cluster::healthy();
    let evicted =
        json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
    cluster.silence(API_SERVER, evicted);
    let row = cluster.row(API_SERVER);
    assert_eq!(
        (row.state.as_str(), row.reason.as_str()),
        ("Evicted", "The node was low on resource: memory.")
    );
    cluster.add("demo-kube-apiserver-5c4b-ccccc", Component::KubeApiserver);
    assert!(cluster.rows().iter().all(|row| row.ready && row.name != API_SERVER));
}

#[test]
fn an_address_of_the_newer_family_is_bracketed() {
    let mut cluster = Cluster::healthy();
    cluster.pods.get_mut(ETCD).unwrap()["status"]["podIP"] = json!("fd00::7");
    assert_eq!(cluster.row(ETCD).endpoint.as_deref(), Some("http://[fd00::7]:8686"));
}

fn word() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec![
        "True".to_owned(),
        "False".to_owned(),
        "Unknown".to_owned(),
        "CrashLoopBackOff".to_owned(),
        "2026-11-23T01:00:00Z".to_owned(),
    ]))
}

fn state() -> impl Strategy<Value = Value> {
    let text = || prop::option::of("[a-z \n]{0,12}");
    prop_oneof![
        Just(json!({})),
        Just(json!({"running": {}})),
        (word(), text())
            .prop_map(|(reason, message)| json!({"waiting": {"reason": reason, "message": message}})),
        (any::<i32>(), word(), text()).prop_map(|(code, reason, message)| json!({
            "terminated": {"exitCode": code, "reason": reason, "message": message},
        })),
    ]
}

proptest! {
    /// Whatever Kubernetes shows, there is a row with a state and a reason, and nothing is ready unless all agree.
    #[test]
    fn every_pod_has_a_row_that_says_something(
        phase in prop::sample::select(vec!["Pending", "Running", "Failed", "Succeeded", "Unknown"]),
        ready in word(),
        ready_reason in word(),
        containers_ready in word(),
        bound in any::<bool>(),
        going in any::<bool>(),
        init in state(),
        main in state(),
        last in state(),
        answer in prop::option::of(any::<bool>()),
    ) {
        let mut cluster = Cluster::healthy();
        let mut main = container("etcd", &main);
        main["lastState"] = last;
        cluster.silence(ETCD, json!({
            "phase": phase,
            "conditions": [
                {"type": "Ready", "status": ready.clone().unwrap_or_default(), "reason": ready_reason},
                {"type": "ContainersReady", "status": containers_ready.unwrap_or_default()},
            ],
            "initContainerStatuses": [container("install", &init)],
            "containerStatuses": [main],
        }));
        let pod = cluster.pods.get_mut(ETCD).unwrap();
        if !bound {
            pod["spec"]["nodeName"] = Value::Null;
        }
        if going {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T01:59:50Z");
        }
        if let Some(answers) = answer {
            let answer = if answers { Ok(document(ETCD, Component::Etcd)) } else { Err("refused".to_owned()) };
            cluster.answers.insert(ETCD.to_owned(), answer);
        }
        let row = cluster.row(ETCD);
        prop_assert!(!row.state.is_empty() && !row.reason.is_empty(), "{row:?}");
        let agreed = answer == Some(true) && ready.as_deref() == Some("True") && !going;
        prop_assert_eq!(row.ready, agreed);
        prop_assert!(row.since.is_none_or(|since| since <= NOW));
    }
}
