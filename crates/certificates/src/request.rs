//! Asking the certificate-authority: makes keys and CSRs, sends CSRs only, reads the answers.
//! Refuses to retry and to store; a key that it made leaves it only to its caller.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use durable_files::{FileError, read_limited, read_mounted_secret};
use mutual_tls::TlsError;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::store::FILE_LIMIT;
use crate::wire::{
    IssuedCertificate, KNOWN_GENERATION, LeafPreview, Refusal, SharedKeys, certificate_path, shared_keys_path,
};
use crate::{Profile, SharedKeySet};

/// An answer takes milliseconds; this is for a machine that just starts a whole control plane on two cores.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// No token of any kind is longer, in bytes.
const TOKEN_LIMIT: u64 = 16 * 1024;

/// Speaks to the certificate-authority as one caller. Reads token and bundle anew for each request.
#[derive(Debug)]
pub struct AuthorityClient {
    url: String,
    caller_token_file: PathBuf,
    cluster_bundle: PathBuf,
    /// The client and the bundle it was made with: it is rebuilt when the bundle changes.
    client: Mutex<Option<(Vec<u8>, reqwest::Client)>>,
}

/// A leaf and the key that was made for it.
pub struct FreshLeaf {
    /// PEM chain.
    pub certificate_pem: String,
    /// PEM private key, PKCS#8.
    pub key_pem: String,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
}

/// Why there is no answer, or not the one wanted.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The caller token or the trust bundle cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The trust bundle cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A key or CSR could not be made.
    #[error("cannot make a key for {profile}")]
    Key {
        /// For which leaf.
        profile: Profile,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// No answer.
    #[error("no answer from the certificate-authority at {url}")]
    Unreachable {
        /// The request's URL.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A refusal.
    #[error("the certificate-authority refuses ({status}): {error}; {remedy}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What is wrong.
        error: String,
        /// What to do.
        remedy: String,
    },
    /// Not an answer of a certificate-authority.
    #[error(
        "{url} answers {status} with something else than a certificate-authority does; is --authority-url right?"
    )]
    Foreign {
        /// The request's URL.
        url: String,
        /// HTTP status.
        status: u16,
    },
}

impl AuthorityClient {
    /// A client of the authority at `url` (https), which proves itself by the token in `caller_token_file` (0600) and
    /// trusts `cluster_bundle`.
    #[must_use]
    pub fn new(url: &str, caller_token_file: impl Into<PathBuf>, cluster_bundle: impl Into<PathBuf>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            caller_token_file: caller_token_file.into(),
            cluster_bundle: cluster_bundle.into(),
            client: Mutex::new(None),
        }
    }

    /// Makes a key and asks for a leaf of `profile` for it.
    pub async fn issue(&self, profile: Profile) -> Result<FreshLeaf, RequestError> {
        let (key, request) = key_and_request().map_err(|source| RequestError::Key { profile, source })?;
        let path = certificate_path(profile);
        let issued: IssuedCertificate = self.ask(Method::POST, &path, Some(request)).await?;
        Ok(FreshLeaf {
            certificate_pem: issued.certificate,
            key_pem: key.serialize_pem(),
            not_before: issued.not_before,
            not_after: issued.not_after,
        })
    }

    /// Asks what a leaf of `profile` would hold now.
    pub async fn preview(&self, profile: Profile) -> Result<LeafPreview, RequestError> {
        self.ask(Method::GET, &certificate_path(profile), None).await
    }

    /// Asks for the present generation of a shared key set; none when it is the one that is `known`.
    pub async fn shared_keys(
        &self,
        set: SharedKeySet,
        known: Option<u64>,
    ) -> Result<Option<SharedKeys>, RequestError> {
        let path = shared_keys_path(set);
        let path = known
            .map_or_else(|| path.clone(), |generation| format!("{path}?{KNOWN_GENERATION}={generation}"));
        self.ask_for_news(Method::GET, &path, None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, RequestError> {
        let status = StatusCode::NOT_MODIFIED.as_u16();
        let news = self.ask_for_news(method, path, body).await?;
        news.ok_or_else(|| RequestError::Foreign { url: format!("{}{path}", self.url), status })
    }

    /// None when the answer is that nothing changed.
    async fn ask_for_news<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Option<T>, RequestError> {
        let url = format!("{}{path}", self.url);
        let token = read_mounted_secret(&self.caller_token_file, TOKEN_LIMIT)?;
        let mut request = self
            .http_client()?
            .request(method, &url)
            .bearer_auth(String::from_utf8_lossy(&token).trim())
            .header("accept", "application/json");
        if let Some(body) = body {
            request = request.header("content-type", "application/x-pem-file").body(body);
        }
        let unreachable = |source| RequestError::Unreachable { url: url.clone(), source };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        let foreign = |_| RequestError::Foreign { url: url.clone(), status: status.as_u16() };
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map(Some).map_err(foreign),
            StatusCode::NOT_MODIFIED => Ok(None),
            _ => {
                let Refusal { error, remedy } = serde_json::from_slice(&body).map_err(foreign)?;
                Err(RequestError::Refused { status: status.as_u16(), error, remedy })
            }
        }
    }

    fn http_client(&self) -> Result<reqwest::Client, RequestError> {
        let bundle = read_limited(&self.cluster_bundle, FILE_LIMIT)?;
        let mut cached = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, client)) = cached.as_ref()
            && *made_with == bundle
        {
            return Ok(client.clone());
        }
        let client = mutual_tls::http_client(&self.cluster_bundle, None, ANSWER_LIMIT)?;
        *cached = Some((bundle, client.clone()));
        Ok(client)
    }
}

/// A P-256 key and a CSR with an empty subject: the authority alone decides what a leaf holds.
fn key_and_request() -> Result<(KeyPair, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(&key)?.pem()?;
    Ok((key, request))
}

impl RequestError {
    /// The error with its causes in one line, and what to look at when only a cause tells.
    #[must_use]
    pub fn explained(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        if text.contains("NotValidYet") || text.contains("not valid yet") || text.contains("xpired") {
            text.push_str("; is this machine's clock right?");
        }
        text
    }
}

impl fmt::Debug for FreshLeaf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FreshLeaf")
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
