//! The state of every instance, asked of each supervisor at once, whoever runs it.
//! Refuses to wait: who does not answer within a second is told to be unresponsive or absent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use health_endpoints::{CertificateStatus, HealthClient, HealthClientError, StatusDocument};
use naming_contract::Component;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::paths::{SELF, StatePaths};
use crate::pid_file::PidFile;
use crate::plan::{Instance, Plan};

/// One instance as `pilothouse status -o json` tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// The instance's name, which is also its hostname.
    pub name: String,
    /// What it runs.
    pub component: Component,
    /// The supervisor's state; `Unresponsive` if it does not answer, `Absent` if it does not run.
    pub state: String,
    /// Whether it serves its purpose now.
    pub ready: bool,
    /// Why it is in this state, or why it is not ready.
    pub reason: String,
    /// Since when it is in this state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// What its present wait last saw.
    pub last_observation: Option<String>,
    /// Whether it leads; null where nobody leads.
    pub leader: Option<bool>,
    /// The child's process id.
    pub pid: Option<u32>,
    /// The supervisor's process id.
    pub supervisor_pid: Option<u32>,
    /// How often the child was started again in its supervisor's life.
    pub restarts: u32,
    /// How often the supervisor was started again since `up`.
    pub supervisor_restarts: u32,
    /// The base URL of its health endpoints.
    pub endpoint: String,
    /// An etcd member's data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_directory: Option<PathBuf>,
    /// The leaves it holds.
    pub certificates: Vec<CertificateStatus>,
    /// Generation in use of each shared key set.
    pub key_generations: BTreeMap<String, u64>,
    /// What only this component knows.
    pub details: BTreeMap<String, String>,
}

/// A client with the limits of a status question.
pub(crate) fn health_client() -> Result<HealthClient, HealthClientError> {
    HealthClient::new(crate::probes::ANSWER_LIMIT)
}

/// Asks every supervisor of the plan, all at once.
pub async fn gather(plan: &Plan, paths: &StatePaths) -> Result<Vec<InstanceStatus>, HealthClientError> {
    let client = health_client()?;
    let mut questions = JoinSet::new();
    for (place, instance) in plan.instances.iter().enumerate() {
        let (client, url) = (client.clone(), instance.health_url());
        questions.spawn(async move { (place, client.status(&url).await.ok()) });
    }
    let mut documents: BTreeMap<usize, StatusDocument> = BTreeMap::new();
    while let Some(answer) = questions.join_next().await {
        if let Ok((place, Some(document))) = answer {
            documents.insert(place, document);
        }
    }
    let keeper_lives = PidFile::read_living(paths, SELF).is_some();
    let statuses = plan.instances.iter().enumerate().map(|(place, instance)| {
        // Another process on our port tells of another instance.
        let document = documents.remove(&place).filter(|document| document.name == instance.name);
        let pid_file = PidFile::read_living(paths, &instance.name);
        status(instance, document, pid_file.as_ref(), keeper_lives)
    });
    Ok(statuses.collect())
}

fn status(
    instance: &Instance,
    document: Option<StatusDocument>,
    pid_file: Option<&PidFile>,
    keeper_lives: bool,
) -> InstanceStatus {
    let mut status = InstanceStatus {
        name: instance.name.clone(),
        component: instance.component,
        state: String::new(),
        ready: false,
        reason: String::new(),
        since: None,
        last_observation: None,
        leader: None,
        pid: None,
        supervisor_pid: pid_file.map(|file| file.process.pid),
        restarts: 0,
        supervisor_restarts: pid_file.map_or(0, |file| file.restarts),
        endpoint: instance.health_url(),
        data_directory: instance.data_directory.clone(),
        certificates: Vec::new(),
        key_generations: BTreeMap::new(),
        details: BTreeMap::new(),
    };
    let Some(document) = document else {
        let (state, reason) = match (pid_file, keeper_lives) {
            (Some(_), _) => ("Unresponsive", "its health endpoints do not answer"),
            (None, true) => ("Absent", "the supervisor does not run; pilothouse starts it again"),
            (None, false) => ("Absent", "pilothouse does not run; `pilothouse up` starts it"),
        };
        (status.state, status.reason) = (state.to_owned(), reason.to_owned());
        return status;
    };
    status.leader = document.details.get("leader").map(|leads| leads == "true");
    status.state = document.state.to_string();
    status.ready = document.ready;
    status.reason = if document.ready || document.not_ready_because.is_empty() {
        document.reason
    } else {
        document.not_ready_because
    };
    status.since = Some(document.since);
    status.last_observation = document.last_observation;
    status.pid = document.pid;
    status.supervisor_pid = Some(document.supervisor_pid);
    status.restarts = document.restarts;
    status.certificates = document.certificates;
    status.key_generations = document.key_generations;
    status.details = document.details;
    status
}

#[cfg(test)]
mod tests;
