//! The API over real TLS: who gets what, and with which words everybody else is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and spoils files"
)]

mod authority;

use authority::{Place, Running, on_one_thread};
use certificates::{
    LeafFacts, LeafPreview, Profile, Refusal, SharedKeySet, SharedKeys, Usage, certificate_path,
};
use naming_contract::Component;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P384_SHA384,
};
use reqwest::StatusCode;

struct Api {
    place: Place,
    running: Running,
    http: reqwest::Client,
}

impl Api {
    async fn new() -> Self {
        let place = Place::new();
        let running = place.run(place.settings(&["etcd-server=20s"], &["api.example.com"])).await;
        running.published(&place).await;
        let http = running.http(&place);
        Self { place, running, http }
    }

    async fn send(&self, path: &str, token: &str, body: Option<String>) -> (StatusCode, String) {
        let url = format!("{}{path}", self.running.url);
        let request = match body {
            Some(body) => self.http.post(url).body(body),
            None => self.http.get(url),
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn issue(&self, profile: Profile, token: &str, csr: String) -> StatusCode {
        let (status, body) = self.send(&certificate_path(profile), token, Some(csr)).await;
        if !status.is_success() {
            let refusal: Refusal = serde_json::from_str(&body).unwrap();
            assert!(!refusal.error.is_empty() && !refusal.remedy.is_empty(), "{body}");
        }
        status
    }
}

/// A CSR with whatever a test wants in it.
fn request(change: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    change(&mut parameters);
    parameters.serialize_request(&key).unwrap().pem().unwrap()
}

#[test]
fn a_caller_gets_what_its_profile_says_for_a_key_that_it_keeps() {
    on_one_thread(async {
        let api = Api::new().await;
        api.place.enrol(Component::KubeApiserver, 1);
        let client = api.running.client(&api.place, "kube-apiserver-1");
        let leaf = client.issue(Profile::ApiserverServing).await.unwrap();
        let bundle = std::fs::read(api.place.trust().join("cluster.crt")).unwrap();
        let facts =
            LeafFacts::parse(leaf.certificate_pem.as_bytes(), Some(leaf.key_pem.as_bytes()), Some(&bundle))
                .unwrap();
        assert!(facts.key_matches && facts.issued_by.is_some());
        assert_eq!(facts.contents.common_name, "kube-apiserver-1");
        assert_eq!(facts.contents.usages, [Usage::Server]);
        let names: Vec<String> = facts.contents.names.iter().map(ToString::to_string).collect();
        for name in
            ["kubernetes.default.svc", "10.96.0.1", "api.example.com", "kube-apiserver-1", "127.0.0.1", "::1"]
        {
            assert!(names.iter().any(|known| known == name), "{name} not in {names:?}");
        }
        assert_eq!((facts.not_before, facts.not_after), (leaf.not_before, leaf.not_after));
        let preview = client.preview(Profile::ApiserverServing).await.unwrap();
        assert_eq!(preview, LeafPreview { contents: facts.contents, lifetime_seconds: 72 * 3600 });
        let kubelet = client.issue(Profile::ApiserverKubeletClient).await.unwrap();
        let kubelet = LeafFacts::parse(kubelet.certificate_pem.as_bytes(), None, Some(&bundle)).unwrap();
        assert_eq!(kubelet.contents.organisation.as_deref(), Some("pilothouse:kubelet-clients"));
        assert!(kubelet.contents.names.is_empty());
    });
}

#[test]
fn shared_keys_go_to_those_entitled() {
    on_one_thread(async {
        let api = Api::new().await;
        let apiserver = api.place.enrol(Component::KubeApiserver, 0);
        let manager = api.place.enrol(Component::KubeControllerManager, 0);
        let scheduler = api.place.enrol(Component::KubeScheduler, 0);
        let keys = async |set: SharedKeySet, token: &str| {
            let (status, body) = api.send(&certificates::shared_keys_path(set), token, None).await;
            (status, serde_json::from_str::<SharedKeys>(&body).ok())
        };
        let (_, one) = keys(SharedKeySet::ServiceAccount, &apiserver).await;
        let (_, other) = keys(SharedKeySet::ServiceAccount, &manager).await;
        assert!(one.is_some() && one == other, "all have the same keys");
        let path = format!("{}?known=1", certificates::shared_keys_path(SharedKeySet::ServiceAccount));
        assert_eq!(api.send(&path, &manager, None).await, (StatusCode::NOT_MODIFIED, String::new()));
        let (_, older) = api.send(&path.replace("=1", "=0"), &manager, None).await;
        assert!(older.contains("PRIVATE KEY"), "another generation is sent");
        for set in SharedKeySet::ALL {
            let (status, _) = keys(set, &scheduler).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{set}");
        }
        assert_eq!(keys(SharedKeySet::ClusterSigning, &apiserver).await.0, StatusCode::FORBIDDEN);
        let (_, signing) = keys(SharedKeySet::ClusterSigning, &manager).await;
        let signing = signing.unwrap();
        assert_eq!(signing.files["tls.crt"], authority::read(&api.place.trust().join("cluster.crt")));
        let (_, encryption) = keys(SharedKeySet::Encryption, &apiserver).await;
        let listed: serde_json::Value =
            serde_json::from_str(&encryption.unwrap().files["keys.json"]).unwrap();
        assert_eq!(listed[0]["name"], "key1");
        assert_eq!(listed[0]["secret"].as_str().unwrap().len(), 44, "32 bytes in base64");
    });
}

#[test]
fn who_cannot_prove_himself_gets_nothing() {
    on_one_thread(async {
        let api = Api::new().await;
        let etcd = api.place.enrol(Component::Etcd, 0);
        let foreign = Place::new().enrol(Component::Etcd, 0);
        let path = certificate_path(Profile::EtcdServer);
        for token in ["forged", "", &foreign, &etcd[1..]] {
            assert_eq!(
                api.issue(Profile::EtcdServer, token, request(|_| ())).await,
                StatusCode::UNAUTHORIZED
            );
        }
        let url = format!("{}{path}", api.running.url);
        let without = api.http.get(&url).send().await.unwrap();
        assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(without.headers()["www-authenticate"], "Bearer");
        let basic = api.http.get(&url).basic_auth("etcd-0", Some(&etcd)).send().await.unwrap();
        assert_eq!(basic.status(), StatusCode::UNAUTHORIZED);

        let registry = api.place.path("callers").join("etcd-0.json");
        let mut entry: serde_json::Value = serde_json::from_str(&authority::read(&registry)).unwrap();
        entry["tokens"][0]["expires"] = "2020-01-01T00:00:00Z".into();
        std::fs::write(&registry, entry.to_string()).unwrap();
        let (status, body) = api.send(&path, &etcd, None).await;
        assert!(status == StatusCode::UNAUTHORIZED && body.contains("expired at 2020"), "{body}");
    });
}

#[test]
fn nobody_gets_what_belongs_to_another_component() {
    on_one_thread(async {
        let api = Api::new().await;
        let etcd = api.place.enrol(Component::Etcd, 0);
        for profile in Profile::ALL {
            let expected = if certificates::may_have(Component::Etcd, profile) {
                StatusCode::OK
            } else {
                StatusCode::FORBIDDEN
            };
            assert_eq!(api.issue(profile, &etcd, request(|_| ())).await, expected, "{profile}");
        }
    });
}

#[test]
fn a_csr_that_asks_for_more_is_refused_and_one_that_asks_for_its_own_is_not() {
    on_one_thread(async {
        let api = Api::new().await;
        let etcd = api.place.enrol(Component::Etcd, 0);
        let subject = |kind: DnType, value: &'static str| {
            request(move |parameters| parameters.distinguished_name.push(kind, value))
        };
        let more = [
            subject(DnType::CommonName, "system:kube-scheduler"),
            subject(DnType::OrganizationName, "system:masters"),
            subject(DnType::CountryName, "DE"),
            request(|parameters| parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            request(|parameters| parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth)),
            request(|parameters| parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::CodeSigning)),
            request(|parameters| parameters.key_usages.push(rcgen::KeyUsagePurpose::KeyCertSign)),
            request(|parameters| {
                parameters.subject_alt_names =
                    CertificateParams::new(vec!["kubernetes.default.svc".to_owned()])
                        .unwrap()
                        .subject_alt_names;
            }),
            request(|parameters| {
                parameters.subject_alt_names =
                    CertificateParams::new(vec!["192.0.2.1".to_owned()]).unwrap().subject_alt_names;
            }),
        ];
        for csr in more {
            assert_eq!(api.issue(Profile::EtcdServer, &etcd, csr).await, StatusCode::FORBIDDEN);
        }
        let own = request(|parameters| {
            parameters.distinguished_name.push(DnType::CommonName, "etcd-0");
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            parameters.subject_alt_names =
                CertificateParams::new(vec!["etcd-0".to_owned(), "127.0.0.1".to_owned()])
                    .unwrap()
                    .subject_alt_names;
        });
        assert_eq!(api.issue(Profile::EtcdServer, &etcd, own).await, StatusCode::OK);
    });
}

#[test]
fn what_is_no_csr_and_what_is_too_large_is_refused() {
    on_one_thread(async {
        let api = Api::new().await;
        let etcd = api.place.enrol(Component::Etcd, 0);
        let good = request(|_| ());
        // Whatever part of key or signature it is, the signature no longer fits.
        let mut tampered: Vec<String> = good.lines().map(str::to_owned).collect();
        let last = tampered.len() - 3;
        tampered[last] = tampered[last].replacen(|character: char| character.is_ascii_lowercase(), "A", 3);
        let weak = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let bad = [
            String::new(),
            "garbage".to_owned(),
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".to_owned(),
            good.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
            format!("{good}{good}"),
            tampered.join("\n"),
            parameters.serialize_request(&weak).unwrap().pem().unwrap(),
        ];
        for csr in bad {
            assert_eq!(
                api.issue(Profile::EtcdServer, &etcd, csr.clone()).await,
                StatusCode::BAD_REQUEST,
                "{csr}"
            );
        }
        let large = "x".repeat(64 * 1024 + 1);
        let (status, _) = api.send(&certificate_path(Profile::EtcdServer), &etcd, Some(large)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        let (status, body) = api.send("/v1/certificates/no-such", &etcd, None).await;
        assert!(status == StatusCode::NOT_FOUND && body.contains("etcd-server"), "{body}");
        let (status, _) = api.send("/", &etcd, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _) = api.send("/v1/shared-keys/encryption", &etcd, Some(good)).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    });
}

#[test]
fn a_flood_is_answered_429() {
    on_one_thread(async {
        let api = Api::new().await;
        let etcd = api.place.enrol(Component::Etcd, 0);
        let other = api.place.enrol(Component::Etcd, 1);
        let path = certificate_path(Profile::EtcdServer);
        let mut statuses = Vec::new();
        for _ in 0..200 {
            statuses.push(api.send(&path, &etcd, None).await.0);
        }
        assert_eq!(statuses[0], StatusCode::OK);
        assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(api.send(&path, &other, None).await.0, StatusCode::OK);
    });
}
