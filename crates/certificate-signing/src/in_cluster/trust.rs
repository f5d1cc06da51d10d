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
    /// One look at the ConfigMap.
    pub(super) async fn publish(&self, keys: &AuthorityKeys) -> Result<Tended, TendError> {
        let name = self.objects.trust();
        let anchor = self.owner.reference().await?;
        let mut bundles: BTreeMap<String, String> = Authority::ALL
            .into_iter()
            .map(|authority| (authority.bundle().to_owned(), keys.bundle(authority).to_owned()))
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
            Ok(_) if edited => {
                tracing::warn!(config_map = name, "trust bundles were changed and are put back");
            }
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Tended::Written)
    }
}
