//! One leaf as it is kept: what lies on disk, which names it should carry, when the next try may be made.
//! Refuses I/O; the keeper looks, asks and stores.

use std::time::Duration;

use conditions::Backoff;
use health_endpoints::{CertificateStatus, ReloadBehaviour};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::due::{BACKDATED, renew_at};
use crate::{
    CommonName, Expected, LeafFacts, LeafName, Observed, Profile, Reason, Verdict, identities, verdict,
};

/// Tries after a failed renewal: the first soon, later ones up to this long apart.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is known about one leaf while the supervisor runs.
pub(super) struct KeptLeaf {
    pub(super) profile: Profile,
    pub(super) reload: ReloadBehaviour,
    pub(super) observed: Observed,
    pub(super) names: Option<Vec<LeafName>>,
    /// Fingerprint of the CA that signs such leaves now.
    pub(super) signer: Option<String>,
    pub(super) last_failure: Option<String>,
    backoff: Backoff,
    not_before: Instant,
}

impl KeptLeaf {
    pub(super) fn new(profile: Profile, reload: ReloadBehaviour, observed: Observed) -> Self {
        let backoff = backoff(&observed);
        Self {
            profile,
            reload,
            observed,
            names: None,
            signer: None,
            last_failure: None,
            backoff,
            not_before: Instant::now(),
        }
    }

    /// Why a new leaf should be asked for now; none while it is good or a pause after a failure lasts.
    pub(super) fn due(&self, instance: &str, now: OffsetDateTime) -> Option<Reason> {
        if Instant::now() < self.not_before {
            return None;
        }
        let expected = expected(self.profile, instance, self.names.clone());
        match verdict(&self.observed, &Expected { signer: self.signer.clone(), ..expected }, now) {
            Verdict::Good { .. } => None,
            Verdict::Due(reason) | Verdict::Unusable(reason) => Some(reason),
        }
    }

    /// Remembers a failure; true when it is another than the last.
    pub(super) fn failed(&mut self, why: String) -> bool {
        self.not_before = Instant::now() + self.backoff.next_delay();
        let new = self.last_failure.as_ref() != Some(&why);
        self.last_failure = Some(why);
        new
    }

    /// Remembers the new leaf; gives when 80 % of the old one's life is over.
    pub(super) fn replaced(&mut self, facts: LeafFacts) -> Option<OffsetDateTime> {
        let restart_by = match &self.observed {
            Observed::Leaf(old) => {
                let issued = old.not_before + BACKDATED;
                Some(issued + (old.not_after - issued) * 0.8)
            }
            Observed::Missing | Observed::Unreadable(_) => None,
        };
        self.last_failure = None;
        self.observed = Observed::Leaf(facts);
        self.backoff = backoff(&self.observed);
        restart_by
    }

    /// What /statusz tells about it; none while there is no leaf.
    pub(super) fn status(&self) -> Option<CertificateStatus> {
        let Observed::Leaf(facts) = &self.observed else { return None };
        Some(CertificateStatus {
            profile: self.profile.name().to_owned(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            renew_at: renew_at(facts),
            reload: self.reload,
            last_failure: self.last_failure.clone(),
        })
    }
}

/// What a leaf of `profile` must hold for `instance`.
pub(super) fn expected(profile: Profile, instance: &str, names: Option<Vec<LeafName>>) -> Expected {
    let row = profile.row();
    Expected {
        common_name: match row.common_name {
            CommonName::Fixed(name) => name.to_owned(),
            CommonName::Instance => instance.to_ascii_lowercase(),
            CommonName::Node => format!("{}{}", identities::NODE_USER_PREFIX, instance.to_ascii_lowercase()),
        },
        organisation: row.organisation.map(str::to_owned),
        usages: row.usages.to_vec(),
        names,
        signer: None,
    }
}

/// A leaf of 20 s cannot wait 30 s for the next try.
fn backoff(observed: &Observed) -> Backoff {
    let longest = match observed {
        Observed::Leaf(facts) => {
            let lifetime =
                Duration::try_from(facts.not_after - facts.not_before - BACKDATED).unwrap_or_default();
            (lifetime / 20).clamp(Duration::from_millis(200), LONGEST_PAUSE)
        }
        Observed::Missing | Observed::Unreadable(_) => LONGEST_PAUSE,
    };
    Backoff::new(Duration::from_millis(500).min(longest), longest)
}
