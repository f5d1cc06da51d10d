//! A token proves its Pod if and only if every condition holds; a signature counts only under the key's own method.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use naming_contract::{Component, ReleaseObjects};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::TokenRefusal;
use super::claims::{Claims, UnverifiedToken};
use super::decision::{Expected, judge_claims, judge_observed};
use super::issuers::Issuers;
use super::observed::{ObservedPod, ObservedServiceAccount};
use super::signature::KeySet;

const NOW: i64 = 1_795_000_000;
const ISSUER: &str = "https://kubernetes.default.svc";
const AUDIENCE: &str = "pilothouse.tenants.demo";

/// Every way in which a caller can be wrong, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Issuer,
    Audience,
    FurtherAudience,
    NoAudience,
    Expired,
    NotYet,
    Namespace,
    Subject,
    OtherAccount,
    OtherRelease,
    NoPodClaim,
    PodGone,
    PodUid,
    PodAccount,
    PodEnded,
    PodDeleted,
    AccountGone,
    AccountUid,
}

const FAULTS: [Fault; 18] = [
    Fault::Issuer,
    Fault::Audience,
    Fault::FurtherAudience,
    Fault::NoAudience,
    Fault::Expired,
    Fault::NotYet,
    Fault::Namespace,
    Fault::Subject,
    Fault::OtherAccount,
    Fault::OtherRelease,
    Fault::NoPodClaim,
    Fault::PodGone,
    Fault::PodUid,
    Fault::PodAccount,
    Fault::PodEnded,
    Fault::PodDeleted,
    Fault::AccountGone,
    Fault::AccountUid,
];

/// Everything that is looked at.
#[derive(Debug, Clone)]
struct World {
    claims: Value,
    pod: Option<ObservedPod>,
    account: Option<ObservedServiceAccount>,
}

/// A caller of `component` with nothing wrong, whose token and deletion are as old as leeway allows.
fn right(component: Component, expires: i64, not_before: i64, deleted_at: Option<i64>) -> World {
    let account = ReleaseObjects::of("demo").component(component);
    World {
        claims: json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:tenants:{account}"),
            "aud": [AUDIENCE],
            "exp": expires,
            "nbf": not_before,
            "iat": not_before,
            "jti": "b9c1c0a5",
            "kubernetes.io": {
                "namespace": "tenants",
                "node": { "name": "node-1", "uid": "node-uid" },
                "pod": { "name": "the-pod", "uid": "pod-uid" },
                "serviceaccount": { "name": account, "uid": "account-uid" },
                "warnafter": expires
            }
        }),
        pod: Some(ObservedPod { uid: "pod-uid".into(), service_account: account, ended: false, deleted_at }),
        account: Some(ObservedServiceAccount { uid: "account-uid".into() }),
    }
}

impl World {
    fn spoil(&mut self, fault: Fault) {
        let claims = &mut self.claims;
        let pod = |change: fn(&mut ObservedPod), pod: &mut Option<ObservedPod>| {
            if let Some(pod) = pod {
                change(pod);
            }
        };
        match fault {
            Fault::Issuer => claims["iss"] = json!("https://elsewhere.example.com"),
            Fault::Audience => claims["aud"] = json!(["pilothouse.tenants.other"]),
            Fault::FurtherAudience => claims["aud"] = json!([AUDIENCE, "pilothouse.tenants.other"]),
            Fault::NoAudience => claims["aud"] = json!([]),
            Fault::Expired => claims["exp"] = json!(NOW - 60),
            Fault::NotYet => claims["nbf"] = json!(NOW + 61),
            Fault::Namespace => {
                claims["kubernetes.io"]["namespace"] = json!("elsewhere");
                let account = claims["kubernetes.io"]["serviceaccount"]["name"].as_str().unwrap_or_default();
                claims["sub"] = json!(format!("system:serviceaccount:elsewhere:{account}"));
            }
            Fault::Subject => claims["sub"] = json!("system:serviceaccount:tenants:demo-kube-apiserver-2"),
            Fault::OtherAccount => rename(claims, "default"),
            Fault::OtherRelease => rename(claims, "other-etcd"),
            Fault::NoPodClaim => claims["kubernetes.io"]["pod"] = Value::Null,
            Fault::PodGone => self.pod = None,
            Fault::PodUid => pod(|pod| pod.uid = "another".into(), &mut self.pod),
            Fault::PodAccount => pod(|pod| pod.service_account = "default".into(), &mut self.pod),
            Fault::PodEnded => pod(|pod| pod.ended = true, &mut self.pod),
            Fault::PodDeleted => pod(|pod| pod.deleted_at = Some(NOW - 61), &mut self.pod),
            Fault::AccountGone => self.account = None,
            Fault::AccountUid => self.account = Some(ObservedServiceAccount { uid: "another".into() }),
        }
    }

    fn judge(&self) -> Result<Component, TokenRefusal> {
        let claims: Claims = serde_json::from_value(self.claims.clone()).unwrap();
        let objects = ReleaseObjects::of("demo");
        let issuers = Issuers::of(ISSUER.to_owned());
        let expected =
            Expected { issuers: &issuers, audience: AUDIENCE, namespace: "tenants", objects: &objects };
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let claimed = judge_claims(&claims, &expected, now)?;
        judge_observed(claimed, self.pod.as_ref(), self.account.as_ref(), now)?;
        Ok(claimed.component)
    }
}

/// Another `ServiceAccount`, with everything else in accordance.
fn rename(claims: &mut Value, name: &str) {
    claims["kubernetes.io"]["serviceaccount"]["name"] = json!(name);
    claims["sub"] = json!(format!("system:serviceaccount:tenants:{name}"));
}

fn component() -> impl Strategy<Value = Component> {
    prop::sample::select(Component::ALL.to_vec())
}

proptest! {
    #[test]
    fn whoever_has_no_fault_is_believed_and_nobody_else(
        component in component(),
        expires in NOW - 59..NOW + 100_000,
        not_before in NOW - 100_000..=NOW + 60,
        deleted_at in prop::option::of(NOW - 60..NOW + 1000),
        faults in prop::sample::subsequence(FAULTS.to_vec(), 0..=3),
    ) {
        let mut world = right(component, expires, not_before, deleted_at);
        prop_assert_eq!(world.judge(), Ok(component));
        for fault in &faults {
            world.spoil(*fault);
        }
        prop_assert_eq!(world.judge().is_ok(), faults.is_empty(), "{:?}", faults);
    }

    #[test]
    fn rubbish_is_refused_without_harm(token in ".{0,200}", parts in prop::collection::vec("[A-Za-z0-9_=-]{0,80}", 0..5)) {
        prop_assert!(UnverifiedToken::parse(&token).is_err());
        prop_assert!(UnverifiedToken::parse(&parts.join(".")).is_err());
    }
}

#[test]
fn each_fault_alone_is_refused_with_its_own_words() {
    let mut words = std::collections::BTreeSet::new();
    for fault in FAULTS {
        let mut world = right(Component::Etcd, NOW + 10, NOW - 10, None);
        world.spoil(fault);
        words.insert(world.judge().unwrap_err().to_string());
    }
    // Three faults are about the audience and look the same; the other two accounts differ by name.
    assert_eq!(words.len(), FAULTS.len() - 2, "{words:#?}");
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn unsigned(algorithm: &str, header: &Value) -> String {
    let mut whole = json!({ "alg": algorithm, "kid": "one" });
    whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
    let world = right(Component::Etcd, NOW + 10, NOW - 10, None);
    format!("{}.{}", encode(&whole), encode(&world.claims))
}

fn finished(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn verify(keys: &Value, token: &str) -> Result<(), TokenRefusal> {
    let keys: KeySet = serde_json::from_value(keys.clone()).unwrap();
    let token = UnverifiedToken::parse(token)?;
    keys.find(&token.key_id).ok_or(TokenRefusal::KeyUnknown)?.verify(&token)
}

#[test]
fn both_methods_of_kubernetes_count_under_their_own_key_only() {
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let modulus = URL_SAFE_NO_PAD.encode(rsa.public_key().modulus().big_endian_without_leading_zero());
    let exponent = URL_SAFE_NO_PAD.encode(rsa.public_key().exponent().big_endian_without_leading_zero());
    let curve = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = curve.public_key().as_ref();
    let rsa_keys = json!({ "keys": [
        { "kty": "oct", "kid": "zero", "k": "AAAA" },
        { "use": "sig", "kty": "RSA", "kid": "one", "alg": "RS256", "n": modulus, "e": exponent }
    ] });
    let curve_keys = json!({ "keys": [{
        "use": "sig", "kty": "EC", "kid": "one", "alg": "ES256", "crv": "P-256",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..])
    }] });
    let by_rsa = |signed: &str| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        finished(signed, &signature)
    };
    let by_curve = |signed: &str| finished(signed, curve.sign(&random, signed.as_bytes()).unwrap().as_ref());

    let plain = json!({});
    assert_eq!(verify(&rsa_keys, &by_rsa(&unsigned("RS256", &plain))), Ok(()));
    assert_eq!(verify(&curve_keys, &by_curve(&unsigned("ES256", &plain))), Ok(()));
    for (keys, token) in [
        (&rsa_keys, by_rsa(&unsigned("ES256", &plain))),
        (&curve_keys, by_curve(&unsigned("RS256", &plain))),
        (&rsa_keys, by_curve(&unsigned("ES256", &plain))),
        (&curve_keys, by_rsa(&unsigned("ES256", &plain))),
        (&rsa_keys, finished(&unsigned("RS256", &plain), b"")),
    ] {
        assert_eq!(verify(keys, &token), Err(TokenRefusal::Signature));
    }
    let token = by_rsa(&unsigned("RS256", &plain));
    let other = right(Component::KubeApiserver, NOW + 10, NOW - 10, None);
    let mut parts: Vec<&str> = token.split('.').collect();
    let claims = encode(&other.claims);
    parts[1] = &claims;
    assert_eq!(verify(&rsa_keys, &parts.join(".")), Err(TokenRefusal::Signature), "claims of another");
    for algorithm in ["none", "HS256", "RS512", "PS256", "EdDSA", "rs256", ""] {
        let refused = verify(&rsa_keys, &by_rsa(&unsigned(algorithm, &plain)));
        assert_eq!(refused, Err(TokenRefusal::Algorithm), "{algorithm}");
    }
    for header in [json!({ "kid": null }), json!({ "kid": "" })] {
        assert_eq!(verify(&rsa_keys, &by_rsa(&unsigned("RS256", &header))), Err(TokenRefusal::Algorithm));
    }
    for kid in ["two", "zero"] {
        let token = by_rsa(&unsigned("RS256", &json!({ "kid": kid })));
        assert_eq!(verify(&rsa_keys, &token), Err(TokenRefusal::KeyUnknown), "{kid}");
    }
    let critical = by_rsa(&unsigned("RS256", &json!({ "crit": ["exp"] })));
    assert!(matches!(verify(&rsa_keys, &critical), Err(TokenRefusal::Malformed(_))));
    let encryption =
        json!({ "keys": [{ "use": "enc", "kty": "RSA", "kid": "one", "n": modulus, "e": exponent }] });
    assert_eq!(verify(&encryption, &token), Err(TokenRefusal::KeyUnknown));
}
