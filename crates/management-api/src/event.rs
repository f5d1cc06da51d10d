//! Telling people of a Pod something as an Event of it, where they look first: `kubectl describe pod`, `kubectl get events`.
//! Refuses to repeat itself: what was told of the same Pod in the same words is told again only once it has been forgotten.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};

use crate::object::within;
use crate::{Creation, ManagementApi, ManagementError};

/// The API takes 1024 bytes (`NoteLengthLimit` of its validation); a character has at most four.
const LONGEST_MESSAGE: usize = 1024 / 4;

/// A Pod, as an Event names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodReference {
    /// Its name.
    pub name: String,
    /// Its UID: another Pod of the same name has another.
    pub uid: String,
}

/// Writes a warning about `pod`: `reason` is one word for programs, `message` a sentence for people, `by` who tells it.
pub async fn warn_of_pod(
    api: &ManagementApi,
    pod: &PodReference,
    by: &str,
    reason: &str,
    message: &str,
) -> Result<Creation, ManagementError> {
    let event = warning(api.namespace(), pod, by, reason, message, Timestamp::now());
    let name = event.metadata.name.clone().unwrap_or_default();
    let objects = api.objects::<Event>();
    match within::<Event, _>("create", api, &name, objects.create(&PostParams::default(), &event)).await {
        Ok(_) => Ok(Creation::Created),
        Err(error) if error.is_conflict() => Ok(Creation::AlreadyThere),
        Err(error) => Err(error),
    }
}

fn warning(
    namespace: &str,
    pod: &PodReference,
    by: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Event {
    let message: String = message.chars().take(LONGEST_MESSAGE).collect();
    let mut hash = DefaultHasher::new();
    (&pod.uid, reason, &message).hash(&mut hash);
    Event {
        metadata: ObjectMeta {
            // As Kubernetes' own: the object's name and sixteen digits, which here stand for what is told.
            name: Some(format!("{}.{:016x}", pod.name, hash.finish())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        source: Some(EventSource { component: Some(by.to_owned()), host: None }),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uid: &str, message: &str) -> Event {
        let pod = PodReference { name: "demo-kube-apiserver-7d9f-x".into(), uid: uid.into() };
        warning("tenants", &pod, "apiserver-supervisor", "Refused", message, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_same_words_about_the_same_pod_are_one_event() {
        let name = |event: Event| event.metadata.name.unwrap();
        assert_eq!(name(told("1", "no")), name(told("1", "no")));
        assert_ne!(name(told("1", "no")), name(told("1", "still no")));
        assert_ne!(name(told("1", "no")), name(told("2", "no")));
        assert!(name(told("1", "no")).starts_with("demo-kube-apiserver-7d9f-x."));
    }

    #[test]
    fn the_pod_is_named_and_the_message_is_not_longer_than_the_api_takes() {
        let event = told("1", &"ä".repeat(5000));
        assert!(event.message.unwrap().len() <= 1024);
        assert_eq!(event.involved_object.uid.as_deref(), Some("1"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
    }
}
