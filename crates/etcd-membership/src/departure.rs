//! Whether a member that was asked to stop may go now, or holds back because its going would cost the quorum.
//! Pure and best effort: a disruption budget is the guarantee. Refuses to hold for members that nobody expects back.

use crate::quorum::{decides, quorum};

/// A peer, as seen by a member that was asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAtDeparture {
    /// Its name.
    pub name: String,
    /// Whether its etcd answers as a voter.
    pub serves: bool,
    /// Whether its supervisor answers and is not stopping itself.
    pub stays: bool,
    /// Whether its supervisor answers and says that it is stopping.
    pub leaves: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// Send the SIGTERM.
    Go,
    /// Not yet, for this reason.
    Hold(String),
}

/// Decides for `me` among `peers` (the other members that should exist). A member that serves nobody costs nothing by
/// going. Of several that leave together, the first by name goes first; the others count on it to come back.
#[must_use]
pub fn departure(me: &str, i_serve: bool, peers: &[PeerAtDeparture]) -> Departure {
    if !i_serve || !peers.iter().any(|peer| peer.stays) {
        return Departure::Go;
    }
    let voters = peers.len() + 1;
    let remaining = |peer: &&PeerAtDeparture| peer.serves && (!peer.leaves || peer.name.as_str() > me);
    let remain = peers.iter().filter(remaining).count();
    if decides(remain, voters) {
        return Departure::Go;
    }
    let missing: Vec<&str> =
        peers.iter().filter(|peer| !remaining(peer)).map(|peer| peer.name.as_str()).collect();
    Departure::Hold(format!(
        "{remain} of the {} members needed would remain; expected back: {}",
        quorum(voters),
        missing.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(name: &str, serves: bool, stays: bool, leaves: bool) -> PeerAtDeparture {
        PeerAtDeparture { name: name.into(), serves, stays, leaves }
    }

    #[test]
    fn holds_only_for_those_who_are_expected_back() {
        assert_eq!(departure("a", true, &[]), Departure::Go, "a single member has nobody to protect");
        let (up_b, up_c) = (peer("b", true, true, false), peer("c", true, true, false));
        assert_eq!(departure("a", true, &[up_b.clone(), up_c.clone()]), Departure::Go);
        let restarting_c = peer("c", false, true, false);
        assert!(matches!(departure("a", true, &[up_b.clone(), restarting_c]), Departure::Hold(_)));
        let dead_c = peer("c", false, false, false);
        assert!(matches!(departure("a", true, &[up_b, dead_c.clone()]), Departure::Hold(_)));
        let leaving_b = peer("b", true, false, true);
        assert_eq!(departure("a", true, &[leaving_b, dead_c.clone()]), Departure::Go, "all stop");
        let helpless_b = peer("b", false, true, false);
        assert_eq!(departure("a", false, &[helpless_b, dead_c]), Departure::Go, "there is no quorum to lose");
    }

    #[test]
    fn of_two_that_leave_the_first_by_name_goes() {
        let stays = peer("c", true, true, false);
        assert_eq!(departure("a", true, &[peer("b", true, false, true), stays.clone()]), Departure::Go);
        assert!(matches!(departure("b", true, &[peer("a", true, false, true), stays]), Departure::Hold(_)));
    }

    proptest! {
        #[test]
        fn while_a_majority_can_stay_never_so_many_go_at_once_that_it_is_lost(
            leaves in proptest::collection::vec(any::<bool>(), 3..=5)
        ) {
            let peers = |me: usize| -> Vec<PeerAtDeparture> {
                (0..leaves.len()).filter(|other| *other != me)
                    .map(|other| peer(&format!("etcd-{other}"), true, !leaves[other], leaves[other])).collect()
            };
            prop_assume!(leaves.iter().any(|leaves| !leaves));
            let gone = (0..leaves.len())
                .filter(|me| leaves[*me] && departure(&format!("etcd-{me}"), true, &peers(*me)) == Departure::Go).count();
            prop_assert!(decides(leaves.len() - gone, leaves.len()));
        }
    }
}
