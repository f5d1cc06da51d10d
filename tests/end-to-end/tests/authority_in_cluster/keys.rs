//! Keys in Secrets: made once by however many start, put back, kept or not, and never made anew.

use certificates::Profile;
use end_to_end::eventually;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use crate::authority::Authority;
use crate::tenancy::{AUDIENCE, Tenancy};
use crate::{LIMIT, kubeconfig_of};

pub(crate) async fn two_at_once_found_one_set(tenancy: &Tenancy) -> [Authority; 2] {
    let both = tokio::join!(tenancy.authority(0, &[]), tenancy.authority(1, &[]));
    let both = [both.0, both.1];
    for authority in &both {
        authority.until("it is ready", |document| document.ready).await;
    }
    let secrets: Api<Secret> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let found = secrets.list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = found.iter().filter_map(|secret| secret.metadata.name.clone()).collect();
    assert_eq!(
        names,
        [
            "demo-ca-cluster",
            "demo-ca-etcd",
            "demo-ca-etcd-peer",
            "demo-ca-front-proxy",
            "demo-keys-encryption",
            "demo-keys-service-account",
            "demo-kubeconfig"
        ]
    );
    for secret in found.iter().filter(|secret| secret.metadata.name.as_deref() != Some("demo-kubeconfig")) {
        assert!(
            secret.metadata.owner_references.is_none(),
            "kept when the release goes: {:?}",
            secret.metadata
        );
    }
    let pod = tenancy.pod("demo-kube-apiserver-0", "demo-kube-apiserver").await;
    let token = tenancy.token(&pod, AUDIENCE).await;
    let mut keys = Vec::new();
    for authority in &both {
        // Each checks against the published bundle that the other serves with the same CA.
        let (status, body) = authority.get("/v1/shared-keys/service-account", &token).await;
        assert_eq!(status, 200, "{body}");
        keys.push(body);
    }
    assert_eq!(keys[0], keys[1], "both hand out the same keys");
    tenancy.delete(&pod).await;
    both
}

pub(crate) async fn deleted_keys_are_put_back(tenancy: &Tenancy) {
    let secrets: Api<Secret> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let before = secrets.get("demo-ca-cluster").await.unwrap();
    secrets.delete("demo-ca-cluster", &DeleteParams::default()).await.unwrap();
    let began = Instant::now();
    let after = eventually("deleted keys are put back", LIMIT, async || {
        secrets.get_opt("demo-ca-cluster").await.unwrap().ok_or("gone")
    })
    .await;
    println!("deleted keys are put back: {:?}", began.elapsed());
    assert_eq!((after.data, after.type_), (before.data, before.type_));
}

pub(crate) async fn keys_are_kept_or_not_as_the_operator_wants(tenancy: &Tenancy, both: [Authority; 2]) {
    println!("anonymous memory: {} KiB", both[0].anonymous_kibibytes());
    for authority in both {
        authority.stop().await;
    }
    let secrets: Api<Secret> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let records: Api<ConfigMap> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    // Of etcd's supervisors, none of which runs here.
    let record = json!({ "metadata": { "name": "demo-etcd-record" }, "data": { "record": "{}" } });
    let contents = tenancy.create::<ConfigMap>(record).await.data;
    let owned = async |wanted: bool| {
        eventually("the owner of keys and record", LIMIT, async || {
            let record = records.get("demo-etcd-record").await.unwrap();
            let found = secrets.list(&ListParams::default()).await.unwrap();
            let keys =
                found.iter().filter(|secret| secret.metadata.name.as_deref() != Some("demo-kubeconfig"));
            let owned = |object: &ObjectMeta| object.owner_references.iter().flatten().count() == 1;
            let owned: Vec<bool> =
                keys.map(|secret| &secret.metadata).chain([&record.metadata]).map(owned).collect();
            if owned.iter().all(|owned| *owned == wanted) { Ok(()) } else { Err(owned) }
        })
        .await;
    };
    for (argument, wanted) in [("--keep-state=false", true), ("--keep-state=true", false)] {
        let arguments = [argument, "--external-address=api.example.net:443,192.0.2.7"];
        let authority = tenancy.authority(0, &arguments).await;
        authority.until("it is ready", |document| document.ready).await;
        owned(wanted).await;
        eventually("the operator's address comes first", LIMIT, async || {
            let text = kubeconfig_of(&secrets.get("demo-kubeconfig").await.unwrap());
            if text.contains("https://api.example.net:443\n") { Ok(()) } else { Err("it does not") }
        })
        .await;
        let pod = tenancy.pod("demo-kube-apiserver-0", "demo-kube-apiserver").await;
        let token = tenancy.token(&pod, AUDIENCE).await;
        let (_, names) = authority.get("/v1/certificates/apiserver-serving", &token).await;
        for name in ["api.example.net", "192.0.2.7", "203.0.113.9", "api.example.com"] {
            assert!(names.contains(name), "{name}: {names}");
        }
    }
    assert_eq!(records.get("demo-etcd-record").await.unwrap().data, contents, "only its owner is changed");
}

pub(crate) async fn half_a_set_is_refused_by_name(tenancy: &Tenancy) {
    let secrets: Api<Secret> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let backup = secrets.get("demo-ca-etcd").await.unwrap();
    secrets.delete("demo-ca-etcd", &DeleteParams::default()).await.unwrap();
    let authority = tenancy.authority(1, &[]).await;
    let document = authority
        .until("what is missing is named", |document| document.reason.contains("tenants/demo-ca-etcd"))
        .await;
    println!("half a set: {}", document.reason);
    assert!(document.reason.contains("restore") && !document.ready, "{document:?}");
    tenancy.restore(backup).await;
    authority.until("restored, it goes on", |document| document.ready).await;

    let bindings: Api<RoleBinding> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    bindings.delete("demo-certificate-authority", &DeleteParams::default()).await.unwrap();
    let document = authority
        .until("the lost right is named", |document| {
            document.not_ready_because.contains("cannot get resource")
        })
        .await;
    println!("a right that was taken away: {}", document.not_ready_because);
    let pods: Api<Pod> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let pod = pods.get("demo-kube-apiserver-0").await.unwrap();
    let token = tenancy.token(&pod, AUDIENCE).await;
    let why = authority.issue(Profile::ApiserverServing, &token).await.unwrap_err();
    assert!(why.contains("503") && why.contains("ask again"), "{why}");
    tenancy.grant("demo").await;
    authority.until("the right is back", |document| document.ready).await;
    authority.issue(Profile::ApiserverServing, &token).await.unwrap();
}

/// Bundles without the keys that made them: founding anew would lock everything that runs out.
pub(crate) async fn lost_keys_are_never_made_anew(tenancy: &Tenancy) {
    let secrets: Api<Secret> = Api::namespaced(tenancy.client.clone(), &tenancy.namespace);
    let backup = secrets.list(&ListParams::default()).await.unwrap();
    secrets.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    let authority = tenancy.authority(1, &[]).await;
    let document = authority
        .until("it refuses to found", |document| {
            document.reason.contains("ConfigMap tenants/demo-trust says")
        })
        .await;
    println!("all keys lost: {}", document.reason);
    for secret in backup {
        tenancy.restore(secret).await;
    }
    authority.until("restored, it goes on", |document| document.ready).await;

    drop(authority);
    let other = json!({ "stringData": { "keys.json": "[]" } });
    secrets.patch("demo-keys-encryption", &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
    let authority = tenancy.authority(1, &[]).await;
    let document = authority
        .until("it refuses other keys", |document| document.reason.contains("tenants/demo-keys-encryption"))
        .await;
    println!("another key: {}", document.reason);
}

pub(crate) async fn many_that_found_at_once_agree(tenancy: &Tenancy) {
    for _round in 0..3 {
        tenancy.forget_everything().await;
        let all = tokio::join!(
            tenancy.authority(0, &[]),
            tenancy.authority(1, &[]),
            tenancy.authority(2, &[]),
            tenancy.authority(3, &[])
        );
        let all = [all.0, all.1, all.2, all.3];
        let pod = tenancy.pod("demo-kube-controller-manager-0", "demo-kube-controller-manager").await;
        let token = tenancy.token(&pod, AUDIENCE).await;
        let mut seen = std::collections::BTreeSet::new();
        for authority in &all {
            authority.until("it is ready", |document| document.ready).await;
            for set in ["service-account", "cluster-signing"] {
                let (status, keys) = authority.get(&format!("/v1/shared-keys/{set}"), &token).await;
                assert_eq!(status, 200, "{keys}");
                seen.insert(keys);
            }
        }
        assert_eq!(seen.len(), 2, "all have the same keys");
        let founders = all.iter().filter(|authority| authority.log().contains("keys made")).count();
        println!("of four at once, {founders} made something");
        assert!(founders >= 1);
    }
}
