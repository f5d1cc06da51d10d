//! The state of every instance, asked of each supervisor at once, whoever runs it.
//! Refuses to wait: who does not answer within a second is told to be unresponsive or absent.

use std::collections::BTreeMap;

use health_endpoints::{HealthClient, HealthClientError, StatusDocument};
use instance_status::InstanceStatus;
use tokio::task::JoinSet;

use crate::paths::{SELF, StatePaths};
use crate::pid_file::PidFile;
use crate::plan::{Instance, Plan};

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
    let (state, reason) = match (pid_file, keeper_lives) {
        (Some(_), _) => ("Unresponsive", "its health endpoints do not answer"),
        (None, true) => ("Absent", "the supervisor does not run; pilothouse starts it again"),
        (None, false) => ("Absent", "pilothouse does not run; `pilothouse up` starts it"),
    };
    let known = InstanceStatus {
        supervisor_pid: pid_file.map(|file| file.process.pid),
        supervisor_restarts: pid_file.map_or(0, |file| file.restarts),
        endpoint: Some(instance.health_url()),
        data_directory: instance.data_directory.clone(),
        ..InstanceStatus::new(&instance.name, instance.component, state, reason)
    };
    match document {
        Some(document) => known.told_by(document),
        None => known,
    }
}

#[cfg(test)]
mod tests;
