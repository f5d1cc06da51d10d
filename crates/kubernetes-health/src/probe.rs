//! One health endpoint, asked again and again. A request that is slower than its asker stays under way.
//! Refuses to pile up requests: there is never more than one under way.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use mutual_tls::http_client;
use tokio::task::JoinHandle;

use crate::HealthAnswer;

/// Longest a request may take; each of kube-apiserver's two checks of etcd takes 2 s to fail, one after the other.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// A health endpoint behind TLS; health endpoints need no client certificate.
#[derive(Debug)]
pub struct HealthProbe {
    url: String,
    authority: PathBuf,
    client: RefCell<Option<reqwest::Client>>,
    under_way: RefCell<Option<UnderWay>>,
}

#[derive(Debug)]
struct UnderWay(JoinHandle<HealthAnswer>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HealthProbe {
    /// The endpoint at `url`, whose certificate is checked with the bundle in `authority`.
    #[must_use]
    pub fn new(url: String, authority: PathBuf) -> Self {
        Self { url, authority, client: RefCell::new(None), under_way: RefCell::new(None) }
    }

    /// Asks, or goes on waiting for the answer of an earlier look, for as long as `patience`; none if there is no
    /// answer yet. Dropping the future loses at most one answer.
    pub async fn look(&self, patience: Duration) -> Option<HealthAnswer> {
        let earlier = self.under_way.borrow_mut().take();
        let mut under_way = match earlier {
            Some(under_way) => under_way,
            None => match self.ask() {
                Ok(under_way) => under_way,
                Err(answer) => return Some(answer),
            },
        };
        match tokio::time::timeout(patience, &mut under_way.0).await {
            Ok(Ok(answer)) => {
                if matches!(answer, HealthAnswer::None(_)) {
                    // The bundle may have changed since this client was made.
                    self.client.borrow_mut().take();
                }
                Some(answer)
            }
            Ok(Err(_ended)) => Some(HealthAnswer::None("the request was abandoned".to_owned())),
            Err(_elapsed) => {
                *self.under_way.borrow_mut() = Some(under_way);
                None
            }
        }
    }

    /// Forgets a request under way, which was for a child that is gone, and the bundle: the next child may show a certificate of
    /// another CA.
    pub fn forget(&self) {
        self.under_way.borrow_mut().take();
        self.client.borrow_mut().take();
    }

    fn ask(&self) -> Result<UnderWay, HealthAnswer> {
        let client = self.client()?;
        let request = client.get(&self.url);
        Ok(UnderWay(tokio::spawn(async move {
            match request.send().await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    HealthAnswer::read(status, &response.text().await.unwrap_or_default())
                }
                Err(error) => HealthAnswer::None(why_no_answer(&error)),
            }
        })))
    }

    fn client(&self) -> Result<reqwest::Client, HealthAnswer> {
        let mut cached = self.client.borrow_mut();
        if let Some(client) = &*cached {
            return Ok(client.clone());
        }
        let client = http_client(&self.authority, None, REQUEST_LIMIT)
            .map_err(|error| HealthAnswer::None(telemetry::error_chain(&error)))?;
        Ok(cached.insert(client).clone())
    }
}

/// Why a request got no answer, in few words: reqwest's own text begins with the URL and hides the cause behind it.
#[must_use]
pub fn why_no_answer(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    told_cause(&cause.to_string())
}

/// rustls explains an abrupt end with a link, which people who wait for a component do not need.
fn told_cause(cause: &str) -> String {
    if cause.contains("close_notify") {
        "the connection was cut".to_owned()
    } else {
        format!("no answer: {cause}")
    }
}
