//! The version of each API server that serves, asked at /version with a client certificate.
//! Refuses to count who does not answer: it serves nobody, and its own start will tell.

use std::time::Duration;

use component_flags::Release;
use mutual_tls::TlsFiles;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::{ApiServer, ServingApiServers};

/// What those said that were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredVersions {
    /// Who answered, in order, with the version.
    pub answered: Vec<(String, Release)>,
    /// How many did not answer.
    pub silent: usize,
}

#[derive(Deserialize)]
struct VersionDocument {
    #[serde(rename = "gitVersion")]
    git_version: String,
}

impl ServingApiServers {
    /// Asks all of them at once, each for at most `limit`; the error says why nobody can be asked, or who says something
    /// that is no version.
    pub async fn versions(&self, files: &TlsFiles, limit: Duration) -> Result<AnsweredVersions, String> {
        self.ask_all(files, limit, false).await
    }

    /// The same of those that are ready. The others serve nobody yet, or nobody new any more: they count as silent.
    pub async fn versions_of_ready(
        &self,
        files: &TlsFiles,
        limit: Duration,
    ) -> Result<AnsweredVersions, String> {
        self.ask_all(files, limit, true).await
    }

    async fn ask_all(
        &self,
        files: &TlsFiles,
        limit: Duration,
        only_ready: bool,
    ) -> Result<AnsweredVersions, String> {
        let servers = self.now().await?;
        let asked_of = servers.len();
        let mut asked = JoinSet::new();
        for server in servers {
            let files = files.clone();
            asked.spawn(async move {
                let client = server.client(&files, limit).ok()?;
                if only_ready {
                    answered(&client, &server, "/readyz").await?;
                }
                let answer = version(&client, &server).await?;
                Some((server.described(), answer))
            });
        }
        let mut answered = Vec::new();
        while let Some(finished) = asked.join_next().await {
            if let Ok(Some((server, answer))) = finished {
                answered.push((server, answer?));
            }
        }
        answered.sort();
        Ok(AnsweredVersions { silent: asked_of - answered.len(), answered })
    }
}

/// None when it does not answer, or not well.
async fn answered(client: &reqwest::Client, server: &ApiServer, path: &str) -> Option<reqwest::Response> {
    let response = client.get(format!("{}{path}", server.url())).send().await.ok()?;
    response.status().is_success().then_some(response)
}

/// None when it does not answer; an error when what it says is no version.
async fn version(client: &reqwest::Client, server: &ApiServer) -> Option<Result<Release, String>> {
    let response = answered(client, server, "/version").await?;
    let document: VersionDocument = response.json().await.ok()?;
    let version = Release::parse(&document.git_version);
    Some(version.map_err(|error| format!("{}: {error}", server.described())))
}
