//! Asks another process' health endpoints, plain HTTP. One client for whoever wants to know: command, peers, replicas.
//! Refuses to wait or to retry: one question, one bounded answer.

use std::time::Duration;

use crate::StatusDocument;

/// A client of health endpoints; cheap to clone.
#[derive(Debug, Clone)]
pub struct HealthClient {
    http: reqwest::Client,
}

/// Why a health endpoint gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HealthClientError {
    /// The client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// Nobody answers, or not in time, or not as we do.
    #[error("no answer from {url}")]
    Unanswered {
        /// What was asked.
        url: String,
        /// What the client says.
        #[source]
        source: reqwest::Error,
    },
}

impl HealthClient {
    /// Each question ends after `limit` at the latest.
    pub fn new(limit: Duration) -> Result<Self, HealthClientError> {
        reqwest::Client::builder()
            // Plain HTTP only. The roots of the system are none of ours, and an image FROM scratch has none.
            .tls_certs_only([])
            .timeout(limit)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map(|http| Self { http })
            .map_err(HealthClientError::Client)
    }

    /// The status document behind `endpoint` (`http://host:port`).
    pub async fn status(&self, endpoint: &str) -> Result<StatusDocument, HealthClientError> {
        let url = url(endpoint, "statusz");
        let unanswered = |source| HealthClientError::Unanswered { url: url.clone(), source };
        let answer = self.http.get(&url).send().await.map_err(unanswered)?;
        answer.json().await.map_err(unanswered)
    }

    /// Whether `/readyz` behind `endpoint` says yes.
    pub async fn is_ready(&self, endpoint: &str) -> bool {
        self.says_yes(endpoint, "readyz").await
    }

    /// Whether `/livez` behind `endpoint` says yes.
    pub async fn is_alive(&self, endpoint: &str) -> bool {
        self.says_yes(endpoint, "livez").await
    }

    async fn says_yes(&self, endpoint: &str, path: &str) -> bool {
        let answer = self.http.get(url(endpoint, path)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

fn url(endpoint: &str, path: &str) -> String {
    format!("{}/{path}", endpoint.trim_end_matches('/'))
}
