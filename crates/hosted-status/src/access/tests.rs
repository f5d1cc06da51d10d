//! Kubeconfigs that are missing, broken, or behind a proxy.

use std::path::Path;

use tempfile::TempDir;

use super::*;

const KUBECONFIG: &str = r#"{
  "apiVersion": "v1", "kind": "Config", "current-context": "plain",
  "clusters": [
    {"name": "plain", "cluster": {"server": "https://192.0.2.1:6443"}},
    {"name": "far", "cluster": {"server": "https://192.0.2.2:6443", "proxy-url": "http://192.0.2.9:3128"}}
  ],
  "users": [{"name": "me", "user": {"token": "t"}}],
  "contexts": [
    {"name": "plain", "context": {"cluster": "plain", "user": "me"}},
    {"name": "far", "context": {"cluster": "far", "user": "me", "namespace": "tenant"}}
  ]
}"#;

fn access(kubeconfig: &Path) -> Access {
    mutual_tls::install_provider();
    Access {
        namespace: None,
        release: "demo".parse().unwrap(),
        kubeconfig: Some(kubeconfig.to_owned()),
        context: None,
        limit: Duration::from_secs(1),
    }
}

async fn refusal(access: &Access) -> String {
    let Err(error) = access.connect().await else { panic!("{access:?} connects") };
    telemetry::error_chain(&error)
}

#[tokio::test]
async fn the_context_decides_on_server_namespace_and_proxy() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("kubeconfig");
    durable_files::write_private(&path, KUBECONFIG.as_bytes()).unwrap();
    let mut access = access(&path);
    let kubeconfig = Kubeconfig::read_from(&path).unwrap();
    assert_eq!(access.proxy(&kubeconfig), None);
    let connection = access.connect().await.unwrap();
    assert_eq!(
        (connection.server.as_str(), connection.namespace.as_str()),
        ("https://192.0.2.1:6443", "default")
    );

    access.context = Some("far".to_owned());
    assert_eq!(access.proxy(&kubeconfig).as_deref(), Some("http://192.0.2.9:3128"));
    let connection = access.connect().await.unwrap();
    assert_eq!(
        (connection.server.as_str(), connection.namespace.as_str()),
        ("https://192.0.2.2:6443", "tenant")
    );

    access.namespace = Some("other".parse().unwrap());
    assert_eq!(access.connect().await.unwrap().namespace, "other");

    access.context = Some("nowhere".to_owned());
    let message = refusal(&access).await;
    assert!(message.contains("nowhere") && message.contains("--context"), "{message}");
}

#[tokio::test]
async fn a_missing_or_broken_kubeconfig_is_named_with_the_remedy() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let message = refusal(&access(&missing)).await;
    assert!(message.starts_with(&format!("there is no kubeconfig {}", missing.display())), "{message}");
    let broken = directory.path().join("broken");
    durable_files::write_private(&broken, "{".as_bytes()).unwrap();
    let message = refusal(&access(&broken)).await;
    assert!(message.contains(&broken.display().to_string()) && message.contains("--kubeconfig"), "{message}");
}

#[test]
fn a_name_can_be_no_path_and_no_selector() {
    for name in ["demo", "a", "0-9"] {
        assert_eq!(name.parse::<ObjectName>().unwrap().as_str(), name);
    }
    let long = "a".repeat(64);
    for name in ["", "-a", "a-", "A", "a.b", "a/b", "a,b=c", "a b", long.as_str()] {
        assert!(name.parse::<ObjectName>().is_err(), "{name}");
    }
}
