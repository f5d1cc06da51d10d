//! Who is believed: a token with everything right, and none with anything wrong.

use certificates::{LeafFacts, Profile};
use end_to_end::fake_clock;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams};
use tokio::time::Instant;

use crate::authority::Authority;
use crate::tenancy::{AUDIENCE, Tenancy};

pub(crate) async fn callers_are_believed_only_with_everything_right(
    tenancy: &Tenancy,
    authority: &Authority,
) {
    let pod = tenancy.pod("demo-etcd-0", "demo-etcd").await;
    let token = tenancy.token(&pod, AUDIENCE).await;
    let began = Instant::now();
    let leaf = authority.issue(Profile::EtcdPeer, &token).await.unwrap();
    println!("a certificate for the right token: {:?}", began.elapsed());
    let bundle = tenancy.bundle("etcd-peer.crt").await;
    let facts = LeafFacts::parse(leaf.as_bytes(), None, Some(bundle.as_bytes())).unwrap();
    assert!(facts.issued_by.is_some());
    assert_eq!(facts.contents.common_name, "demo-etcd-0");
    let names: Vec<String> = facts.contents.names.iter().map(ToString::to_string).collect();
    for name in ["demo-etcd-0.demo-etcd-peers.tenants.svc", "demo-etcd.tenants.svc", "localhost", "::1"] {
        assert!(names.contains(&name.to_owned()), "{name} in {names:?}");
    }

    let refused = async |what: &str, token: &str, wanted: &str| {
        let why = authority.issue(Profile::EtcdPeer, token).await.unwrap_err();
        assert!(why.contains("401") && why.contains(wanted), "{what}: {why}");
        println!("{what}: {why}");
    };
    let other_release = tenancy.token(&pod, &["pilothouse.tenants.other"]).await;
    refused("audience of another release", &other_release, "audience").await;
    let both = tenancy.token(&pod, &["pilothouse.tenants.demo", "pilothouse.tenants.other"]).await;
    refused("two audiences", &both, "audience").await;
    refused("the API's own audience", &tenancy.token(&pod, &[]).await, "audience").await;
    refused("not bound to a Pod", &tenancy.unbound_token("demo-etcd", AUDIENCE).await, "not bound to a Pod")
        .await;
    let other_pod = tenancy.pod("other-etcd-0", "other-etcd").await;
    let other = tenancy.token(&other_pod, AUDIENCE).await;
    refused("a ServiceAccount of another release", &other, "none of release").await;
    let stranger = tenancy.pod("stranger", "stranger").await;
    refused("a ServiceAccount of nobody", &tenancy.token(&stranger, AUDIENCE).await, "none of release").await;
    let abroad = tenancy.elsewhere();
    let foreign = abroad.pod("demo-etcd-0", "demo-etcd").await;
    refused("the same names elsewhere", &abroad.token(&foreign, AUDIENCE).await, "namespace").await;
    refused("forged", &forged(&token), "signature is wrong").await;
    refused("unsigned", &unsigned(&token), "neither RS256 nor ES256").await;
    refused("no token at all", "secret", "no three parts").await;

    // Entitled to something else.
    let scheduler = tenancy.pod("demo-kube-scheduler-0", "demo-kube-scheduler").await;
    let scheduler = tenancy.token(&scheduler, AUDIENCE).await;
    let why = authority.issue(Profile::EtcdPeer, &scheduler).await.unwrap_err();
    assert!(why.contains("403") && why.contains("may not have"), "{why}");
    authority.issue(Profile::SchedulerClient, &scheduler).await.unwrap();

    // A draining Pod may still renew; one that is gone, has ended or was replaced may not.
    tenancy.hold(&pod).await;
    tenancy.start_deletion(&pod).await;
    authority.issue(Profile::EtcdPeer, &token).await.expect("a draining Pod may renew");
    tenancy.let_go(&pod).await;
    refused("replayed after the Pod's deletion", &token, "does not exist").await;
    let again = tenancy.pod("demo-etcd-0", "demo-etcd").await;
    refused("replayed after another Pod took the name", &token, "another one").await;
    let token = tenancy.token(&again, AUDIENCE).await;
    authority.issue(Profile::EtcdPeer, &token).await.unwrap();
    tenancy.end(&again).await;
    refused("of a Pod that has ended", &token, "has ended").await;

    let accounts: Api<ServiceAccount> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    accounts.delete("demo-kube-scheduler", &DeleteParams::default()).await.unwrap();
    let why = authority.issue(Profile::SchedulerClient, &scheduler).await.unwrap_err();
    assert!(why.contains("ServiceAccount demo-kube-scheduler does not exist"), "{why}");
    tenancy.service_account("demo-kube-scheduler").await;
    let why = authority.issue(Profile::SchedulerClient, &scheduler).await.unwrap_err();
    assert!(why.contains("another one"), "{why}");

    let log = authority.log();
    for secret in [token, scheduler, foreign.metadata.uid.unwrap()] {
        assert!(!log.contains(&secret), "a token or its UID is in the log");
    }
}

pub(crate) async fn a_flood_of_one_pod_is_bounded(tenancy: &Tenancy, authority: &Authority) {
    let noisy = tenancy.pod("demo-cloud-controller-manager-0", "demo-cloud-controller-manager").await;
    let quiet = tenancy.pod("demo-cluster-bootstrap-0", "demo-cluster-bootstrap").await;
    let (noisy, quiet) = tokio::join!(tenancy.token(&noisy, AUDIENCE), tenancy.token(&quiet, AUDIENCE));
    let client = authority.http_client().await;
    let path = "/v1/certificates/cloud-controller-manager-client";
    let mut answers = std::collections::BTreeMap::new();
    for _request in 0..150 {
        *answers.entry(authority.get_by(&client, path, &noisy).await.0).or_insert(0) += 1;
    }
    println!("answers to a flood: {answers:?}");
    assert!(answers[&200] >= 60 && answers[&429] > 0, "{answers:?}");
    assert_eq!(authority.get_by(&client, "/v1/certificates/cluster-bootstrap-client", &quiet).await.0, 200);
    let huge = "x".repeat(65 * 1024);
    assert_eq!(
        authority.post_by(&client, "/v1/certificates/cluster-bootstrap-client", &quiet, huge).await.0,
        413
    );
}

/// The clock of one authority is two hours ahead; tokens live for one.
pub(crate) async fn expired_tokens_are_refused(tenancy: &Tenancy) {
    let pod = tenancy.pod("demo-etcd-1", "demo-etcd").await;
    let token = tenancy.token(&pod, AUDIENCE).await;
    let library = fake_clock();
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", "+2h"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let late = tenancy.authority_with(2, &[], &environment).await;
    late.until("it is ready", |document| document.ready).await;
    let why = late.issue_unchecked(Profile::EtcdPeer, &token).await.unwrap_err();
    assert!(why.contains("401") && why.contains("expired"), "{why}");
    println!("expired: {why}");
    tenancy.delete(&pod).await;
}

fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{other}{}", &signature[1..])
}

fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    // {"alg":"none","kid":"x"}
    format!("eyJhbGciOiJub25lIiwia2lkIjoieCJ9.{claims}.")
}
