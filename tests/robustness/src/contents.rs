//! Whether what the API shows is what each member of etcd has: a list may come out of an API server's cache, which could show
//! what etcd has lost.

use std::collections::BTreeMap;
use std::path::Path;

use end_to_end::client;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use mutual_tls::etcd_client;

use crate::members::credentials;

/// Differences that are told; one fault makes many.
const TOLD: usize = 10;

/// Names, and the revision of the last change of each.
type Objects = BTreeMap<String, i64>;

/// Reads the ConfigMaps of a namespace from the API, and at the revision of that list from each member, by a linearizable
/// read. What somebody writes meanwhile is not in either. Gives how many there are.
///
/// # Errors
/// What differs, or why it cannot be read.
pub(crate) async fn same_in_etcd(
    kubeconfig: &Path,
    namespace: &str,
    state: &Path,
    members: &BTreeMap<String, String>,
) -> Result<usize, String> {
    let api: Api<ConfigMap> = Api::namespaced(client(kubeconfig).await, namespace);
    let list = api.list(&ListParams::default()).await.map_err(|error| format!("the API: {error}"))?;
    let number = |text: Option<String>| text.and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    let revision = number(list.metadata.resource_version);
    let shown: Objects = list
        .items
        .into_iter()
        .map(|object| (object.metadata.name.unwrap_or_default(), number(object.metadata.resource_version)))
        .collect();
    for (member, url) in members {
        let found = in_etcd(state, member, url, namespace, revision)
            .await
            .map_err(|error| format!("{member} at revision {revision}: {error}"))?;
        let told = differences(&shown, &found);
        if !told.is_empty() {
            return Err(format!("{member} at revision {revision}: {}", told.join("; ")));
        }
    }
    Ok(shown.len())
}

async fn in_etcd(
    state: &Path,
    member: &str,
    url: &str,
    namespace: &str,
    revision: i64,
) -> Result<Objects, String> {
    let client = etcd_client(&[url.to_owned()], &credentials(state, member)).await;
    let mut client = client.map_err(|error| error.to_string())?;
    let prefix = format!("/registry/configmaps/{namespace}/");
    let options = etcd_client::GetOptions::new().with_prefix().with_keys_only().with_revision(revision);
    let answer = client.get(prefix.as_str(), Some(options)).await.map_err(|error| error.to_string())?;
    let name = |key: &[u8]| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    Ok(answer.kvs().iter().map(|pair| (name(pair.key()), pair.mod_revision())).collect())
}

fn differences(shown: &Objects, found: &Objects) -> Vec<String> {
    let mut told: Vec<String> = shown
        .iter()
        .filter_map(|(name, revision)| match found.get(name) {
            None => Some(format!("{name} of revision {revision} is missing")),
            Some(other) if other != revision => {
                Some(format!("{name} is of revision {other}, the API says {revision}"))
            }
            Some(_) => None,
        })
        .collect();
    let hidden = found.keys().filter(|name| !shown.contains_key(*name));
    told.extend(hidden.map(|name| format!("the API does not show {name}")));
    told.truncate(TOLD);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(pairs: &[(&str, i64)]) -> Objects {
        pairs.iter().map(|(name, revision)| ((*name).to_owned(), *revision)).collect()
    }

    #[test]
    fn what_is_lost_is_older_or_hidden_differs() {
        let shown = objects(&[("a", 5), ("b", 6), ("c", 7)]);
        assert_eq!(differences(&shown, &shown), [""; 0]);
        assert_eq!(
            differences(&shown, &objects(&[("a", 5), ("b", 4), ("d", 8)])),
            ["b is of revision 4, the API says 6", "c of revision 7 is missing", "the API does not show d"]
        );
    }
}
