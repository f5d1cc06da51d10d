//! The record in a `ConfigMap` of the management cluster, one key that people can read.
//! Refuses to overwrite what it cannot read, and to give the object an owner: it is kept when a release goes.

use std::collections::BTreeMap;

use component_flags::Release;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use management_api::{Creation, ManagementApi, create_only, find, replace};
use naming_contract::labels::recommended;
use naming_contract::objects::VERSION_RECORD_KEY;
use naming_contract::{Component, ReleaseObjects};

use crate::VersionRecordError;

/// A record in one `ConfigMap`.
#[derive(Debug, Clone)]
pub struct ConfigMapVersionRecord {
    api: ManagementApi,
    name: String,
    /// Differs from process to process: two that create at once must not overwrite each other.
    creator: String,
}

impl ConfigMapVersionRecord {
    /// The record in the `ConfigMap` called `name`; nobody is asked yet.
    #[must_use]
    pub fn new(api: ManagementApi, name: &str) -> Self {
        let creator = format!("apiserver-supervisor-{:032x}", rand::random::<u128>());
        Self { api, name: name.to_owned(), creator }
    }

    pub(crate) fn origin(&self) -> String {
        format!("ConfigMap {}/{}", self.api.namespace(), self.name)
    }

    pub(crate) async fn read(&self) -> Result<Option<Release>, VersionRecordError> {
        match find::<ConfigMap>(&self.api, &self.name).await? {
            Some(map) => self.version(&map).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn raise(&self, to: Release) -> Result<bool, VersionRecordError> {
        let Some(mut map) = find::<ConfigMap>(&self.api, &self.name).await? else {
            return Ok(create_only(&self.api, &self.creator, &self.first(to)).await? == Creation::Created);
        };
        if self.version(&map)? >= to {
            return Ok(true);
        }
        map.data.get_or_insert_default().insert(VERSION_RECORD_KEY.to_owned(), to.to_string());
        match replace(&self.api, &map).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn first(&self, version: Release) -> ConfigMap {
        let release = ReleaseObjects::of_version_record(&self.name);
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.api.namespace().to_owned()),
            labels: Some(recommended(release.as_ref(), Component::KubeApiserver)),
            ..ObjectMeta::default()
        };
        let data = BTreeMap::from([(VERSION_RECORD_KEY.to_owned(), version.to_string())]);
        ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
    }

    fn version(&self, map: &ConfigMap) -> Result<Release, VersionRecordError> {
        let text = map.data.as_ref().and_then(|data| data.get(VERSION_RECORD_KEY));
        let text = text
            .ok_or_else(|| VersionRecordError::Foreign { origin: self.origin(), key: VERSION_RECORD_KEY })?;
        Release::parse(text).map_err(|source| VersionRecordError::Version { origin: self.origin(), source })
    }
}
