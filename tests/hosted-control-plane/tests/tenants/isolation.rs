//! No Pod of one release gets a certificate, a key or a connection to etcd of another, whether they share a namespace or
//! a name. Each refusal stands beside the same request where it is granted.

use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{Release, Tenant};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams, Patch, PatchParams};
use management_cluster::ManagementCluster;
use naming_contract::Component;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::json;
use tokio::time::Instant;

use crate::party::Party;

pub(crate) async fn nobody_gets_anything_of_another(
    cluster: &ManagementCluster,
    releases: &[(&Tenant, &Release<'_>)],
) {
    let began = Instant::now();
    let mut parties = Vec::new();
    for (tenant, release) in releases {
        parties.push(Party::new(cluster, tenant, release).await);
    }
    for own in &parties {
        let certificate = own_certificate(own).await;
        reaches_etcd(own, &certificate).await.expect("the release's own API server reaches its etcd");
        for other in parties.iter().filter(|other| other.name() != own.name()) {
            tokens_are_refused(own, other).await;
            strangers_are_refused_by_etcd(own, other, &certificate).await;
            objects_are_out_of_reach(own, other).await;
        }
    }
    println!("isolation of {} releases took {:.1?}", parties.len(), began.elapsed());
}

/// What the API server of a release has towards its etcd: files with certificate and key.
struct ClientCertificate {
    certificate: String,
    key: String,
}

async fn own_certificate(own: &Party<'_>) -> ClientCertificate {
    let token = own.token(Component::KubeApiserver, Some(own.audience())).await;
    let key = KeyPair::generate().unwrap();
    let (status, body) = request_certificate(own, own, &token, &key).await;
    assert_eq!(status, 200, "{body}");
    let issued: serde_json::Value = serde_json::from_str(&body).unwrap();
    let certificate = issued["certificate"].as_str().unwrap();
    let (status, keys) = request_keys(own, own, &token).await;
    assert!(status == 200 && keys.contains("signing.key"), "the release's own keys: {status}");
    ClientCertificate {
        certificate: own.file("client.crt", certificate.as_bytes()).display().to_string(),
        key: own.file("client.key", key.serialize_pem().as_bytes()).display().to_string(),
    }
}

/// Tokens of Pods that are there, signed by the API that both authorities believe: for the one, and as if for the other.
async fn tokens_are_refused(own: &Party<'_>, other: &Party<'_>) {
    for audience in [own.audience(), other.audience()] {
        let token = own.token(Component::KubeApiserver, Some(audience.clone())).await;
        let (status, said) = request_certificate(own, other, &token, &KeyPair::generate().unwrap()).await;
        assert_eq!(status, 401, "{} asks {} for {audience}: {said}", own.name(), other.name());
        assert!(!said.contains("BEGIN"), "{said}");
        println!("{} asks {} with a token for {audience}: {status} {said}", own.name(), other.name());
        let (status, said) = request_keys(own, other, &token).await;
        assert_eq!(status, 401, "{} asks {} for keys: {said}", own.name(), other.name());
    }
    let token = own.token(Component::Etcd, Some(other.audience())).await;
    let (status, said) = request_certificate(own, other, &token, &KeyPair::generate().unwrap()).await;
    assert_eq!(status, 401, "etcd of {} asks {}: {said}", own.name(), other.name());
}

async fn request_certificate(own: &Party<'_>, of: &Party<'_>, token: &str, key: &KeyPair) -> (u16, String) {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(key).unwrap().pem().unwrap();
    let request = format!("@{}", own.file("request.pem", request.as_bytes()).display());
    ask_authority(own, of, token, "/v1/certificates/apiserver-etcd-client", &["--data-binary", &request])
        .await
}

async fn request_keys(own: &Party<'_>, of: &Party<'_>, token: &str) -> (u16, String) {
    ask_authority(own, of, token, "/v1/shared-keys/service-account", &[]).await
}

async fn ask_authority(
    own: &Party<'_>,
    of: &Party<'_>,
    token: &str,
    path: &str,
    further: &[&str],
) -> (u16, String) {
    let header = own.file("authorization", format!("Authorization: Bearer {token}\n").as_bytes());
    let header = format!("@{}", header.display());
    let mut line = vec!["--header", header.as_str()];
    line.extend(further);
    let service = of.objects.component(Component::CertificateAuthority);
    of.ask(&service, 8443, path, "cluster.crt", &line).await.expect("the authority answers")
}

/// TLS refuses, every time; where the alert is overtaken by the end of the connection, it is asked for again.
async fn strangers_are_refused_by_etcd(own: &Party<'_>, other: &Party<'_>, certificate: &ClientCertificate) {
    let alert = eventually("etcd says whom it does not know", Duration::from_secs(30), async || {
        let why = reaches_etcd(other, certificate).await.expect_err("a stranger reaches etcd");
        why.find("alert").map(|at| why[at..].to_owned()).ok_or(why)
    })
    .await;
    println!("{} at the etcd of {}: {alert}", own.name(), other.name());
}

/// etcd's own answer to who may connect. Its port for clients speaks gRPC alone: whom TLS let in is told 415 by it.
async fn reaches_etcd(of: &Party<'_>, with: &ClientCertificate) -> Result<(), String> {
    let line = ["--cert", with.certificate.as_str(), "--key", with.key.as_str()];
    let service = of.objects.component(Component::Etcd);
    let (status, body) = of.ask(&service, 2379, "/version", "etcd.crt", &line).await?;
    if status == 415 { Ok(()) } else { Err(format!("{status} {body}")) }
}

/// What the Pods' own rights in the management cluster do not reach: Secrets, and the bundles by which others trust.
async fn objects_are_out_of_reach(own: &Party<'_>, other: &Party<'_>) {
    let namespace = other.tenant.namespace();
    for component in [Component::CertificateAuthority, Component::Etcd, Component::KubeApiserver] {
        let client = own.client(component).await;
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        for name in [
            other.objects.authority_secret("cluster"),
            other.objects.authority_secret("etcd"),
            other.objects.shared_key_secret("encryption"),
            other.objects.kubeconfig(),
        ] {
            forbidden(secrets.get(&name).await, &name);
        }
        forbidden(secrets.list(&ListParams::default()).await, "all Secrets");
        let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
        let trust = other.objects.trust();
        let edit = Patch::Merge(json!({"data": {"cluster.crt": ""}}));
        forbidden(maps.patch(&trust, &PatchParams::default(), &edit).await, &trust);
    }
    // The same request where it is granted, so that the refusals above are about who asks.
    let client = own.client(Component::CertificateAuthority).await;
    let secrets: Api<Secret> = Api::namespaced(client, own.tenant.namespace());
    secrets.get(&own.objects.authority_secret("cluster")).await.expect("its own authority may");
}

fn forbidden<T>(answer: kube::Result<T>, what: &str) {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} is within reach"),
    }
}
