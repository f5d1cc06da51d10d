//! Who of etcd's Pods was away when: looked at five times a second beside a change.
//! Refuses to conclude from a look that failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hosted_control_plane::pod_views;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use naming_contract::Component;
use tokio::task::JoinSet;

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Members in the order in which another Pod took their place.
    pub(crate) replaced: Vec<String>,
    /// The most members that were away, not ready or going, at one moment.
    pub(crate) most_away: usize,
    present: BTreeMap<String, String>,
}

impl Seen {
    fn look(&mut self, pods: &BTreeMap<String, (String, bool)>, wanted: usize) {
        let serve = pods.values().filter(|(_, serves)| *serves).count();
        self.most_away = self.most_away.max(wanted.saturating_sub(serve));
        for (name, (uid, _)) in pods {
            let before = self.present.insert(name.clone(), uid.clone());
            if before.is_some_and(|before| before != *uid) {
                self.replaced.push(name.clone());
            }
        }
    }
}

/// Looks until it is asked.
pub(crate) struct Absences {
    seen: Arc<Mutex<Seen>>,
    _looking: JoinSet<()>,
}

impl Absences {
    /// Of a release's members, `wanted` of them.
    pub(crate) fn follow(pods: Api<Pod>, release: &str, wanted: usize) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (told, release) = (Arc::clone(&seen), release.to_owned());
        let mut looking = JoinSet::new();
        looking.spawn(async move {
            loop {
                let mut views = pod_views(&pods, &release).await;
                views.retain(|view| view.component == Component::Etcd.name());
                let views = views.into_iter().map(|view| (view.name, (view.uid, view.ready && !view.going)));
                told.lock().unwrap().look(&views.collect(), wanted);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { seen, _looking: looking }
    }

    pub(crate) fn so_far(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}
