//! The record in a `ConfigMap` of the management cluster: made once, changed only as it was read.
//! Refuses to overwrite what it cannot read, and to give the object an owner: it is kept when a release goes.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use management_api::{ManagementApi, create_only, find, replace};
use naming_contract::labels::recommended;
use naming_contract::objects::CLUSTER_RECORD_KEY;
use naming_contract::{Component, ReleaseObjects};

use crate::{ClusterRecord, Creation, RecordError, random_identifier};

/// A record in one `ConfigMap`.
#[derive(Debug, Clone)]
pub struct ConfigMapRecord {
    api: ManagementApi,
    name: String,
    /// Differs from process to process: two that create at once must not overwrite each other.
    creator: String,
}

impl ConfigMapRecord {
    /// The record in the `ConfigMap` called `name`; nobody is asked yet.
    #[must_use]
    pub fn new(api: ManagementApi, name: &str) -> Self {
        Self { api, name: name.to_owned(), creator: format!("etcd-supervisor-{}", random_identifier()) }
    }

    /// Where it lies, for people.
    pub(crate) fn origin(&self) -> String {
        format!("ConfigMap {}/{}", self.api.namespace(), self.name)
    }

    pub(crate) async fn read(&self) -> Result<Option<ClusterRecord>, RecordError> {
        match find::<ConfigMap>(&self.api, &self.name).await? {
            Some(map) => self.parse(&map).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn create(&self, record: &ClusterRecord) -> Result<Creation, RecordError> {
        // Applied over one of our own it would begin again with another token.
        if self.read().await?.is_some() {
            return Ok(Creation::AlreadyThere);
        }
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.api.namespace().to_owned()),
            labels: Some(recommended(
                ReleaseObjects::of_cluster_record(&self.name).as_ref(),
                Component::Etcd,
            )),
            ..ObjectMeta::default()
        };
        let map = self.with(ConfigMap { metadata, ..ConfigMap::default() }, record)?;
        Ok(match create_only(&self.api, &self.creator, &map).await? {
            management_api::Creation::Created => Creation::Created,
            management_api::Creation::AlreadyThere => Creation::AlreadyThere,
        })
    }

    /// Whether the record was still at `expected` and is replaced now.
    pub(crate) async fn replace(&self, expected: u64, record: &ClusterRecord) -> Result<bool, RecordError> {
        let Some(map) = find::<ConfigMap>(&self.api, &self.name).await? else {
            return Err(RecordError::Missing { origin: self.origin() });
        };
        if self.parse(&map)?.version != expected {
            return Ok(false);
        }
        // The object carries the resource version that was read: whoever wrote in between makes this a conflict.
        match replace(&self.api, &self.with(map, record)?).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(&self, map: &ConfigMap) -> Result<ClusterRecord, RecordError> {
        let text = map.data.as_ref().and_then(|data| data.get(CLUSTER_RECORD_KEY));
        let text = text.ok_or_else(|| RecordError::Foreign {
            origin: self.origin(),
            why: format!("it has no key {CLUSTER_RECORD_KEY}"),
        })?;
        ClusterRecord::parse(text.as_bytes(), &self.origin())
    }

    fn with(&self, mut map: ConfigMap, record: &ClusterRecord) -> Result<ConfigMap, RecordError> {
        let text = record.render(&self.origin())?;
        map.data.get_or_insert_default().insert(CLUSTER_RECORD_KEY.to_owned(), text);
        Ok(map)
    }
}
