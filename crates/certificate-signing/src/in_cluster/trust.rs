//! The trust bundles in their ConfigMap, put back when somebody deletes or edits it.
//! Refuses to publish anything but certificates.

use std::collections::BTreeMap;

use certificates::Authority;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use management_api::{create_only, find, replace};
use naming_contract::labels::recommended;
use naming_contract::{Component, files};

use super::Release;
use super::tend::{TendError, Tended};
use crate::AuthorityKeys;

impl Release {
    /// Whether what is published is what this replica knows: it must not put back what another one has replaced, nor be the
    /// first to show a CA.
    pub(super) async fn is_in_step(&self) -> Result<bool, TendError> {
        let published = find::<ConfigMap>(&self.api, &self.objects.trust()).await?;
        let told = published.and_then(|map| map.data?.remove(files::GENERATIONS)).unwrap_or_default();
        let known = self.published.borrow();
        Ok(!known.is_behind(told.as_bytes()) && !known.is_ahead_of(told.as_bytes()))
    }

    /// One look at the ConfigMap.
    pub(super) async fn publish(&self, keys: &AuthorityKeys) -> Result<Tended, TendError> {
        let name = self.objects.trust();
        let anchor = self.owner.reference().await?;
        let mut bundles: BTreeMap<String, String> = Authority::ALL
            .into_iter()
            .map(|authority| (authority.bundle().to_owned(), keys.bundle(authority)))
            .collect();
        bundles.insert(files::GENERATIONS.to_owned(), self.published.borrow().rendered());
        let Some(mut present) = find::<ConfigMap>(&self.api, &name).await? else {
            let mut metadata = ObjectMeta {
                name: Some(name.clone()),
                labels: Some(recommended(Some(&self.objects), Component::CertificateAuthority)),
                ..ObjectMeta::default()
            };
            self.owner.apply(&mut metadata, anchor.as_ref());
            let fresh = ConfigMap { metadata, data: Some(bundles), ..ConfigMap::default() };
            let creation = create_only(&self.api, &self.creator, &fresh).await?;
            tracing::info!(config_map = name, ?creation, "trust bundles published");
            return Ok(Tended::Written);
        };
        let behind = present.data.as_ref().and_then(|data| data.get(files::GENERATIONS));
        // Another replica stored a stage that this one has yet to read: the bundles are right, and ours are not.
        if behind.is_some_and(|told| self.published.borrow().is_behind(told.as_bytes())) {
            return Ok(Tended::LookAgain);
        }
        let told = present.data.as_mut().and_then(|data| data.get_mut(files::GENERATIONS));
        // Another replica may know more; it told in its time. Numbers are no reason to warn anybody.
        let news = told.as_ref().is_none_or(|told| self.published.borrow().is_ahead_of(told.as_bytes()));
        match told {
            Some(told) if !news => bundles.insert(files::GENERATIONS.to_owned(), told.clone()),
            Some(told) => Some(std::mem::replace(told, self.published.borrow().rendered())),
            None => None,
        };
        let edited = present.data.as_ref() != Some(&bundles) || present.binary_data.is_some();
        if !self.owner.apply(&mut present.metadata, anchor.as_ref()) && !edited && !news {
            return Ok(Tended::Right);
        }
        present.data = Some(bundles);
        present.binary_data = None;
        match replace(&self.api, &present).await {
            Ok(_) if edited && !news => {
                tracing::warn!(config_map = name, "trust bundles were changed and are put back");
            }
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Tended::Written)
    }
}
