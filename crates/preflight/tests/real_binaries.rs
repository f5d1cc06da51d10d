//! The real binaries take our whole argv, and what they refuse becomes an error that names the flag.
//! `PILOTHOUSE_COMPONENTS` names the directory of the binaries; run with `--ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its inputs has failed")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use component_flags::{
    ApiserverFlags, ArgumentError, ControllerManagerFlags, EtcdClientFiles, EtcdFlags, InitialClusterState,
    KubernetesVersion, LeaderElectedFlags, RequestHeader, SchedulerFlags, ServiceAccountFiles,
    TlsServerFiles, kube_apiserver, kube_controller_manager, kube_scheduler,
};
use conditions::Silent;
use preflight::{Answer, BinaryError, UpstreamBinary};
use supervision::PrepareError;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn binary(name: &str) -> UpstreamBinary {
    let directory = std::env::var_os("PILOTHOUSE_COMPONENTS").unwrap();
    UpstreamBinary::new(Path::new(&directory).join(name))
}

fn file(name: &str) -> PathBuf {
    Path::new("/run/pilothouse").join(name)
}

fn server() -> TlsServerFiles {
    TlsServerFiles { trusted_authority: file("ca.crt"), certificate: file("tls.crt"), key: file("tls.key") }
}

fn apiserver_flags() -> ApiserverFlags {
    ApiserverFlags {
        etcd_endpoints: vec!["https://127.0.0.1:2379".into()],
        etcd_client: EtcdClientFiles {
            authority: file("ca.crt"),
            certificate: file("tls.crt"),
            key: file("tls.key"),
        },
        bind_address: LOOPBACK,
        secure_port: 6443,
        advertise_address: LOOPBACK,
        service_subnets: vec!["10.96.0.0/16".into(), "fd00:96::/112".into()],
        service_account_issuers: vec![
            "https://kubernetes.default.svc".into(),
            "https://old.example.com".into(),
        ],
        service_account: ServiceAccountFiles {
            verification_keys: file("verify.pub"),
            signing_key: file("signing.key"),
        },
        serving: server(),
        request_header: RequestHeader { authority: file("ca.crt") },
        front_proxy_certificate: file("tls.crt"),
        front_proxy_key: file("tls.key"),
        kubelet_client_certificate: file("tls.crt"),
        kubelet_client_key: file("tls.key"),
        kubelet_authority: file("ca.crt"),
        authentication_configuration: file("authentication.json"),
        encryption_configuration: file("encryption.json"),
        shutdown_delay: Duration::from_millis(1500),
        watch_grace: Duration::from_secs(25),
        send_retry_after: true,
        goaway_chance: Some(0.001),
    }
}

fn common() -> LeaderElectedFlags {
    LeaderElectedFlags {
        kubeconfig: file("kubeconfig"),
        bind_address: LOOPBACK,
        secure_port: 10257,
        serving: server(),
        request_header: RequestHeader { authority: file("ca.crt") },
    }
}

type Render = fn(KubernetesVersion, &[String]) -> Result<Vec<String>, ArgumentError>;

const KUBERNETES: [(&str, Render); 3] = [
    ("kube-apiserver", |version, user| kube_apiserver(version, &apiserver_flags(), user)),
    ("kube-controller-manager", |version, user| {
        let flags = ControllerManagerFlags {
            common: common(),
            root_authority: file("ca.crt"),
            service_account_key: file("signing.key"),
            cluster_signing_certificate: file("tls.crt"),
            cluster_signing_key: file("tls.key"),
            pod_subnets: vec!["10.244.0.0/16".into()],
            service_subnets: vec!["10.96.0.0/16".into()],
            cluster_name: Some("harbour".into()),
        };
        kube_controller_manager(version, &flags, user)
    }),
    ("kube-scheduler", |version, user| kube_scheduler(version, &SchedulerFlags { common: common() }, user)),
];

#[tokio::test]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn every_kubernetes_binary_takes_our_argv() {
    for (name, render) in KUBERNETES {
        let binary = binary(name);
        let checked = binary.checked(|version| render(version, &[]), &[], &Silent).await.unwrap();
        assert_eq!(checked.argv, render(checked.version, &[]).unwrap(), "{name}");
        let again = binary.checked(|version| render(version, &[]), &[], &Silent).await.unwrap();
        assert_eq!(again, checked);
    }
}

#[tokio::test]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn what_a_binary_refuses_is_an_error_that_names_the_flag() {
    for (name, render) in KUBERNETES {
        for (argument, named) in [
            ("--no-such-flag=1", "--no-such-flag"),
            ("--feature-gates=NoSuchGate=true", "NoSuchGate"),
            ("--v=loud", "--v"),
        ] {
            let operators = [argument.to_owned()];
            let error = binary(name)
                .checked(|version| render(version, &operators), &operators, &Silent)
                .await
                .unwrap_err();
            let BinaryError::Flags { complaint, from_operator, .. } = &error else {
                panic!("{name}: {error}")
            };
            assert!(complaint.contains(named), "{name}: {complaint}");
            assert!(from_operator, "{name}: {complaint}");
            let told = PrepareError::from(error).to_string();
            assert!(told.contains(name) && told.contains("after --"), "{told}");
        }
    }
}

#[tokio::test]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn etcd_takes_our_argv() {
    let flags = EtcdFlags {
        name: "etcd-0".into(),
        data_directory: file("data"),
        listen_peer_urls: vec!["https://127.0.0.1:2380".into()],
        advertise_peer_urls: vec!["https://127.0.0.1:2380".into()],
        listen_client_urls: vec!["https://127.0.0.1:2379".into()],
        advertise_client_urls: vec!["https://127.0.0.1:2379".into()],
        listen_client_http_urls: vec!["https://127.0.0.1:2381".into()],
        initial_cluster: vec![("etcd-0".into(), "https://127.0.0.1:2380".into())],
        initial_cluster_token: "token".into(),
        initial_cluster_state: InitialClusterState::New,
        client_tls: server(),
        peer_tls: server(),
        quota_backend_bytes: Some(8 << 30),
    };
    let argv = component_flags::etcd(&flags, &[]).unwrap();
    let answer = binary("etcd").ask(&argv, &Silent).await.unwrap();
    let Answer::Version(printed) = answer else { panic!("{answer:?}") };
    component_flags::EtcdVersion::parse(&printed).unwrap();
    let refused = component_flags::etcd(&flags, &["--enable-v2=true".to_owned()]).unwrap();
    let answer = binary("etcd").ask(&refused, &Silent).await.unwrap();
    assert_eq!(answer, Answer::Refusal("flag provided but not defined: -enable-v2".to_owned()));
}

#[tokio::test]
async fn a_program_that_is_missing_or_another_one_is_told_as_such() {
    let missing = UpstreamBinary::new(PathBuf::from("/nonexistent/kube-apiserver"));
    let error = missing.version(&Silent).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot run /nonexistent/kube-apiserver");
    let other = UpstreamBinary::new(PathBuf::from("/bin/true"));
    assert!(matches!(other.version(&Silent).await, Err(BinaryError::Version { .. })));
    let failing = UpstreamBinary::new(PathBuf::from("/bin/false"));
    assert!(matches!(failing.version(&Silent).await, Err(BinaryError::NoVersion { .. })));
}
