//! Which Secrets make a set of keys, in which order they are made, and what follows from those that are there. Pure.
//! Refuses to make a missing one anew once the set was whole.

use std::collections::BTreeSet;

use naming_contract::ReleaseObjects;

use crate::kept::Kept;

/// Every Secret in the order in which all replicas make them: so only an end of the list can be missing while a
/// control plane is being founded.
pub(super) const ORDER: [Kept; 6] = *Kept::ALL;

/// What to do about a set of Secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// All are there, and the manifest.
    Read,
    /// All are there: say so in the manifest.
    Seal,
    /// Make these, in order.
    Make(&'a [Kept]),
    /// These are gone.
    Refuse(Vec<Kept>),
}

/// What is to be done when `present` are there; `sealed` once all were there.
pub(super) fn step(present: &BTreeSet<Kept>, sealed: bool) -> Step<'static> {
    let made = ORDER.iter().take_while(|kept| present.contains(kept)).count();
    let missing: Vec<Kept> = ORDER.into_iter().filter(|kept| !present.contains(kept)).collect();
    if missing.is_empty() {
        return if sealed { Step::Read } else { Step::Seal };
    }
    if sealed || present.len() != made { Step::Refuse(missing) } else { Step::Make(&ORDER[made..]) }
}

impl Kept {
    /// Its Secret.
    pub(super) fn secret(self, objects: &ReleaseObjects) -> String {
        match self {
            Self::Authority(authority) => objects.authority_secret(authority.name()),
            Self::Shared(set) => objects.shared_key_secret(set.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(bits: u8) -> BTreeSet<Kept> {
        ORDER
            .into_iter()
            .enumerate()
            .filter(|(index, _)| bits & 1 << index != 0)
            .map(|(_, kept)| kept)
            .collect()
    }

    #[test]
    fn only_an_end_of_the_list_is_ever_made() {
        for bits in 0..1 << ORDER.len() {
            let there = present(bits);
            let is_beginning = ORDER.iter().take(there.len()).all(|kept| there.contains(kept));
            match step(&there, false) {
                Step::Make(missing) => {
                    assert!(is_beginning && missing == &ORDER[there.len()..], "{there:?}");
                }
                Step::Refuse(_) => assert!(!is_beginning, "{there:?}"),
                Step::Seal | Step::Read => assert_eq!(there.len(), ORDER.len()),
            }
            match step(&there, true) {
                Step::Read => assert_eq!(there.len(), ORDER.len()),
                Step::Refuse(missing) => assert_eq!(missing.len(), ORDER.len() - there.len()),
                other => panic!("a set that was whole is never made again: {there:?} {other:?}"),
            }
        }
    }
}
