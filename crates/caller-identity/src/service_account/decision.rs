//! Whom a token with a right signature proves: from its claims, from what the cluster says about Pod and
//! ServiceAccount, and from the time. Pure. Refuses at the first condition that does not hold: issuer, audience, times, Pod.

use naming_contract::{Component, ReleaseObjects};
use time::OffsetDateTime;

use super::TokenRefusal;
use super::claims::{Claims, ObjectReference};
use super::issuers::Issuers;
use super::observed::{ObservedPod, ObservedServiceAccount};

/// How far clocks may differ, in seconds; Kubernetes' own (go-jose `DefaultLeeway`, `pkg/serviceaccount/claims.go`).
pub(super) const LEEWAY: i64 = 60;

/// What a token of this release must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuers: &'a Issuers,
    pub(super) audience: &'a str,
    pub(super) namespace: &'a str,
    pub(super) objects: &'a ReleaseObjects,
}

/// Whom the token would prove if the cluster agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claimed<'a> {
    pub(super) component: Component,
    pub(super) pod: &'a ObjectReference,
    pub(super) service_account: &'a ObjectReference,
}

/// Judges what the token alone says.
pub(super) fn judge_claims<'a>(
    claims: &'a Claims,
    expected: &Expected<'_>,
    now: OffsetDateTime,
) -> Result<Claimed<'a>, TokenRefusal> {
    let now = now.unix_timestamp();
    let account = &claims.kubernetes.service_account;
    let namespace = &claims.kubernetes.namespace;
    if !expected.issuers.made(claims) {
        let (found, expected) = (claims.issuer.clone(), expected.issuers.present().to_owned());
        return Err(TokenRefusal::Issuer { found, expected });
    }
    if !claims.audience.is_exactly(expected.audience) {
        return Err(TokenRefusal::Audience { expected: expected.audience.to_owned() });
    }
    if now >= claims.expires.saturating_add(LEEWAY) {
        return Err(TokenRefusal::Expired);
    }
    if now < claims.not_before.saturating_sub(LEEWAY) {
        return Err(TokenRefusal::NotYetValid);
    }
    if namespace != expected.namespace {
        return Err(TokenRefusal::Namespace { found: namespace.clone() });
    }
    if claims.subject != format!("system:serviceaccount:{namespace}:{}", account.name) {
        return Err(TokenRefusal::Malformed("its subject is not its ServiceAccount"));
    }
    let Some(component) = expected.objects.component_of_service_account(&account.name) else {
        let (found, release) = (account.name.clone(), expected.objects.release().to_owned());
        return Err(TokenRefusal::ServiceAccount { found, release });
    };
    let pod = claims.kubernetes.pod.as_ref().ok_or(TokenRefusal::NotOfPod)?;
    Ok(Claimed { component, pod, service_account: account })
}

/// Judges what the cluster says about whoever the token claims to be.
pub(super) fn judge_observed(
    claimed: Claimed<'_>,
    pod: Option<&ObservedPod>,
    service_account: Option<&ObservedServiceAccount>,
    now: OffsetDateTime,
) -> Result<(), TokenRefusal> {
    let name = || claimed.pod.name.clone();
    let Some(pod) = pod else { return Err(TokenRefusal::PodGone { pod: name() }) };
    if pod.uid != claimed.pod.uid {
        return Err(TokenRefusal::PodReplaced { pod: name() });
    }
    if pod.service_account != claimed.service_account.name {
        return Err(TokenRefusal::PodOfAnother { pod: name() });
    }
    if pod.ended {
        return Err(TokenRefusal::PodEnded { pod: name() });
    }
    // A deletion's time is when the grace period ends: a draining Pod may still renew.
    if pod.deleted_at.is_some_and(|at| now.unix_timestamp() > at.saturating_add(LEEWAY)) {
        return Err(TokenRefusal::PodDeleted { pod: name() });
    }
    let name = || claimed.service_account.name.clone();
    let Some(account) = service_account else {
        return Err(TokenRefusal::ServiceAccountGone { name: name() });
    };
    if account.uid != claimed.service_account.uid {
        return Err(TokenRefusal::ServiceAccountReplaced { name: name() });
    }
    Ok(())
}
