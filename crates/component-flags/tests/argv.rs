//! Snapshots of the whole argv of each component for each supported version, and of the rendered configuration files.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its inputs has failed")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use component_flags::{
    ApiserverFlags, CloudControllerManagerFlags, ControllerManagerFlags, EtcdClientFiles, EtcdFlags,
    InitialClusterState, KubernetesVersion, LeaderElectedFlags, RequestHeader, SchedulerFlags,
    ServiceAccountFiles, TlsServerFiles,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn version(text: &str) -> KubernetesVersion {
    KubernetesVersion::parse(text).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new("/run/pilothouse").join(name)
}

fn server(profile: &str, authority: &str) -> TlsServerFiles {
    TlsServerFiles {
        trusted_authority: path(&format!("trust/{authority}.crt")),
        certificate: path(&format!("certificates/{profile}/tls.crt")),
        key: path(&format!("certificates/{profile}/tls.key")),
    }
}

fn apiserver_flags() -> ApiserverFlags {
    ApiserverFlags {
        etcd_endpoints: vec!["https://127.0.0.1:2379".into(), "https://127.0.0.1:2389".into()],
        etcd_client: EtcdClientFiles {
            authority: path("trust/etcd.crt"),
            certificate: path("certificates/apiserver-etcd-client/tls.crt"),
            key: path("certificates/apiserver-etcd-client/tls.key"),
        },
        bind_address: LOOPBACK,
        secure_port: 6443,
        advertise_address: LOOPBACK,
        service_subnets: vec!["10.96.0.0/16".into(), "fd00:96::/112".into()],
        service_account_issuers: vec!["https://kubernetes.default.svc".into()],
        service_account: ServiceAccountFiles {
            verification_keys: path("keys/service-account/verify.pub"),
            signing_key: path("keys/service-account/signing.key"),
        },
        serving: server("apiserver-serving", "cluster"),
        request_header: RequestHeader { authority: path("trust/front-proxy.crt") },
        front_proxy_certificate: path("certificates/apiserver-front-proxy-client/tls.crt"),
        front_proxy_key: path("certificates/apiserver-front-proxy-client/tls.key"),
        kubelet_client_certificate: path("certificates/apiserver-kubelet-client/tls.crt"),
        kubelet_client_key: path("certificates/apiserver-kubelet-client/tls.key"),
        kubelet_authority: path("trust/cluster.crt"),
        authentication_configuration: path("configuration/authentication.json"),
        encryption_configuration: path("configuration/encryption.json"),
        shutdown_delay: Duration::from_secs(15),
        watch_grace: Duration::from_secs(25),
        send_retry_after: true,
        goaway_chance: Some(0.001),
    }
}

fn common(component: &str) -> LeaderElectedFlags {
    LeaderElectedFlags {
        kubeconfig: path("configuration/kubeconfig"),
        bind_address: LOOPBACK,
        secure_port: 10257,
        serving: server(&format!("{component}-serving"), "cluster"),
        request_header: RequestHeader { authority: path("trust/front-proxy.crt") },
    }
}

fn controller_manager_flags() -> ControllerManagerFlags {
    ControllerManagerFlags {
        common: common("controller-manager"),
        root_authority: path("trust/cluster.crt"),
        service_account_key: path("keys/service-account/signing.key"),
        cluster_signing_certificate: path("keys/cluster-signing/tls.crt"),
        cluster_signing_key: path("keys/cluster-signing/tls.key"),
        pod_subnets: vec!["10.244.0.0/16".into()],
        service_subnets: vec!["10.96.0.0/16".into()],
        cluster_name: Some("harbour".into()),
    }
}

#[test]
fn etcd_founding_and_joining() {
    let mut flags = EtcdFlags {
        name: "etcd-0".into(),
        data_directory: path("data"),
        listen_peer_urls: vec!["https://127.0.0.1:2380".into()],
        advertise_peer_urls: vec!["https://127.0.0.1:2380".into()],
        listen_client_urls: vec!["https://127.0.0.1:2379".into()],
        advertise_client_urls: vec!["https://127.0.0.1:2379".into()],
        listen_client_http_urls: vec!["https://127.0.0.1:2381".into()],
        initial_cluster: vec![
            ("etcd-0".into(), "https://127.0.0.1:2380".into()),
            ("etcd-1".into(), "https://127.0.0.1:2390".into()),
        ],
        initial_cluster_token: "4f1c".into(),
        initial_cluster_state: InitialClusterState::New,
        client_tls: server("etcd-server", "etcd"),
        peer_tls: server("etcd-peer", "etcd-peer"),
        quota_backend_bytes: None,
    };
    insta::assert_snapshot!("etcd-new", component_flags::etcd(&flags, &[]).unwrap().join("\n"));
    flags.initial_cluster_state = InitialClusterState::Existing;
    flags.quota_backend_bytes = Some(8 << 30);
    let user = ["--snapshot-count=5000".to_owned(), "-log-level=debug".to_owned()];
    insta::assert_snapshot!("etcd-existing", component_flags::etcd(&flags, &user).unwrap().join("\n"));
}

#[test]
fn apiserver_of_every_version() {
    for minor in [35, 36, 37] {
        let argv =
            component_flags::kube_apiserver(version(&format!("v1.{minor}.0")), &apiserver_flags(), &[]);
        insta::assert_snapshot!(format!("kube-apiserver-1.{minor}"), argv.unwrap().join("\n"));
    }
}

#[test]
fn a_single_apiserver_without_peer_proxy() {
    let flags = ApiserverFlags { goaway_chance: None, send_retry_after: false, ..apiserver_flags() };
    let user = [
        "--feature-gates=UnknownVersionInteroperabilityProxy=false".to_owned(),
        "--enable-admission-plugins=PodNodeSelector".to_owned(),
        "--audit-log-path=-".to_owned(),
    ];
    let argv = component_flags::kube_apiserver(version("v1.37.2"), &flags, &user).unwrap();
    assert!(!argv.iter().any(|argument| argument.starts_with("--peer-ca-file")));
    assert!(!argv.iter().any(|argument| argument.starts_with("--goaway-chance")));
    assert!(argv.contains(&"--enable-admission-plugins=NodeRestriction,PodNodeSelector".to_owned()));
    assert_eq!(argv.last().unwrap(), "--audit-log-path=-");
}

#[test]
fn controllers_of_every_version() {
    for minor in [35, 36, 37] {
        let version = version(&format!("v1.{minor}.0"));
        let argv = component_flags::kube_controller_manager(version, &controller_manager_flags(), &[]);
        insta::assert_snapshot!(format!("kube-controller-manager-1.{minor}"), argv.unwrap().join("\n"));
        let argv =
            component_flags::kube_scheduler(version, &SchedulerFlags { common: common("scheduler") }, &[]);
        insta::assert_snapshot!(format!("kube-scheduler-1.{minor}"), argv.unwrap().join("\n"));
    }
}

#[test]
fn a_controller_manager_without_pod_subnets_gives_out_no_node_ranges() {
    let flags = ControllerManagerFlags { pod_subnets: Vec::new(), ..controller_manager_flags() };
    let argv = component_flags::kube_controller_manager(version("v1.37.2"), &flags, &[]).unwrap();
    assert!(!argv.iter().any(|argument| argument.contains("cidr")));
}

#[test]
fn cloud_controller_manager_of_any_cloud() {
    let flags =
        CloudControllerManagerFlags { common: common("cloud-controller-manager"), cluster_name: None };
    let argv = component_flags::cloud_controller_manager(&flags, &["--cloud-provider=fake".to_owned()]);
    insta::assert_snapshot!("cloud-controller-manager", argv.unwrap().join("\n"));
}

#[test]
fn what_the_supervisor_owns_is_refused_with_a_sentence() {
    let refused = |flag: &str| {
        component_flags::kube_apiserver(version("v1.37.2"), &apiserver_flags(), &[flag.to_owned()])
            .unwrap_err()
            .to_string()
    };
    let sentences = [
        "--etcd-servers=x",
        "--oidc-issuer-url=x",
        "--shutdown-delay-duration=1s",
        "--anonymous-auth=false",
        "--version",
    ]
    .map(refused)
    .join("\n");
    insta::assert_snapshot!("refusals", sentences);
}

#[test]
fn configuration_files() {
    let jwt =
        serde_json::json!({ "issuer": { "url": "https://login.example.com", "audiences": ["kubernetes"] } });
    let authentication = component_flags::authentication_configuration(&[jwt]);
    insta::assert_snapshot!("authentication", serde_json::to_string_pretty(&authentication).unwrap());
    let keys = br#"[{"name":"key1","secret":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}]"#;
    let encryption =
        component_flags::encryption_configuration(&component_flags::encryption_keys(keys).unwrap());
    insta::assert_snapshot!("encryption", serde_json::to_string_pretty(&encryption).unwrap());
}
