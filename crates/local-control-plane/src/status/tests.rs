//! Status against fake supervisors: HTTP servers that answer /statusz as real ones do, hang, or are not there.

use std::time::Duration;

use health_endpoints::{CertificateStatus, HealthServer, ReloadBehaviour, State, StatusBoard};
use naming_contract::Component;
use process_control::ProcessIdentity;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ports::PortUse;

fn instance(component: Component, ordinal: u32, address: std::net::SocketAddr) -> Instance {
    Instance {
        name: component.instance(ordinal),
        component,
        ordinal,
        listeners: vec![(PortUse::Health, address)],
        program: "/none".into(),
        arguments: Vec::new(),
        data_directory: (component == Component::Etcd).then(|| "/state/data".into()),
    }
}

async fn fake_supervisor(board: StatusBoard) -> std::net::SocketAddr {
    let server = HealthServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.address();
    tokio::task::spawn_local(server.serve(board, CancellationToken::new()));
    address
}

fn leading_etcd() -> StatusBoard {
    let board = StatusBoard::new("etcd-0", Component::Etcd, "0.1.0");
    board.enter(State::Running, "serves");
    board.readiness(Ok(()));
    board.child(Some(4711));
    board.detail("leader", "true");
    board.certificate(CertificateStatus {
        profile: "etcd-server".into(),
        not_before: OffsetDateTime::UNIX_EPOCH,
        not_after: OffsetDateTime::UNIX_EPOCH + time::Duration::hours(72),
        renew_at: OffsetDateTime::UNIX_EPOCH + time::Duration::hours(36),
        reload: ReloadBehaviour::Reloads,
        last_failure: None,
    });
    board
}

#[tokio::test]
async fn answers_silence_and_absence_are_told_apart_within_the_limit() {
    mutual_tls::install_provider();
    LocalSet::new()
        .run_until(async {
            let state = TempDir::new().unwrap();
            let paths = StatePaths::new(state.path().to_owned());
            durable_files::create_private_directory(&paths.run()).unwrap();
            let waiting = StatusBoard::new("kube-apiserver-0", Component::KubeApiserver, "0.1.0");
            waiting.enter(State::Waiting, "waits for a linearizable read");
            waiting.observed("connection refused");
            // Listens and never answers.
            let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let own = ProcessIdentity::own().unwrap();
            PidFile { process: own, restarts: 2, ready: false }.write(&paths, "kube-scheduler-0").unwrap();
            let absent = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let foreign = fake_supervisor(leading_etcd()).await;
            let plan = Plan {
                instances: vec![
                    instance(Component::Etcd, 0, fake_supervisor(leading_etcd()).await),
                    instance(Component::Etcd, 1, foreign),
                    instance(Component::KubeApiserver, 0, fake_supervisor(waiting).await),
                    instance(Component::KubeScheduler, 0, silent.local_addr().unwrap()),
                    instance(Component::KubeScheduler, 1, absent),
                ],
                front: Vec::new(),
                server: String::new(),
            };
            let statuses =
                tokio::time::timeout(Duration::from_secs(5), gather(&plan, &paths)).await.unwrap().unwrap();
            let states: Vec<_> =
                statuses.iter().map(|status| (status.state.as_str(), status.ready)).collect();
            assert_eq!(
                states,
                [
                    ("Running", true),
                    ("Absent", false),
                    ("Waiting", false),
                    ("Unresponsive", false),
                    ("Absent", false)
                ]
            );
            assert_eq!(statuses[0].leader, Some(true));
            assert_eq!(statuses[0].pid, Some(4711));
            assert_eq!(statuses[2].last_observation.as_deref(), Some("connection refused"));
            assert_eq!(statuses[3].supervisor_restarts, 2);

            let json = serde_json::to_value(&statuses).unwrap();
            let first = json[0].as_object().unwrap();
            for field in [
                "name",
                "component",
                "state",
                "reason",
                "since",
                "leader",
                "pid",
                "supervisorPid",
                "restarts",
                "endpoint",
                "dataDirectory",
                "certificates",
            ] {
                assert!(first.contains_key(field), "{field}");
            }
            assert_eq!(json[1]["leader"], serde_json::Value::Null);
        })
        .await;
}
