//! Callers in a management cluster: Pods that show the token of their ServiceAccount, checked against the cluster's
//! published keys and its Pods. Refuses to believe a token of which the cluster itself cannot be asked now.

mod claims;
mod decision;
mod issuers;
mod observed;
mod published_keys;
mod refusal;
mod signature;

#[cfg(test)]
mod properties;

use std::cell::RefCell;
use std::time::Duration;

use certificates::pod_names;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use management_api::{ManagementApi, ManagementError, find};
use naming_contract::{Component, ReleaseObjects};
use time::OffsetDateTime;
use tokio::time::Instant;

use self::claims::UnverifiedToken;
use self::decision::{Expected, judge_claims, judge_observed};
use self::observed::{ObservedPod, ObservedServiceAccount};
use self::published_keys::PublishedKeys;
pub use self::published_keys::PublishedKeysError;
pub use self::refusal::TokenRefusal;
use crate::rate_limit::RateLimit;
use crate::{Caller, IdentifyCaller, Unidentified};

/// How long a caller waits for the management cluster's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// The Pods of one release, known by the tokens that kubelet mounts into them.
///
/// Every question is answered by the management cluster itself: keys at most 5 minutes old, Pod and `ServiceAccount` as
/// they are now. While its API is away nobody is identified (503, and requesters try again), not even whoever was a
/// minute ago: a Pod that was deleted meanwhile could not be told from one that lives, and nobody needs to hurry, since
/// leaves are renewed at half of their life and outlive any outage that leaves the cluster itself in a state to use them.
///
/// Whoever may create Pods or tokens for `ServiceAccount`s in the release's namespace owns the control plane: such a
/// person can be any of its components.
#[derive(Debug)]
pub struct ServiceAccountCallers {
    api: ManagementApi,
    objects: ReleaseObjects,
    audience: String,
    keys: PublishedKeys,
    rate: RefCell<RateLimit>,
    began: Instant,
}

impl ServiceAccountCallers {
    /// The Pods of the release that `objects` names, in the namespace of `api`. Asks nobody yet.
    #[must_use]
    pub fn new(api: ManagementApi, objects: ReleaseObjects) -> Self {
        let audience = objects.audience(api.namespace());
        let keys = PublishedKeys::new(api.clone());
        Self { api, objects, audience, keys, rate: RefCell::default(), began: Instant::now() }
    }

    /// Whether callers could be identified now: asks everything that a token makes it ask, about our own Pod
    /// `own_pod`. An error names what cannot be read; 403 in it means that a right is missing.
    pub async fn rehearse(&self, own_pod: &str) -> Result<(), Unavailable> {
        self.keys.find(None, OffsetDateTime::now_utc()).await?;
        find::<Pod>(&self.api, own_pod).await?;
        let own_account = self.objects.component(Component::CertificateAuthority);
        find::<ServiceAccount>(&self.api, &own_account).await?;
        Ok(())
    }

    /// One look at the cluster must not take longer than whoever asks would wait for its answer (4 s).
    async fn prove_in_time(&self, bearer: &str, now: OffsetDateTime) -> Result<Caller, Unidentified> {
        tokio::time::timeout(ANSWER_LIMIT, self.prove(bearer, now)).await.unwrap_or_else(|_late| {
            let server = self.api.server().to_owned();
            Err(unavailable(&Unavailable::Silent { server, limit: ANSWER_LIMIT }))
        })
    }

    async fn prove(&self, bearer: &str, now: OffsetDateTime) -> Result<Caller, Unidentified> {
        let token = UnverifiedToken::parse(bearer)?;
        let published =
            self.keys.find(Some(&token), now).await.map_err(|error| unavailable(&error.into()))?;
        let Some(key) = published.key else { return Err(TokenRefusal::KeyUnknown.into()) };
        key.verify(&token)?;
        let expected = Expected {
            issuers: &published.issuers,
            audience: &self.audience,
            namespace: self.api.namespace(),
            objects: &self.objects,
        };
        let claimed = judge_claims(&token.claims, &expected, now)?;
        if !self.rate.borrow_mut().allows(&claimed.pod.uid, self.began.elapsed()) {
            return Err(Unidentified::TooOften { instance: claimed.pod.name.clone() });
        }
        let (pod, account) = tokio::try_join!(
            find::<Pod>(&self.api, &claimed.pod.name),
            find::<ServiceAccount>(&self.api, &claimed.service_account.name)
        )
        .map_err(|error| unavailable(&error.into()))?;
        let pod = pod.as_ref().map(ObservedPod::from);
        let account = account.as_ref().map(ObservedServiceAccount::from);
        judge_observed(claimed, pod.as_ref(), account.as_ref(), now)?;
        let (component, instance) = (claimed.component, claimed.pod.name.clone());
        let names = pod_names(component, &instance, self.api.namespace(), &self.objects)
            .map_err(|error| unavailable(&Unavailable::Names(error)))?;
        Ok(Caller { component, instance, names })
    }
}

/// Why the management cluster cannot be asked about a caller now.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Its keys cannot be read.
    #[error(transparent)]
    Keys(#[from] PublishedKeysError),
    /// A Pod or `ServiceAccount` cannot be read.
    #[error(transparent)]
    Object(#[from] ManagementError),
    /// The API does not answer in time.
    #[error("the management API at {server} does not answer within {limit:?}")]
    Silent {
        /// Its URL.
        server: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The Pod's name does not make a certificate's; Kubernetes gives no such names.
    #[error("the Pod's names cannot go into a certificate")]
    Names(#[source] certificates::ContentsError),
}

impl Unavailable {
    /// What is missing, in few words: in the API's own where it said something.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            // An API that was silent has said nothing to add.
            Self::Object(error @ ManagementError::Silent { .. }) => error.to_string(),
            Self::Object(error) => format!("{error}: {}", error.told()),
            other => telemetry::error_chain(other),
        }
    }
}

fn unavailable(error: &Unavailable) -> Unidentified {
    Unidentified::Unavailable(error.told().into())
}

impl IdentifyCaller for ServiceAccountCallers {
    async fn identify(&self, bearer: &str, now: OffsetDateTime) -> Result<Caller, Unidentified> {
        self.prove_in_time(bearer, now).await
    }
}
