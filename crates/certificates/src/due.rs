//! Whether a leaf must be asked for anew, and why. Pure: what was seen and the time are arguments.
//! Refuses to look itself.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;

use crate::{LeafContents, LeafFacts, LeafName, Usage};

/// How far the authority sets the start of validity back, for clocks that lag; not part of a leaf's lifetime.
pub const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// What lies in a leaf's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Nothing, or only one of its two files.
    Missing,
    /// Something that cannot be read; the text says why.
    Unreadable(String),
    /// A leaf.
    Leaf(LeafFacts),
}

/// What a leaf must hold to be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The subject's CN.
    pub common_name: String,
    /// The subject's O.
    pub organisation: Option<String>,
    /// Extended key usages.
    pub usages: Vec<Usage>,
    /// Subject alternative names; none while the authority could not be asked which.
    pub names: Option<Vec<LeafName>>,
    /// Fingerprint of the CA that signs now; none while that is not known.
    pub signer: Option<String>,
}

/// What to do about a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Use it until then.
    Good {
        /// When its renewal is due.
        renew_at: OffsetDateTime,
    },
    /// Use it, and ask for a new one.
    Due(Reason),
    /// Do not use it; ask for a new one.
    Unusable(Reason),
}

/// Why a leaf must be asked for anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable(String),
    /// The key is not the certificate's.
    KeyMismatch,
    /// It says that it begins in the future: the clock went back, or it was made elsewhere.
    FromTheFuture {
        /// When it begins.
        not_before: OffsetDateTime,
    },
    /// It is over.
    Expired {
        /// Since when.
        not_after: OffsetDateTime,
    },
    /// No CA that is trusted now signed it.
    WrongAuthority,
    /// Its subject is another's: the runtime directory belonged to another instance.
    WrongSubject {
        /// Whose it is.
        found: String,
    },
    /// Its usages are not the profile's.
    WrongUsages,
    /// The names to carry changed.
    NamesChanged,
    /// Another CA signs now; the one that signed it is about to go.
    AuthorityReplaced,
    /// Half of its life is over.
    HalfLifePast,
}

/// Judges a leaf by the first check that fails.
#[must_use]
pub fn verdict(observed: &Observed, expected: &Expected, now: OffsetDateTime) -> Verdict {
    let leaf = match observed {
        Observed::Missing => return Verdict::Unusable(Reason::Missing),
        Observed::Unreadable(why) => return Verdict::Unusable(Reason::Unreadable(why.clone())),
        Observed::Leaf(leaf) => leaf,
    };
    if let Some(reason) = unusable(leaf, expected, now) {
        return Verdict::Unusable(reason);
    }
    if expected.names.as_ref().is_some_and(|names| !same_names(names, &leaf.contents.names)) {
        return Verdict::Due(Reason::NamesChanged);
    }
    if expected.signer.is_some() && expected.signer != leaf.issued_by {
        return Verdict::Due(Reason::AuthorityReplaced);
    }
    let renew_at = renew_at(leaf);
    if now >= renew_at { Verdict::Due(Reason::HalfLifePast) } else { Verdict::Good { renew_at } }
}

fn unusable(leaf: &LeafFacts, expected: &Expected, now: OffsetDateTime) -> Option<Reason> {
    let LeafContents { common_name, organisation, usages, .. } = &leaf.contents;
    if !leaf.key_matches {
        Some(Reason::KeyMismatch)
    } else if now >= leaf.not_after {
        Some(Reason::Expired { not_after: leaf.not_after })
    } else if now < leaf.not_before {
        Some(Reason::FromTheFuture { not_before: leaf.not_before })
    } else if leaf.issued_by.is_none() {
        Some(Reason::WrongAuthority)
    } else if *common_name != expected.common_name || *organisation != expected.organisation {
        Some(Reason::WrongSubject { found: common_name.clone() })
    } else if *usages != expected.usages {
        Some(Reason::WrongUsages)
    } else {
        None
    }
}

fn same_names(one: &[LeafName], other: &[LeafName]) -> bool {
    let sorted = |names: &[LeafName]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    sorted(one) == sorted(other)
}

/// When a leaf's renewal is due: at half of its life, made up to a fifth of that earlier by its serial number, so that
/// leaves issued together are not renewed together and a restart does not draw anew. Never later: half a life must
/// remain for those who reload late.
#[must_use]
pub fn renew_at(leaf: &LeafFacts) -> OffsetDateTime {
    let issued = leaf.not_before + BACKDATED;
    let lifetime = leaf.not_after - issued;
    let draw = leaf.serial.iter().rev().take(2).fold(0_u16, |sum, byte| sum << 8 | u16::from(*byte));
    let earlier = 0.1 * f64::from(draw) / f64::from(u16::MAX);
    issued + lifetime * (0.5 - earlier)
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("there is none yet"),
            Self::Unreadable(why) => write!(formatter, "it cannot be read: {why}"),
            Self::KeyMismatch => formatter.write_str("its key is not the certificate's"),
            Self::FromTheFuture { not_before } => {
                write!(formatter, "it begins only at {not_before}; is this machine's clock right?")
            }
            Self::Expired { not_after } => write!(formatter, "it expired at {not_after}"),
            Self::WrongAuthority => {
                formatter.write_str("no certificate authority that is trusted now signed it")
            }
            Self::WrongSubject { found } => write!(formatter, "it belongs to {found}"),
            Self::WrongUsages => formatter.write_str("its usages are not the profile's"),
            Self::NamesChanged => formatter.write_str("the names to carry changed"),
            Self::AuthorityReplaced => formatter.write_str("another CA signs now"),
            Self::HalfLifePast => formatter.write_str("half of its life is over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn leaf(lifetime: Duration, age: Duration, serial: [u8; 2]) -> LeafFacts {
        let issued = NOW - age;
        LeafFacts {
            contents: LeafContents {
                common_name: "etcd-0".to_owned(),
                organisation: None,
                usages: vec![Usage::Server],
                names: vec!["etcd-0".parse().unwrap(), "127.0.0.1".parse().unwrap()],
            },
            issuer: "pilothouse etcd CA".to_owned(),
            not_before: issued - BACKDATED,
            not_after: issued + lifetime,
            serial: serial.to_vec(),
            key_matches: true,
            issued_by: Some("one".to_owned()),
        }
    }

    fn expected() -> Expected {
        Expected {
            common_name: "etcd-0".to_owned(),
            organisation: None,
            usages: vec![Usage::Server],
            names: None,
            signer: None,
        }
    }

    fn judge(leaf: LeafFacts) -> Verdict {
        verdict(&Observed::Leaf(leaf), &expected(), NOW)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn every_fault_is_found_and_named() {
        let fresh = || leaf(72 * HOUR, HOUR, [0, 0]);
        assert!(matches!(judge(fresh()), Verdict::Good { .. }));
        let unusable = |fault: fn(&mut LeafFacts)| {
            let mut leaf = fresh();
            fault(&mut leaf);
            match judge(leaf) {
                Verdict::Unusable(reason) => reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(unusable(|leaf| leaf.key_matches = false), Reason::KeyMismatch);
        assert_eq!(unusable(|leaf| leaf.issued_by = None), Reason::WrongAuthority);
        assert_eq!(unusable(|leaf| leaf.not_after = NOW), Reason::Expired { not_after: NOW });
        assert!(matches!(unusable(|leaf| leaf.not_before = NOW + HOUR), Reason::FromTheFuture { .. }));
        assert!(matches!(
            unusable(|leaf| leaf.contents.common_name = "etcd-1".into()),
            Reason::WrongSubject { .. }
        ));
        assert!(matches!(
            unusable(|leaf| leaf.contents.organisation = Some("system:masters".into())),
            Reason::WrongSubject { .. }
        ));
        assert_eq!(unusable(|leaf| leaf.contents.usages.push(Usage::Client)), Reason::WrongUsages);
        let nothing = verdict(&Observed::Missing, &expected(), NOW);
        assert_eq!(nothing, Verdict::Unusable(Reason::Missing));
    }

    #[test]
    fn changed_names_are_due_but_usable_and_their_order_does_not_matter() {
        let expecting = |names: &[&str]| Expected {
            names: Some(names.iter().map(|name| name.parse().unwrap()).collect()),
            ..expected()
        };
        let observed = Observed::Leaf(leaf(72 * HOUR, HOUR, [0, 0]));
        let same = verdict(&observed, &expecting(&["127.0.0.1", "etcd-0"]), NOW);
        assert!(matches!(same, Verdict::Good { .. }));
        let more = verdict(&observed, &expecting(&["127.0.0.1", "etcd-0", "10.0.0.1"]), NOW);
        assert_eq!(more, Verdict::Due(Reason::NamesChanged));
    }

    #[test]
    fn a_leaf_of_a_ca_that_signs_no_more_is_due_but_usable() {
        let signed_by = |signer: &str| Expected { signer: Some(signer.to_owned()), ..expected() };
        let observed = Observed::Leaf(leaf(72 * HOUR, HOUR, [0, 0]));
        assert!(matches!(verdict(&observed, &signed_by("one"), NOW), Verdict::Good { .. }));
        assert_eq!(verdict(&observed, &signed_by("two"), NOW), Verdict::Due(Reason::AuthorityReplaced));
    }

    #[test]
    fn a_leaf_is_renewed_between_two_fifths_and_half_of_its_life() {
        assert_eq!(judge(leaf(100 * HOUR, 50 * HOUR, [0, 0])), Verdict::Due(Reason::HalfLifePast));
        assert_eq!(judge(leaf(100 * HOUR, 40 * HOUR, [255, 255])), Verdict::Due(Reason::HalfLifePast));
        assert!(matches!(judge(leaf(100 * HOUR, 49 * HOUR, [0, 0])), Verdict::Good { .. }));
    }

    proptest! {
        #[test]
        fn renewal_never_comes_before_two_fifths_nor_after_half(
            lifetime in 10_u64..400_000_000, serial: [u8; 2],
        ) {
            let lifetime = Duration::from_secs(lifetime);
            let leaf = leaf(lifetime, Duration::ZERO, serial);
            let after = renew_at(&leaf) - NOW;
            prop_assert!(after >= lifetime * 39 / 100 && after <= lifetime / 2 + Duration::from_millis(1), "{after}");
        }

        #[test]
        fn what_was_due_stays_due_and_what_was_unusable_for_its_age_stays_unusable(
            lifetime in 10_u64..1_000_000, serial: [u8; 2], age in 0_u64..2_000_000, later in 0_u64..1_000_000,
        ) {
            let rank = |seconds: u64| {
                match judge(leaf(Duration::from_secs(lifetime), Duration::from_secs(seconds), serial)) {
                    Verdict::Good { .. } => 0,
                    Verdict::Due(_) => 1,
                    Verdict::Unusable(_) => 2,
                }
            };
            prop_assert!(rank(age) <= rank(age + later));
        }
    }
}
