//! The API: proves the caller, checks what it may have, signs or hands out, logs one line for each.
//! Refuses to log tokens, keys or CSRs.

use std::cell::RefCell;
use std::rc::Rc;

use caller_identity::{Caller, IdentifyCaller, RateLimit, Unidentified};
use certificates::{KNOWN_GENERATION, Profile, SharedKeySet, may_have, may_have_keys};
use http::{Method, StatusCode, header};
use http_serving::{Request, Response};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::answer::{answer, nothing_new, refuse};
use crate::csr::{CsrError, public_key};
use crate::issuing::{IssueError, Issuing};

/// Answers requests to the certificate-authority. Cheap to clone.
#[derive(Debug)]
pub struct SigningService<I> {
    inner: Rc<Inner<I>>,
}

#[derive(Debug)]
struct Inner<I> {
    identify: I,
    issuing: Rc<Issuing>,
    clock: fn() -> OffsetDateTime,
    rate: RefCell<RateLimit>,
    began: Instant,
}

/// A refusal on its way out: what the caller is told, and what the log is told besides.
struct Refused {
    status: StatusCode,
    error: String,
    remedy: &'static str,
    /// For the log alone.
    logged: String,
}

impl<I> Clone for SigningService<I> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<I: IdentifyCaller> SigningService<I> {
    /// A service that proves callers by `identify` and reads the time from `clock`.
    pub fn new(identify: I, issuing: Rc<Issuing>, clock: fn() -> OffsetDateTime) -> Self {
        let rate = RefCell::default();
        Self { inner: Rc::new(Inner { identify, issuing, clock, rate, began: Instant::now() }) }
    }

    /// Answers one request.
    pub async fn handle(self, request: Request) -> Response {
        let caller = match self.caller(&request).await {
            Ok(caller) => caller,
            Err(refused) => return refused.told(&request, None),
        };
        match self.serve(&request, &caller) {
            Ok(response) => response,
            Err(refused) => refused.told(&request, Some(&caller)),
        }
    }

    async fn caller(&self, request: &Request) -> Result<Caller, Refused> {
        let bearer = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(bearer) = bearer.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(refused(
                StatusCode::UNAUTHORIZED,
                "there is no bearer token",
                "send one as Authorization: Bearer",
            ));
        };
        let now = (self.inner.clock)();
        let caller = self.inner.identify.identify(bearer, now).await.map_err(not_identified)?;
        if self.inner.rate.borrow_mut().allows(&caller.instance, self.inner.began.elapsed()) {
            Ok(caller)
        } else {
            Err(not_identified(Unidentified::TooOften { instance: caller.instance }))
        }
    }

    fn serve(&self, request: &Request, caller: &Caller) -> Result<Response, Refused> {
        let segments: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (segments.as_slice(), &request.method) {
            (["v1", "certificates", name], &Method::POST) => self.issue(name, request, caller),
            (["v1", "certificates", name], &Method::GET) => self.preview(name, caller),
            (["v1", "shared-keys", name], &Method::GET) => self.hand_out(name, request, caller),
            (["v1", "certificates" | "shared-keys", _], _) => Err(refused(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{} is not possible here", request.method),
                "GET it; POST a CSR",
            )),
            _ => Err(refused(
                StatusCode::NOT_FOUND,
                "there is nothing here",
                "ask for /v1/certificates/… or /v1/shared-keys/…",
            )),
        }
    }

    /// What was read long ago may be a CA that is replaced by now, or a key that nobody knows any more.
    fn refuse_stale(&self) -> Result<(), Refused> {
        if !self.inner.issuing.keys().are_stale() {
            return Ok(());
        }
        Err(refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "this replica cannot tell whether its keys are those that are stored",
            "ask again later; the certificate-authority's log and /statusz say what is missing",
        ))
    }

    fn issue(&self, name: &str, request: &Request, caller: &Caller) -> Result<Response, Refused> {
        let profile = entitled_profile(name, caller)?;
        let preview =
            self.inner.issuing.preview(profile, caller.requester()).map_err(|error| not_issued(&error))?;
        let key = public_key(&request.body, &preview.contents).map_err(|error| match error {
            CsrError::AsksForMore(_) => refused(
                StatusCode::FORBIDDEN,
                error.to_string(),
                "send a CSR with an empty subject and no extensions",
            ),
            CsrError::Malformed(_) | CsrError::Key => refused(
                StatusCode::BAD_REQUEST,
                error.to_string(),
                "send one PEM block CERTIFICATE REQUEST for a P-256 key",
            ),
        })?;
        self.refuse_stale()?;
        let now = (self.inner.clock)();
        let issued = self
            .inner
            .issuing
            .issue(profile, &preview.contents, &key, now)
            .map_err(|error| not_issued(&error))?;
        tracing::info!(
            %profile, instance = caller.instance, component = %caller.component, not_after = %issued.not_after,
            "certificate issued"
        );
        Ok(answer(&issued))
    }

    fn preview(&self, name: &str, caller: &Caller) -> Result<Response, Refused> {
        let profile = entitled_profile(name, caller)?;
        let preview =
            self.inner.issuing.preview(profile, caller.requester()).map_err(|error| not_issued(&error))?;
        Ok(answer(&preview))
    }

    fn hand_out(&self, name: &str, request: &Request, caller: &Caller) -> Result<Response, Refused> {
        let set: SharedKeySet = name.parse().map_err(|error| refused_text(StatusCode::NOT_FOUND, &error))?;
        if !may_have_keys(caller.component, set) {
            return Err(refused(
                StatusCode::FORBIDDEN,
                format!("{} may not have the {set} keys", caller.component),
                NOT_ENTITLED_REMEDY,
            ));
        }
        self.refuse_stale()?;
        let Some(keys) = self.inner.issuing.keys().shared(set) else {
            return Err(refused(StatusCode::NOT_FOUND, format!("there are no {set} keys"), "report this"));
        };
        let known = request
            .query
            .as_deref()
            .and_then(|query| query.strip_prefix(KNOWN_GENERATION)?.strip_prefix('='));
        if known == Some(keys.generation.to_string().as_str()) {
            return Ok(nothing_new());
        }
        tracing::info!(%set, generation = keys.generation, instance = caller.instance, component = %caller.component, "shared keys handed out");
        Ok(answer(&keys))
    }
}

const UNKNOWN_REMEDY: &str =
    "the token must be of a caller of this control plane; is --caller-token-file right?";
const POD_REMEDY: &str =
    "show the token that kubelet mounts into a Pod of this release, as it is in the file now";
const EXPIRED_REMEDY: &str =
    "the token must be renewed by whoever made it; is it still running, and are the clocks right?";
const NOT_ENTITLED_REMEDY: &str = "ask with the identity of the component that needs it";

fn entitled_profile(name: &str, caller: &Caller) -> Result<Profile, Refused> {
    let profile: Profile = name.parse().map_err(|error| refused_text(StatusCode::NOT_FOUND, &error))?;
    if may_have(caller.component, profile) {
        Ok(profile)
    } else {
        Err(refused(
            StatusCode::FORBIDDEN,
            format!("{} may not have a {profile} certificate", caller.component),
            NOT_ENTITLED_REMEDY,
        ))
    }
}

fn not_identified(error: Unidentified) -> Refused {
    match error {
        Unidentified::Unavailable(cause) => Refused {
            logged: telemetry::error_chain(cause.as_ref()),
            ..refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "callers cannot be looked up now",
                "ask again later; the certificate-authority's log and /statusz say what is missing",
            )
        },
        Unidentified::Unknown { unusable } => Refused {
            logged: unusable.join("; "),
            ..refused(StatusCode::UNAUTHORIZED, "the token is not known here", UNKNOWN_REMEDY)
        },
        expired @ Unidentified::Expired { .. } => {
            refused(StatusCode::UNAUTHORIZED, expired.to_string(), EXPIRED_REMEDY)
        }
        Unidentified::Refused(why) => refused(StatusCode::UNAUTHORIZED, why.to_string(), POD_REMEDY),
        often @ Unidentified::TooOften { .. } => {
            refused(StatusCode::TOO_MANY_REQUESTS, often.to_string(), "ask again later")
        }
    }
}

fn not_issued(error: &IssueError) -> Refused {
    refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), "see the certificate-authority's log")
}

fn refused(status: StatusCode, error: impl Into<String>, remedy: &'static str) -> Refused {
    Refused { status, error: error.into(), remedy, logged: String::new() }
}

fn refused_text(status: StatusCode, error: &dyn std::error::Error) -> Refused {
    refused(status, error.to_string(), "are supervisor and certificate-authority of the same version?")
}

impl Refused {
    fn told(self, request: &Request, caller: Option<&Caller>) -> Response {
        let instance = caller.map_or("unknown", |caller| caller.instance.as_str());
        tracing::warn!(
            status = self.status.as_u16(), method = %request.method, path = request.path, instance,
            peer = %request.peer, error = self.error, because = (!self.logged.is_empty()).then_some(self.logged), "refused"
        );
        refuse(self.status, self.error, self.remedy)
    }
}
