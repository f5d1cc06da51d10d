//! Whose tokens count: those of the issuer that the management cluster publishes, and of those that it published before. Pure.
//! Refuses what an earlier issuer made after it was replaced.

use time::OffsetDateTime;

use super::claims::Claims;
use super::decision::LEEWAY;

/// A cluster changes its issuer once in years; API servers of which only some have been told may take turns.
const REMEMBERED: usize = 4;

/// The issuers that were published while this process ran.
///
/// kube-apiserver accepts tokens of each `--service-account-issuer`, but publishes only the first, which makes new ones. After a
/// change the Pods that run show tokens of the one before, until kubelet replaces them: those of the chart after 48 min of their
/// hour. What was published before this process began nobody tells us: without a right to ask for a token's review such a Pod is
/// refused until then, and asks again.
#[derive(Debug, Clone, Default)]
pub(super) struct Issuers {
    present: String,
    /// Names, and until when each may have made tokens; the latest last.
    earlier: Vec<(String, OffsetDateTime)>,
}

impl Issuers {
    pub(super) fn of(present: String) -> Self {
        Self { present, earlier: Vec::new() }
    }

    /// At `now` this one is published.
    #[must_use]
    pub(super) fn then(mut self, published: String, now: OffsetDateTime) -> Self {
        if published == self.present {
            return self;
        }
        self.earlier.retain(|(name, _)| *name != published && *name != self.present);
        self.earlier.push((std::mem::replace(&mut self.present, published), now));
        let too_many = self.earlier.len().saturating_sub(REMEMBERED);
        self.earlier.drain(..too_many);
        self
    }

    /// The one that is published.
    pub(super) fn present(&self) -> &str {
        &self.present
    }

    /// Whether the token is one of theirs, by what it says of itself.
    pub(super) fn made(&self, claims: &Claims) -> bool {
        let in_time = |until: OffsetDateTime| claims.not_before <= until.unix_timestamp() + LEEWAY;
        claims.issuer == self.present
            || self.earlier.iter().any(|(name, until)| *name == claims.issuer && in_time(*until))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
    }

    fn made(issuers: &Issuers, issuer: &str, not_before: i64) -> bool {
        let account = json!({ "name": "demo-etcd", "uid": "1" });
        let claims = json!({
            "iss": issuer, "sub": "s", "aud": "a", "exp": not_before + 3600, "nbf": not_before,
            "kubernetes.io": { "namespace": "n", "serviceaccount": account },
        });
        issuers.made(&serde_json::from_value(claims).unwrap())
    }

    #[test]
    fn an_earlier_issuer_counts_for_tokens_that_it_made_in_its_time() {
        let issuers = Issuers::of("old".to_owned()).then("old".to_owned(), at(500));
        assert!(made(&issuers, "old", 9_000) && !made(&issuers, "new", 9_000));
        let issuers = issuers.then("new".to_owned(), at(1_000));
        assert_eq!(issuers.present(), "new");
        assert!(made(&issuers, "new", 900) && made(&issuers, "old", 900) && made(&issuers, "old", 1_060));
        assert!(!made(&issuers, "old", 1_061) && !made(&issuers, "other", 900));
        // API servers that have not been told yet answer in turn with those that have.
        let issuers = issuers.then("old".to_owned(), at(2_000)).then("new".to_owned(), at(3_000));
        assert!(
            made(&issuers, "old", 3_000) && made(&issuers, "new", 9_000) && !made(&issuers, "old", 3_061)
        );
    }

    #[test]
    fn only_the_last_few_are_remembered() {
        let issuers = (0..9).fold(Issuers::of("first".to_owned()), |issuers, number| {
            issuers.then(number.to_string(), at(1_000 + number))
        });
        let counts: Vec<bool> =
            ["first", "3", "4", "7", "8"].iter().map(|name| made(&issuers, name, 500)).collect();
        assert_eq!(counts, [false, false, true, true, true]);
    }
}
