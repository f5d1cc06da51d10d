//! The trust bundles of a ConfigMap of the management cluster as files, where the certificate keeper looks for them.
//! What was seen last stays: on disk, over restarts, while the management cluster is away. Refuses to judge bundles.

use std::path::{Path, PathBuf};

use certificates::Authority;
use conditions::{Condition, Sighting};
use durable_files::{read_limited, write_public};
use health_endpoints::StatusBoard;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use management_api::{Followed, ManagementApi, follow};
use naming_contract::files;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A bundle is at most this long; a ConfigMap holds 1 MiB in all.
const BUNDLE_LIMIT: u64 = 256 * 1024;

/// Follows the ConfigMap until dropped.
pub(crate) struct TrustMirror {
    object: String,
    directory: PathBuf,
    seen: watch::Receiver<Seen>,
    _following: AbortOnDropHandle<()>,
}

/// What was last seen of the ConfigMap.
#[derive(Debug, Clone, Default)]
struct Seen {
    told: String,
    owners: Vec<OwnerReference>,
}

impl TrustMirror {
    /// Begins to follow; `directory` exists.
    pub(crate) fn begin(api: ManagementApi, name: &str, directory: PathBuf, board: StatusBoard) -> Self {
        let object = format!("ConfigMap {}/{name}", api.namespace());
        let (tell, seen) = watch::channel(Seen { told: "not asked yet".to_owned(), owners: Vec::new() });
        let (name, into, described) = (name.to_owned(), directory.clone(), object.clone());
        let following = tokio::task::spawn_local(async move {
            follow::<ConfigMap>(&api, &name, |followed| {
                take_up(followed, &described, &into, &tell);
                board.detail("trustBundles", &format!("{described}: {}", tell.borrow().told));
            })
            .await;
        });
        Self { object, directory, seen, _following: AbortOnDropHandle::new(following) }
    }

    /// The wait until all of `bundles` lie in the directory.
    pub(crate) fn holds<'a>(&'a self, bundles: &'a [Authority]) -> Mirrored<'a> {
        Mirrored { mirror: self, bundles }
    }

    /// Who owns the ConfigMap: what is made beside it goes with it. Follows what is seen.
    pub(crate) fn owners(&self) -> Owners {
        Owners(self.seen.clone())
    }
}

/// The owners of the ConfigMap as last seen.
#[derive(Debug, Clone)]
pub(crate) struct Owners(watch::Receiver<Seen>);

impl Owners {
    /// None while it was never seen, or if nobody owns it.
    pub(crate) fn now(&self) -> Option<Vec<OwnerReference>> {
        Some(self.0.borrow().owners.clone()).filter(|owners| !owners.is_empty())
    }
}

/// Every bundle that is needed lies in the directory.
pub(crate) struct Mirrored<'a> {
    mirror: &'a TrustMirror,
    bundles: &'a [Authority],
}

impl Condition for Mirrored<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        format!("{}, where the certificate-authority publishes its trust bundles", self.mirror.object)
    }

    async fn look(&mut self) -> Sighting<()> {
        let missing = |authority: &&Authority| !self.mirror.directory.join(authority.bundle()).exists();
        match self.bundles.iter().find(missing) {
            None => Sighting::Holds(()),
            Some(_) => Sighting::NotYet(self.mirror.seen.borrow().told.clone()),
        }
    }
}

fn take_up(followed: Followed<ConfigMap>, object: &str, directory: &Path, tell: &watch::Sender<Seen>) {
    let (told, owners) = match followed {
        Followed::Seen(map) => {
            let told = write_bundles(&map, directory);
            (told, map.metadata.owner_references)
        }
        Followed::Absent => {
            ("it does not exist yet; the certificate-authority makes it when it starts".to_owned(), None)
        }
        Followed::Trouble(error) => (error.told(), None),
    };
    tell.send_if_modified(|seen| {
        let news = seen.told != told;
        if news {
            tracing::debug!(object, told, "trust bundles");
        }
        seen.told = told;
        if let Some(owners) = owners {
            seen.owners = owners;
        }
        news
    });
}

/// Writes what is new and tells what there is.
fn write_bundles(map: &ConfigMap, directory: &Path) -> String {
    let data = map.data.iter().flatten();
    let mut present = Vec::new();
    for authority in Authority::ALL {
        let Some((_, bundle)) = data.clone().find(|(key, _)| key.as_str() == authority.bundle()) else {
            continue;
        };
        let path = directory.join(authority.bundle());
        if !read_limited(&path, BUNDLE_LIMIT).is_ok_and(|known| known == bundle.as_bytes())
            && let Err(error) = write_public(&path, bundle.as_bytes())
        {
            let error = telemetry::error_chain(&error);
            tracing::warn!(
                error,
                "a trust bundle cannot be kept; tried again with the next look at its ConfigMap"
            );
            return error;
        }
        present.push(authority.bundle());
    }
    write_generations(map, directory);
    match present.as_slice() {
        [] => "it holds no bundle yet".to_owned(),
        some => format!("it holds {}", some.join(", ")),
    }
}

/// Without them a supervisor only hears of new shared keys later.
fn write_generations(map: &ConfigMap, directory: &Path) {
    let Some(generations) = map.data.as_ref().and_then(|data| data.get(files::GENERATIONS)) else { return };
    let path = directory.join(files::GENERATIONS);
    if !read_limited(&path, BUNDLE_LIMIT).is_ok_and(|known| known == generations.as_bytes())
        && let Err(error) = write_public(&path, generations.as_bytes())
    {
        tracing::warn!(error = telemetry::error_chain(&error), "the published generations cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> ConfigMap {
        let data = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ConfigMap { data: Some(data), ..ConfigMap::default() }
    }

    #[test]
    fn bundles_are_written_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let there = |name: &str| std::fs::read_to_string(directory.path().join(name)).ok();
        let (tell, seen) = watch::channel(Seen::default());
        let take = |followed| take_up(followed, "ConfigMap n/demo-trust", directory.path(), &tell);

        take(Followed::Seen(Box::new(map(&[("cluster.crt", "one"), ("../escape", "x"), ("other", "y")]))));
        assert_eq!(there("cluster.crt").as_deref(), Some("one"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(seen.borrow().told, "it holds cluster.crt");

        take(Followed::Seen(Box::new(map(&[("cluster.crt", "two"), ("etcd.crt", "three")]))));
        assert_eq!(there("cluster.crt").as_deref(), Some("two"));
        assert_eq!(there("etcd.crt").as_deref(), Some("three"));

        take(Followed::Seen(Box::new(map(&[("generations.json", "{}")]))));
        assert_eq!(there("generations.json").as_deref(), Some("{}"));

        // What is taken away, the whole map or a key, was good until now.
        take(Followed::Absent);
        take(Followed::Seen(Box::new(map(&[]))));
        assert_eq!(there("cluster.crt").as_deref(), Some("two"));
        assert_eq!(seen.borrow().told, "it holds no bundle yet");
    }
}
