//! The certificate-authority as Pods would run it, against a real management API: who is believed, what is made once,
//! what is put back. There is no kubelet: Pods are objects, and their tokens are asked for as kubelet asks.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

#[path = "authority_in_cluster/authority.rs"]
mod authority;
#[path = "authority_in_cluster/callers.rs"]
mod callers;
#[path = "authority_in_cluster/keys.rs"]
mod keys;
#[path = "authority_in_cluster/tenancy.rs"]
mod tenancy;

use std::time::Duration;

use authority::Authority;
use certificates::{LeafFacts, Profile};
use end_to_end::{ControlPlane, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tenancy::{AUDIENCE, Tenancy};
use time::OffsetDateTime;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_release_are_believed_and_nobody_else() {
    let small = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];
    let plane = ControlPlane::ready(&small).await;
    let tenancy = Tenancy::new(&plane).await;
    let began = Instant::now();

    missing_rights_are_named_and_waited_out(&tenancy).await;
    let both = Box::pin(keys::two_at_once_found_one_set(&tenancy)).await;
    Box::pin(callers::callers_are_believed_only_with_everything_right(&tenancy, &both[0])).await;
    callers::a_flood_of_one_pod_is_bounded(&tenancy, &both[0]).await;
    callers::expired_tokens_are_refused(&tenancy).await;
    bundles_are_put_back(&tenancy).await;
    the_kubeconfig_follows_the_load_balancer(&tenancy, &both[0]).await;
    keys::deleted_keys_are_put_back(&tenancy).await;
    without_the_api_nobody_is_believed(&plane, &tenancy, &both[0]).await;
    keys::keys_are_kept_or_not_as_the_operator_wants(&tenancy, both).await;
    keys::half_a_set_is_refused_by_name(&tenancy).await;
    keys::lost_keys_are_never_made_anew(&tenancy).await;
    Box::pin(keys::many_that_found_at_once_agree(&tenancy)).await;
    println!("all of it without the start of the management cluster: {:?}", began.elapsed());
}

async fn missing_rights_are_named_and_waited_out(tenancy: &Tenancy) {
    let authority = tenancy.authority(0, &[]).await;
    let document = authority
        .until("the missing right is told", |document| {
            document.reason.contains("cannot get resource \"secrets\"")
        })
        .await;
    println!("without rights: {}", document.reason);
    assert!(!document.ready && document.state == "Waiting", "{document:?}");
    tenancy.grant("demo").await;
    authority.until("rights come and it goes on", |document| document.ready).await;
    drop(authority);
    tenancy.forget_everything().await;
}

async fn bundles_are_put_back(tenancy: &Tenancy) {
    let maps: Api<ConfigMap> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let before = maps.get("demo-trust").await.unwrap();
    let owner = &before.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.name.as_str(), owner.block_owner_deletion), ("demo-anchor", Some(false)));
    let restored = async |what: &str| {
        let began = Instant::now();
        eventually(what, LIMIT, async || {
            let now = maps.get_opt("demo-trust").await.unwrap();
            if now.as_ref().is_some_and(|now| now.data == before.data) { Ok(()) } else { Err(now) }
        })
        .await;
        println!("{what}: {:?}", began.elapsed());
    };
    maps.delete("demo-trust", &DeleteParams::default()).await.unwrap();
    restored("deleted bundles are put back").await;
    let edit = json!({ "data": { "cluster.crt": "mine", "further.crt": "mine" } });
    maps.patch("demo-trust", &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
    restored("edited bundles are put back").await;
}

async fn the_kubeconfig_follows_the_load_balancer(tenancy: &Tenancy, authority: &Authority) {
    let secrets: Api<Secret> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let secret = eventually("there is a kubeconfig", LIMIT, async || {
        secrets.get_opt("demo-kubeconfig").await.unwrap().ok_or("none")
    })
    .await;
    assert_eq!(secret.type_.as_deref(), Some("cluster.x-k8s.io/secret"));
    assert_eq!(secret.metadata.labels.as_ref().unwrap()["cluster.x-k8s.io/cluster-name"], "demo");
    assert_eq!(secret.metadata.owner_references.as_ref().unwrap()[0].name, "demo-anchor");
    let text = kubeconfig_of(&secret);
    assert!(text.contains("https://demo-kube-apiserver.tenants.svc:6443"), "{text}");
    let parsed = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let data = |text: &Option<String>| tenancy::decode(text.as_ref().unwrap());
    let cluster = parsed.clusters[0].cluster.as_ref().unwrap();
    let user = parsed.auth_infos[0].auth_info.as_ref().unwrap();
    let bundle = data(&cluster.certificate_authority_data);
    assert_eq!(String::from_utf8(bundle.clone()).unwrap(), tenancy.bundle("cluster.crt").await);
    let certificate = data(&user.client_certificate_data);
    let key = text.lines().find_map(|line| line.trim().strip_prefix("client-key-data: ")).unwrap();
    let key = tenancy::decode(key);
    let facts = LeafFacts::parse(&certificate, Some(&key), Some(&bundle)).unwrap();
    assert!(facts.key_matches && facts.issued_by.is_some());
    assert_eq!(facts.contents.organisation.as_deref(), Some("pilothouse:cluster-admins"));
    let days = (facts.not_after - OffsetDateTime::now_utc()).whole_days();
    assert!((363..=365).contains(&days), "{days}");

    let pod = tenancy.pod("demo-kube-apiserver-0", "demo-kube-apiserver").await;
    let token = tenancy.token(&pod, AUDIENCE).await;
    let (_, before) = authority.get("/v1/certificates/apiserver-serving", &token).await;
    assert!(before.contains("api.example.com") && !before.contains("203.0.113.9"), "{before}");
    let services: Api<Service> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.9" }] } } });
    services
        .patch_status("demo-kube-apiserver", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let began = Instant::now();
    eventually("API servers are to carry the load balancer's address", LIMIT, async || {
        let (_, now) = authority.get("/v1/certificates/apiserver-serving", &token).await;
        if now.contains("203.0.113.9") { Ok(()) } else { Err(now) }
    })
    .await;
    println!("the address is in what API servers are to carry: {:?}", began.elapsed());
    eventually("the kubeconfig leads to the load balancer", LIMIT, async || {
        let text = kubeconfig_of(&secrets.get("demo-kubeconfig").await.unwrap());
        if text.contains("https://203.0.113.9:6443") { Ok(()) } else { Err("it does not") }
    })
    .await;
    println!("the address is in the kubeconfig: {:?}", began.elapsed());
    let leaf = authority.issue(Profile::ApiserverServing, &token).await.unwrap();
    let facts = LeafFacts::parse(leaf.as_bytes(), None, None).unwrap();
    let carries = |name: &str| facts.contents.names.iter().any(|known| known.to_string() == name);
    for name in ["203.0.113.9", "10.128.0.1", "kubernetes.default.svc.example.internal", "127.0.0.1"] {
        assert!(carries(name), "{name}: {:?}", facts.contents.names);
    }

    let settled = secrets.get("demo-kubeconfig").await.unwrap();
    secrets.delete("demo-kubeconfig", &DeleteParams::default()).await.unwrap();
    eventually("a deleted kubeconfig is written anew", LIMIT, async || {
        let now = secrets.get_opt("demo-kubeconfig").await.unwrap();
        if now.as_ref().is_some_and(|now| now.metadata.uid != settled.metadata.uid) {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
}

/// The only API server of the management cluster is frozen, then wakes up again.
async fn without_the_api_nobody_is_believed(plane: &ControlPlane, tenancy: &Tenancy, authority: &Authority) {
    let pod = tenancy.pod("demo-etcd-2", "demo-etcd").await;
    let token = tenancy.token(&pod, AUDIENCE).await;
    let client = authority.http_client().await;
    authority.issue_by(&client, Profile::EtcdPeer, &token).await.unwrap();
    let frozen = plane.instance("kube-apiserver-0").await.pid.unwrap();
    let frozen = Pid::from_raw(frozen.cast_signed());
    kill(frozen, Signal::SIGSTOP).unwrap();
    let began = Instant::now();
    let why = authority.issue_by(&client, Profile::EtcdPeer, &token).await.unwrap_err();
    println!("while the API is away, after {:?}: {why}", began.elapsed());
    let document = authority.until("it says so", |document| !document.ready).await;
    println!("while the API is away: {}", document.not_ready_because);
    kill(frozen, Signal::SIGCONT).unwrap();
    assert!(why.contains("503") && why.contains("ask again"), "{why}");
    authority.until("the API is back", |document| document.ready).await;
    authority.issue_by(&client, Profile::EtcdPeer, &token).await.unwrap();
}

pub(crate) fn kubeconfig_of(secret: &Secret) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()["value"].0.clone()).unwrap()
}
