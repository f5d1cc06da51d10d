//! Which members should exist: an observation, not a constant. Listed on the command line, or read from the size of a
//! StatefulSet whenever a decision needs it. Refuses to conclude anything from a size that could not be read.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use component_runtime::RuntimeError;
use etcd_membership::{ListedMember, WantedMember};
use management_api::{ManagementApi, ManagementError, find};
use naming_contract::ports;
use serde::{Deserialize, Serialize};

use crate::glance::StatefulSet;
use crate::update::pods;

/// A start with data waits no longer for an API that is away.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// No set of ours is larger; nor does a supervisor's role name Pods beyond.
const LARGEST_SET: u32 = 5;

/// Where the list of members comes from.
#[derive(Debug, Clone)]
pub enum MemberSource {
    /// It is given and stays.
    Listed(Vec<KnownMember>),
    /// They are the Pods of a `StatefulSet`.
    StatefulSet(MembersOfSet),
}

/// The Pods of a `StatefulSet` as members.
#[derive(Debug, Clone)]
pub struct MembersOfSet {
    /// The cluster that it is in.
    pub api: ManagementApi,
    /// Its name; Pods are called `<name>-<ordinal>`.
    pub name: String,
    /// The name of its governing Service; a Pod is reached at `<pod>.<this>`.
    pub peer_domain: String,
}

/// A member and how to reach it and its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownMember {
    /// Its instance name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_url: String,
    /// Where clients reach it.
    pub client_url: String,
    /// Where its supervisor's health endpoints are, if that is known.
    pub health_url: Option<String>,
}

impl KnownMember {
    /// What the planner knows of it.
    pub(crate) fn wanted(&self) -> WantedMember {
        WantedMember {
            name: self.name.clone(),
            peer_url: self.peer_url.clone(),
            client_url: self.client_url.clone(),
        }
    }
}

impl MembersOfSet {
    pub(crate) fn described(&self) -> String {
        format!("StatefulSet {}/{}", self.api.namespace(), self.name)
    }

    fn pod(&self, name: String) -> KnownMember {
        let at = |scheme, port| format!("{scheme}://{name}.{}:{port}", self.peer_domain);
        KnownMember {
            peer_url: at("https", ports::ETCD_PEER),
            client_url: at("https", ports::ETCD_CLIENT),
            health_url: Some(at("http", ports::HEALTH)),
            name,
        }
    }

    fn pods(&self, ordinals: Range<u32>) -> Vec<KnownMember> {
        ordinals.map(|ordinal| self.pod(format!("{}-{ordinal}", self.name))).collect()
    }

    /// The member behind an entry of etcd's list, wanted or not, with its ordinal; none if it is no Pod of the set.
    pub(crate) fn behind(&self, listed: &ListedMember) -> Option<(u32, KnownMember)> {
        let ordinal = ordinal_behind(&self.name, listed)?;
        Some((ordinal, self.pod(format!("{}-{ordinal}", self.name))))
    }

    pub(crate) fn ordinal(&self, pod: &str) -> Option<u32> {
        ordinal_of(&self.name, pod)
    }
}

/// What the largest set has beyond these ordinals.
fn beyond(ordinals: &Range<u32>) -> Range<u32> {
    ordinals.end..ordinals.start.saturating_add(LARGEST_SET)
}

fn ordinal_of(set: &str, pod: &str) -> Option<u32> {
    let ordinal = pod.strip_prefix(set)?.strip_prefix('-')?;
    ordinal.parse().ok().filter(|number: &u32| number.to_string() == ordinal)
}

/// Whoever was added and never started has no name yet, but a peer URL.
fn ordinal_behind(set: &str, listed: &ListedMember) -> Option<u32> {
    let of_url = |url: &String| ordinal_of(set, url.strip_prefix("https://")?.split(['.', ':']).next()?);
    ordinal_of(set, &listed.name).or_else(|| listed.peer_urls.iter().find_map(of_url))
}

/// What a `StatefulSet` wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// Pods with these ordinals.
    Pods(Range<u32>),
    /// None any more: it is gone, being deleted, or of size 0.
    Nothing(&'static str),
}

fn wish(set: Option<&StatefulSet>) -> Wish {
    let Some(set) = set else { return Wish::Nothing("it does not exist") };
    if set.metadata.deletion_timestamp.is_some() {
        return Wish::Nothing("it is being deleted");
    }
    let number = |number: Option<i32>, otherwise| {
        number.map_or(otherwise, |number| u32::try_from(number).unwrap_or_default())
    };
    let first = number(set.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start), 0);
    match number(set.spec.replicas, 1) {
        0 => Wish::Nothing("it wants no members"),
        size => Wish::Pods(first..first.saturating_add(size)),
    }
}

/// What one look at the source found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// The list is up to date and I am on it.
    Wanted,
    /// The list is up to date and I am not on it: the text says of what size the set is.
    NotWanted(String),
    /// Nobody wants any member any more.
    NobodyWanted(String),
    /// It cannot be known now.
    Unknown(String),
}

/// The members that should exist, as last seen.
pub(crate) struct Members {
    source: MemberSource,
    me: KnownMember,
    known: RefCell<Arc<[KnownMember]>>,
    /// Those that are not wanted any more and may still be there.
    beyond: RefCell<Vec<KnownMember>>,
    ever_read: Cell<bool>,
}

impl Members {
    pub(crate) fn new(source: MemberSource, instance: &str) -> Result<Self, RuntimeError> {
        let (me, known) = match &source {
            MemberSource::Listed(members) => {
                let me = members.iter().find(|member| member.name == instance).cloned().ok_or_else(|| {
                    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
                    RuntimeError::setting(
                        format!("{instance} is none of the members ({})", names.join(", ")),
                        "name it with --member NAME=PEER_URL,CLIENT_URL, or correct --instance-name",
                    )
                })?;
                (me, members.clone())
            }
            MemberSource::StatefulSet(set) => {
                if set.ordinal(instance).is_none() {
                    return Err(RuntimeError::setting(
                        format!("{instance} is no name of a Pod of the StatefulSet {}", set.name),
                        "correct --stateful-set or --instance-name",
                    ));
                }
                (set.pod(instance.to_owned()), Vec::new())
            }
        };
        let known = RefCell::new(Arc::from(known));
        Ok(Self { source, me, known, beyond: RefCell::default(), ever_read: Cell::new(false) })
    }

    /// This member's own entry, wanted or not.
    pub(crate) fn me(&self) -> &KnownMember {
        &self.me
    }

    /// All of them.
    pub(crate) fn known(&self) -> Arc<[KnownMember]> {
        self.known.borrow().clone()
    }

    /// All but this one.
    pub(crate) fn others(&self) -> Vec<KnownMember> {
        self.known().iter().filter(|member| member.name != self.me.name).cloned().collect()
    }

    /// Whom one may ask that has nothing itself: the others, and those that are not wanted any more and still there.
    pub(crate) fn askable(&self) -> Vec<KnownMember> {
        let mut askable = self.others();
        askable.extend(self.beyond.borrow().iter().cloned());
        askable
    }

    /// Learns which members that are not wanted any more are still there: until they are gone they may have the only data.
    pub(crate) async fn look_beyond(&self) -> Result<(), ManagementError> {
        let Some(set) = self.set() else { return Ok(()) };
        let ordinals: Vec<u32> = self.known().iter().filter_map(|known| set.ordinal(&known.name)).collect();
        let Some((first, last)) = ordinals.iter().min().zip(ordinals.iter().max()) else { return Ok(()) };
        let mut members = set.pods(beyond(&(*first..last.saturating_add(1))));
        let there = match pods(&set.api, &members).await {
            Ok(there) => there,
            Err(error) if error.is_forbidden() => {
                tracing::warn!(
                    error = error.told(),
                    "members that are not wanted any more cannot be looked for"
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        members.retain(|member| there.contains_key(&member.name));
        self.beyond.replace(members);
        Ok(())
    }

    /// Takes what was seen in an earlier life.
    pub(crate) fn recall(&self, members: Vec<KnownMember>) {
        *self.known.borrow_mut() = Arc::from(members);
    }

    /// What is looked at, for people.
    pub(crate) fn source(&self) -> String {
        match &self.source {
            MemberSource::Listed(_) => "--member".to_owned(),
            MemberSource::StatefulSet(set) => set.described(),
        }
    }

    /// Whether the list can change.
    pub(crate) fn may_change(&self) -> bool {
        matches!(self.source, MemberSource::StatefulSet(_))
    }

    /// The set whose Pods they are, if they are.
    pub(crate) fn set(&self) -> Option<&MembersOfSet> {
        match &self.source {
            MemberSource::Listed(_) => None,
            MemberSource::StatefulSet(set) => Some(set),
        }
    }

    /// Looks anew.
    pub(crate) async fn look(&self) -> Look {
        match self.set() {
            Some(set) => self.look_at(set).await.0,
            None => Look::Wanted,
        }
    }

    /// Looks anew, and gives the set itself if it is there.
    pub(crate) async fn look_at(&self, set: &MembersOfSet) -> (Look, Option<StatefulSet>) {
        match tokio::time::timeout(LOOK_LIMIT, find::<StatefulSet>(&set.api, &set.name)).await {
            Ok(Ok(found)) => (self.take_up(set, wish(found.as_ref())), found),
            // At the end of a release its rights and credentials go before its Pods.
            Ok(Err(error)) if self.ever_read.get() && lost_rights(&error) => {
                (Look::NobodyWanted(format!("we may not read it any more: {}", error.told())), None)
            }
            Ok(Err(error)) => (Look::Unknown(error.told()), None),
            Err(_late) => {
                (Look::Unknown(format!("no answer from {} within {LOOK_LIMIT:?}", set.api.server())), None)
            }
        }
    }

    fn take_up(&self, set: &MembersOfSet, wish: Wish) -> Look {
        self.ever_read.set(true);
        match wish {
            Wish::Nothing(why) => Look::NobodyWanted(why.to_owned()),
            Wish::Pods(ordinals) => {
                let wanted = set.ordinal(&self.me.name).is_some_and(|mine| ordinals.contains(&mine));
                let size = ordinals.len();
                self.recall(set.pods(ordinals));
                if wanted { Look::Wanted } else { Look::NotWanted(format!("it wants {size} members")) }
            }
        }
    }
}

fn lost_rights(error: &ManagementError) -> bool {
    error.is_forbidden() || error.is_unauthorized()
}

#[cfg(test)]
mod tests {
    use etcd_membership::MemberId;
    use proptest::prelude::*;

    use super::*;
    use crate::glance::{Ordinals, SetSpec};

    fn set_of(replicas: Option<i32>, start: Option<i32>) -> StatefulSet {
        let ordinals = start.map(|start| Ordinals { start: Some(start) });
        let spec = SetSpec { replicas, ordinals, ..SetSpec::default() };
        StatefulSet { spec, ..StatefulSet::default() }
    }

    #[test]
    fn a_set_wants_as_many_pods_as_it_says_and_none_when_it_goes() {
        assert_eq!(wish(Some(&set_of(Some(3), None))), Wish::Pods(0..3));
        assert_eq!(wish(Some(&set_of(None, None))), Wish::Pods(0..1), "Kubernetes' default");
        assert_eq!(wish(Some(&set_of(Some(2), Some(5)))), Wish::Pods(5..7));
        assert_eq!(wish(Some(&set_of(Some(0), None))), Wish::Nothing("it wants no members"));
        assert!(matches!(wish(None), Wish::Nothing(_)));
        let mut going = set_of(Some(3), None);
        going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        ));
        assert!(matches!(wish(Some(&going)), Wish::Nothing(_)));
    }

    #[test]
    fn beyond_a_size_is_the_rest_of_the_largest_set() {
        assert_eq!(beyond(&(0..3)), 3..5);
        assert_eq!(beyond(&(2..3)), 3..7);
        assert!(beyond(&(0..5)).is_empty() && beyond(&(0..7)).is_empty());
    }

    #[test]
    fn an_entry_of_etcds_list_leads_to_its_pod_or_to_nobody() {
        let listed = |name: &str, url: &str| ListedMember {
            id: MemberId(1),
            name: name.into(),
            peer_urls: vec![url.into()],
            started: true,
            learner: false,
        };
        let url = "https://demo-etcd-4.demo-etcd-peers.tenant.svc:2380";
        assert_eq!(ordinal_behind("demo-etcd", &listed("demo-etcd-4", url)), Some(4));
        assert_eq!(ordinal_behind("demo-etcd", &listed("", url)), Some(4), "added and never started");
        assert_eq!(ordinal_behind("demo-etcd", &listed("guest", "https://guest:2380")), None);
        assert_eq!(ordinal_behind("demo", &listed("demo-etcd-4", url)), None, "of another set");
        assert_eq!(ordinal_behind("demo-etcd", &listed("demo-etcd-04", "https://10.0.0.1:2380")), None);
    }

    proptest! {
        #[test]
        fn no_size_makes_a_crash(replicas in any::<Option<i32>>(), start in any::<Option<i32>>()) {
            match wish(Some(&set_of(replicas, start))) {
                Wish::Pods(ordinals) => prop_assert!(ordinals.start <= ordinals.end),
                Wish::Nothing(_) => prop_assert!(replicas.is_some_and(|replicas| replicas <= 0)),
            }
        }
    }
}
