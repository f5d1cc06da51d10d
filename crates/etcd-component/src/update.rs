//! How an update of the members' Pods is looked at and moved on: what the set, its Pods and the members say, and evictions.
//! Refuses to evict for a member that does not lead at that very moment.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_membership::{ListedMember, MemberAtUpdate, MemberClient, PodAtUpdate, UpdateView, Victim};
use management_api::{Evicted, ManagementApi, ManagementError, evict, find};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::beside::Member;
use crate::glance::{Pod, StatefulSet};
use crate::members::{KnownMember, MembersOfSet};
use crate::set_changes::{CALL_LIMIT, Changes};

/// After an eviction that was refused.
const EVICT_AGAIN: Duration = Duration::from_secs(5);
/// The label by which a Pod tells of which revision it is.
const REVISION: &str = "controller-revision-hash";

impl Changes {
    /// Looks, and moves the update on; gives what is told of it, none when there is nothing to update.
    pub(crate) async fn update(
        &mut self,
        member: &Member,
        set: &MembersOfSet,
        own: &MemberClient,
        found: &StatefulSet,
        listed: &[ListedMember],
        changing: Option<String>,
    ) -> Option<String> {
        if !is_ours_to_move(found) {
            return None;
        }
        let known = member.members.known();
        let revision = seen_revision(found);
        let pods = if revision.is_some() && all_updated(found, known.len()) {
            BTreeMap::new()
        } else {
            match pods(&set.api, &known).await {
                Ok(pods) => pods,
                Err(error) => return Some(format!("nothing is changed: {}", error.told())),
            }
        };
        let others = if pods.is_empty() { Vec::new() } else { member.members.others() };
        let mut serving = member.peers.serving_of(others).await;
        serving.insert(member.instance.clone());
        let at_update = |known: &KnownMember| MemberAtUpdate {
            name: known.name.clone(),
            pod: pods.get(&known.name).map_or(PodAtUpdate::Missing, pod_at_update),
            votes: listed
                .iter()
                .any(|listed| listed.stands_for(&known.wanted()) && listed.started && !listed.learner),
            serves: serving.contains(&known.name),
        };
        let view = UpdateView {
            me: member.instance.clone(),
            revision,
            members: known.iter().map(at_update).collect(),
            voters: listed.iter().filter(|listed| !listed.learner).count(),
            changing,
        };
        let update = self.updater.look(&view, self.began.elapsed());
        let told = update.told?;
        let Some(victim) = update.evict else { return Some(told) };
        match self.evict(member, set, own, &victim).await {
            Some(refused) => Some(format!("{told}; {refused}")),
            None => Some(told),
        }
    }

    /// The answer is why it is not being evicted.
    async fn evict(
        &mut self,
        member: &Member,
        set: &MembersOfSet,
        own: &MemberClient,
        victim: &Victim,
    ) -> Option<String> {
        let Victim { name, uid, turn } = victim;
        if Instant::now() < self.next_eviction {
            return self.refusal.clone();
        }
        self.next_eviction = Instant::now() + EVICT_AGAIN;
        self.refusal = None;
        let leads = async {
            own.read_linearizable(CALL_LIMIT).await?;
            own.status(CALL_LIMIT).await
        };
        if !leads.await.is_ok_and(|status| status.leader == Some(status.member)) {
            return None;
        }
        if let Some(name) = member.seen.defragmenting.borrow().as_ref() {
            return Some(format!("{name} is being defragmented"));
        }
        match evict(&set.api, name, uid).await {
            Ok(Evicted::Yes) => {
                tracing::info!(pod = name, ?turn, "evicted, to come back with the latest settings");
            }
            Ok(Evicted::Gone) => tracing::info!(pod = name, "gone by itself"),
            Ok(Evicted::NotNow(why)) => self.refusal = Some(format!("its eviction is refused: {why}")),
            Err(error) => self.refusal = Some(format!("its eviction fails: {}", error.told())),
        }
        self.refusal.clone()
    }
}

/// With another strategy Kubernetes itself moves updates on.
fn is_ours_to_move(set: &StatefulSet) -> bool {
    set.spec.update_strategy.kind == "OnDelete"
}

/// The revision that Pods should have, if the set's controller has seen the latest settings.
fn seen_revision(set: &StatefulSet) -> Option<String> {
    let StatefulSet { metadata, status, .. } = set;
    let seen = status.observed_generation? >= metadata.generation?;
    (seen && !status.update_revision.is_empty()).then(|| status.update_revision.clone())
}

/// By the controller's own count, which saves reading the Pods.
fn all_updated(set: &StatefulSet, wanted: usize) -> bool {
    let count = |count: Option<i32>| count.and_then(|count| usize::try_from(count).ok());
    count(set.status.updated_replicas) == Some(wanted) && count(set.status.replicas) == Some(wanted)
}

/// The Pods of these members that exist.
pub(crate) async fn pods(
    api: &ManagementApi,
    members: &[KnownMember],
) -> Result<BTreeMap<String, Pod>, ManagementError> {
    let mut asked = JoinSet::new();
    for name in members.iter().map(|member| member.name.clone()) {
        let api = api.clone();
        asked.spawn(async move { (find::<Pod>(&api, &name).await, name) });
    }
    let mut pods = BTreeMap::new();
    for (found, name) in asked.join_all().await {
        if let Some(pod) = found? {
            pods.insert(name, pod);
        }
    }
    Ok(pods)
}

fn pod_at_update(pod: &Pod) -> PodAtUpdate {
    if pod.metadata.deletion_timestamp.is_some() {
        return PodAtUpdate::Leaving;
    }
    PodAtUpdate::There {
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        revision: pod
            .metadata
            .labels
            .iter()
            .find_map(|labels| labels.get(REVISION))
            .cloned()
            .unwrap_or_default(),
        ready: pod
            .status
            .conditions
            .iter()
            .any(|condition| condition.kind == "Ready" && condition.status == "True"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(generation: i64, observed: i64, updated: i32) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"generation": generation},
            "status": {
                "observedGeneration": observed, "updateRevision": "demo-etcd-1", "replicas": 3,
                "updatedReplicas": updated,
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_revision_counts_once_its_controller_has_seen_the_latest_settings() {
        assert_eq!(seen_revision(&set(2, 2, 3)).as_deref(), Some("demo-etcd-1"));
        assert_eq!(seen_revision(&set(2, 1, 3)), None);
        assert_eq!(seen_revision(&StatefulSet::default()), None);
        assert!(
            all_updated(&set(2, 2, 3), 3) && !all_updated(&set(2, 2, 2), 3) && !all_updated(&set(2, 2, 3), 5)
        );
    }

    #[test]
    fn only_an_update_that_waits_for_somebody_is_moved_on() {
        let set = |strategy: &str| -> StatefulSet {
            let spec = json!({"updateStrategy": {"type": strategy}, "selector": {}, "template": {}, "serviceName": ""});
            serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
        };
        assert!(is_ours_to_move(&set("OnDelete")));
        assert!(!is_ours_to_move(&set("RollingUpdate")) && !is_ours_to_move(&StatefulSet::default()));
    }

    #[test]
    fn a_pod_tells_its_revision_and_whether_its_kubelet_calls_it_ready() {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"uid": "u", "labels": {"controller-revision-hash": "demo-etcd-1"}},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]},
        }))
        .unwrap();
        let there = |ready| PodAtUpdate::There { uid: "u".into(), revision: "demo-etcd-1".into(), ready };
        assert_eq!(pod_at_update(&pod), there(false));
        pod.status.conditions[1].status = "True".into();
        assert_eq!(pod_at_update(&pod), there(true));
        pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        ));
        assert_eq!(pod_at_update(&pod), PodAtUpdate::Leaving);
    }
}
