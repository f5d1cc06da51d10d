//! Whether a member that was asked to stop may go now, or holds back because its going would cost the quorum.
//! Pure and best effort: a disruption budget is the guarantee. Refuses to hold for members that nobody expects back.

use std::time::Duration;

use crate::quorum::{decides, quorum};

/// So long ago a member may have served last and still count as serving: when a leader dies or freezes nobody serves for
/// the second or two of an election, which the member must not leave in the middle of.
pub const ELECTION_LIMIT: Duration = Duration::from_secs(5);

/// A peer, as seen by a member that was asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAtDeparture {
    /// Its name.
    pub name: String,
    /// Whether its etcd answers as a voter.
    pub serves: bool,
    /// What its supervisor is about to do.
    pub intent: PeerIntent,
}

/// What a peer's supervisor says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerIntent {
    /// It does not answer.
    Unknown,
    /// It is not stopping.
    Stays,
    /// It is stopping.
    Leaves {
        /// Whether its etcd still runs.
        runs: bool,
    },
}

impl PeerAtDeparture {
    /// It will stop as well, though it may not have been told yet: nobody wants any member any more.
    pub fn goes_too(&mut self) {
        if self.intent == PeerIntent::Stays {
            self.intent = PeerIntent::Leaves { runs: self.serves };
        }
    }
}

/// How the member itself does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfAtDeparture {
    /// Whether it has a quorum behind it, or had one within [`ELECTION_LIMIT`].
    pub serves: bool,
    /// Whether it leads.
    pub leads: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// Send the SIGTERM.
    Go,
    /// Not yet, for this reason.
    Hold(String),
    /// All stop, and this is the leader: it would try for 7 s to hand leadership to members that are going. Once they
    /// are gone it stops at once. Not worth waiting for long.
    LetOthersGoFirst,
}

/// Decides for `me` among `peers` (the other members that should exist). A member that serves nobody costs nothing by
/// going. Of several that leave together, the first by name goes first; the others count on it to come back.
#[must_use]
pub fn departure(me: &str, own: SelfAtDeparture, peers: &[PeerAtDeparture]) -> Departure {
    if !peers.iter().any(|peer| peer.intent == PeerIntent::Stays) {
        let others_are_going = peers.iter().any(|peer| peer.intent == PeerIntent::Leaves { runs: true });
        return if own.leads && others_are_going { Departure::LetOthersGoFirst } else { Departure::Go };
    }
    if !own.serves {
        return Departure::Go;
    }
    let voters = peers.len() + 1;
    let remaining = |peer: &&PeerAtDeparture| {
        peer.serves && (!matches!(peer.intent, PeerIntent::Leaves { .. }) || peer.name.as_str() > me)
    };
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

    fn peer(name: &str, serves: bool, intent: PeerIntent) -> PeerAtDeparture {
        PeerAtDeparture { name: name.into(), serves, intent }
    }

    const LEAVES: PeerIntent = PeerIntent::Leaves { runs: true };
    const LEFT: PeerIntent = PeerIntent::Leaves { runs: false };
    const SERVES: SelfAtDeparture = SelfAtDeparture { serves: true, leads: false };
    const LEADS: SelfAtDeparture = SelfAtDeparture { serves: true, leads: true };

    #[test]
    fn holds_only_for_those_who_are_expected_back() {
        assert_eq!(departure("a", SERVES, &[]), Departure::Go, "a single member has nobody to protect");
        let (up_b, up_c) = (peer("b", true, PeerIntent::Stays), peer("c", true, PeerIntent::Stays));
        assert_eq!(departure("a", SERVES, &[up_b.clone(), up_c.clone()]), Departure::Go);
        let restarting_c = peer("c", false, PeerIntent::Stays);
        assert!(matches!(departure("a", SERVES, &[up_b.clone(), restarting_c]), Departure::Hold(_)));
        let dead_c = peer("c", false, PeerIntent::Unknown);
        assert!(matches!(departure("a", SERVES, &[up_b, dead_c.clone()]), Departure::Hold(_)));
        let leaving_b = peer("b", true, LEAVES);
        assert_eq!(departure("a", SERVES, &[leaving_b, dead_c.clone()]), Departure::Go, "all stop");
        let helpless_b = peer("b", false, PeerIntent::Stays);
        assert_eq!(
            departure("a", SelfAtDeparture { serves: false, leads: false }, &[helpless_b, dead_c]),
            Departure::Go,
            "there is no quorum to lose"
        );
    }

    #[test]
    fn nobody_is_held_back_for_members_that_will_be_told_to_stop() {
        let mut peers = [peer("b", true, PeerIntent::Stays), peer("c", false, PeerIntent::Unknown)];
        assert!(matches!(departure("a", SERVES, &peers), Departure::Hold(_)));
        peers.iter_mut().for_each(PeerAtDeparture::goes_too);
        assert_eq!(departure("a", SERVES, &peers), Departure::Go);
        assert_eq!(departure("a", LEADS, &peers), Departure::LetOthersGoFirst);
    }

    #[test]
    fn when_all_stop_the_leader_goes_last() {
        let going = [peer("b", true, LEAVES), peer("c", false, LEFT)];
        assert_eq!(departure("a", LEADS, &going), Departure::LetOthersGoFirst);
        assert_eq!(departure("a", SERVES, &going), Departure::Go);
        assert_eq!(
            departure("a", LEADS, &[peer("b", false, LEFT), peer("c", false, PeerIntent::Unknown)]),
            Departure::Go
        );
        assert_eq!(departure("a", LEADS, &[]), Departure::Go);
    }

    #[test]
    fn of_two_that_leave_the_first_by_name_goes() {
        let stays = peer("c", true, PeerIntent::Stays);
        assert_eq!(departure("a", SERVES, &[peer("b", true, LEAVES), stays.clone()]), Departure::Go);
        assert!(matches!(departure("b", SERVES, &[peer("a", true, LEAVES), stays]), Departure::Hold(_)));
    }

    proptest! {
        #[test]
        fn while_a_majority_can_stay_never_so_many_go_at_once_that_it_is_lost(
            leaves in proptest::collection::vec(any::<bool>(), 3..=5)
        ) {
            let peers = |me: usize| -> Vec<PeerAtDeparture> {
                (0..leaves.len()).filter(|other| *other != me)
                    .map(|other| peer(&format!("etcd-{other}"), true, if leaves[other] { LEAVES } else { PeerIntent::Stays })).collect()
            };
            prop_assume!(leaves.iter().any(|leaves| !leaves));
            let gone = (0..leaves.len())
                .filter(|me| leaves[*me] && departure(&format!("etcd-{me}"), SERVES, &peers(*me)) == Departure::Go).count();
            prop_assert!(decides(leaves.len() - gone, leaves.len()));
        }
    }
}
