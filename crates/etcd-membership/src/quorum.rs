//! How many voters decide, and what a change of voters does to that. Pure numbers.
//! Refuses learners: they do not count.

/// How many of `voters` must agree.
#[must_use]
pub const fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// How many of `voters` may be gone while the others still decide.
#[must_use]
pub const fn tolerated_losses(voters: usize) -> usize {
    voters.saturating_sub(quorum(voters))
}

/// Whether `serving` of `voters` can decide.
#[must_use]
pub const fn decides(serving: usize, voters: usize) -> bool {
    voters > 0 && serving >= quorum(voters)
}

/// Whether the others can still decide after one voter that does not serve is removed. `serving` does not count it.
#[must_use]
pub const fn removal_is_safe(serving: usize, voters: usize) -> bool {
    voters > 1 && decides(serving, voters - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_sizes() {
        assert_eq!([1, 2, 3, 4, 5].map(quorum), [1, 2, 2, 3, 3]);
        assert_eq!([1, 2, 3, 4, 5].map(tolerated_losses), [0, 0, 1, 1, 2]);
        assert!(!decides(0, 0) && !removal_is_safe(1, 1) && !removal_is_safe(0, 2));
    }

    proptest! {
        #[test]
        fn two_quorums_always_share_a_voter(voters in 1_usize..100) {
            prop_assert!(2 * quorum(voters) > voters);
        }

        #[test]
        fn removing_a_dead_voter_never_costs_the_majority(voters in 2_usize..100, serving in 0_usize..100) {
            prop_assume!(serving < voters && decides(serving, voters));
            prop_assert!(removal_is_safe(serving, voters));
        }
    }
}
