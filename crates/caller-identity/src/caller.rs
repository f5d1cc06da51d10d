//! A proven caller and the trait by which one is proven.
//! Refuses to keep the token: it is looked at once and never stored or printed.

use std::future::Future;

use certificates::{LeafName, Requester};
use naming_contract::Component;
use time::OffsetDateTime;

use crate::TokenRefusal;

/// Who asks, as proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What it is.
    pub component: Component,
    /// Which one of them.
    pub instance: String,
    /// Names of its own that its serving certificates carry.
    pub names: Vec<LeafName>,
}

/// Why a bearer token proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// Nobody has this token: forged, of another control plane, or of a caller that was removed. Registry files that
    /// could not be used are named, for the log and not for the caller.
    #[error("the token is not known here{}", unusable_text(unusable))]
    Unknown {
        /// What is wrong with registry files.
        unusable: Vec<String>,
    },
    /// It was good once.
    #[error("the token of {instance} expired at {expired}")]
    Expired {
        /// Whose it is.
        instance: String,
        /// Since when it is over.
        expired: OffsetDateTime,
    },
    /// The token of a Pod does not prove it.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    /// It asks more often than anybody needs to.
    #[error("{instance} asks too often")]
    TooOften {
        /// Who.
        instance: String,
    },
    /// Callers cannot be looked up now.
    #[error("callers cannot be looked up")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Proves callers by their bearer tokens.
pub trait IdentifyCaller {
    /// Whose token `bearer` is at `now`.
    fn identify(
        &self,
        bearer: &str,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Caller, Unidentified>>;
}

impl<I: IdentifyCaller> IdentifyCaller for std::rc::Rc<I> {
    async fn identify(&self, bearer: &str, now: OffsetDateTime) -> Result<Caller, Unidentified> {
        I::identify(self, bearer, now).await
    }
}

impl Caller {
    /// What the profile table needs to know about it.
    #[must_use]
    pub fn requester(&self) -> Requester<'_> {
        Requester { instance: &self.instance, names: &self.names }
    }
}

fn unusable_text(unusable: &[String]) -> String {
    if unusable.is_empty() { String::new() } else { format!("; not considered: {}", unusable.join("; ")) }
}
