//! Whether a member that was asked to stop may go now, or holds back because its going would cost the quorum, and whether it
//! can be spared for a restart that nobody forces.
//! Pure; for a stop best effort: a disruption budget is the guarantee. Refuses to hold for members that nobody expects back.

use std::time::Duration;

use crate::quorum::{decides, quorum, tolerated_losses};

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
    /// It is about to replace its etcd, which serves until then, and comes back.
    Restarts,
    /// It is stopping.
    Leaves {
        /// Whether its etcd still runs.
        runs: bool,
    },
}

impl PeerAtDeparture {
    /// It will stop as well, though it may not have been told yet: nobody wants any member any more.
    pub fn goes_too(&mut self) {
        if self.intent.comes_back() {
            self.intent = PeerIntent::Leaves { runs: self.serves };
        }
    }
}

impl PeerIntent {
    /// Whether it will be there in a while.
    #[must_use]
    pub fn comes_back(self) -> bool {
        matches!(self, Self::Stays | Self::Restarts)
    }
}

/// How the member itself does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfAtDeparture {
    /// Whether it has a quorum behind it, or had one within [`ELECTION_LIMIT`].
    pub serves: bool,
    /// Whether it leads.
    pub leads: bool,
    /// How many voters its etcd lists, itself among them. As many as should exist, but for a while after a change of that.
    pub voters: usize,
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
/// going. Of several that leave or restart together, the first by name goes first; the others count on it to come back.
#[must_use]
pub fn departure(me: &str, own: SelfAtDeparture, peers: &[PeerAtDeparture]) -> Departure {
    if !peers.iter().any(|peer| peer.intent.comes_back()) {
        let others_are_going = peers.iter().any(|peer| peer.intent == PeerIntent::Leaves { runs: true });
        return if own.leads && others_are_going { Departure::LetOthersGoFirst } else { Departure::Go };
    }
    if !own.serves || no_wait_helps(own, peers) {
        return Departure::Go;
    }
    let remaining = |peer: &PeerAtDeparture| {
        let goes = matches!(peer.intent, PeerIntent::Leaves { .. } | PeerIntent::Restarts);
        peer.serves && (!goes || peer.name.as_str() > me)
    };
    match enough_remain(own.voters, peers, remaining) {
        Ok(()) => Departure::Go,
        Err(why) => Departure::Hold(why),
    }
}

/// Whether a member among `peers` can be spared for as long as a restart takes, or why not. Stricter than [`departure`],
/// which ends with a grace period: who does not answer, who stops and who restarts does not count, and nobody is given up.
pub fn can_be_spared(own: SelfAtDeparture, peers: &[PeerAtDeparture]) -> Result<(), String> {
    // One that has no quorum behind it takes none away.
    if !own.serves || no_wait_helps(own, peers) {
        return Ok(());
    }
    enough_remain(own.voters, peers, |peer| peer.serves && peer.intent == PeerIntent::Stays)
}

/// One or two members lose their quorum by every restart, however long it waits.
fn no_wait_helps(own: SelfAtDeparture, peers: &[PeerAtDeparture]) -> bool {
    tolerated_losses(own.voters.max(peers.len() + 1)) == 0
}

fn enough_remain(
    voters: usize,
    peers: &[PeerAtDeparture],
    remains: impl Fn(&PeerAtDeparture) -> bool,
) -> Result<(), String> {
    let (remaining, missing): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| remains(peer));
    if decides(remaining.len(), voters) {
        return Ok(());
    }
    let missing: Vec<&str> = missing.iter().map(|peer| peer.name.as_str()).collect();
    let expected = if missing.is_empty() { "nobody".to_owned() } else { missing.join(", ") };
    Err(format!(
        "{} of the {} members needed would remain; expected back: {expected}",
        remaining.len(),
        quorum(voters),
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
    const SERVES: SelfAtDeparture = SelfAtDeparture { serves: true, leads: false, voters: 3 };
    const LEADS: SelfAtDeparture = SelfAtDeparture { leads: true, ..SERVES };
    const HELPLESS: SelfAtDeparture = SelfAtDeparture { serves: false, ..SERVES };

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
            departure("a", HELPLESS, &[helpless_b, dead_c]),
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

    #[test]
    fn of_one_that_restarts_and_one_that_stops_the_first_by_name_goes() {
        let (dead_c, back_c) = (peer("c", false, PeerIntent::Unknown), peer("c", true, PeerIntent::Stays));
        let restarting = |name| peer(name, true, PeerIntent::Restarts);
        assert!(matches!(departure("a", SERVES, &[restarting("b"), dead_c]), Departure::Hold(_)));
        assert_eq!(departure("a", SERVES, &[restarting("b"), back_c.clone()]), Departure::Go);
        assert!(matches!(departure("b", SERVES, &[restarting("a"), back_c]), Departure::Hold(_)));
    }

    #[test]
    fn the_voters_that_there_are_count_and_not_those_that_there_should_be() {
        let stay = |names: &[&str]| -> Vec<_> {
            names.iter().map(|name| peer(name, true, PeerIntent::Stays)).collect()
        };
        let mut growing = stay(&["b", "c"]);
        growing.extend(["d", "e"].map(|name| peer(name, false, PeerIntent::Unknown)));
        assert_eq!(departure("a", SERVES, &growing), Departure::Go, "two of three remain");
        assert_eq!(can_be_spared(SERVES, &growing), Ok(()));
        let shrinking = SelfAtDeparture { voters: 5, ..SERVES };
        assert!(
            matches!(departure("a", shrinking, &stay(&["b", "c"])), Departure::Hold(_)),
            "two of five remain"
        );
        assert!(can_be_spared(shrinking, &stay(&["b", "c"])).is_err());
    }

    #[test]
    fn nobody_restarts_unforced_without_a_quorum_of_others() {
        let (up_b, up_c) = (peer("b", true, PeerIntent::Stays), peer("c", true, PeerIntent::Stays));
        assert_eq!(can_be_spared(SERVES, &[up_b.clone(), up_c]), Ok(()));
        for absent in [PeerIntent::Unknown, PeerIntent::Stays, LEFT] {
            assert!(can_be_spared(LEADS, &[up_b.clone(), peer("c", false, absent)]).is_err(), "{absent:?}");
        }
        for going in [PeerIntent::Restarts, LEAVES] {
            assert!(can_be_spared(SERVES, &[up_b.clone(), peer("c", true, going)]).is_err(), "{going:?}");
        }
        let silent = ["b", "c"].map(|name| peer(name, false, PeerIntent::Unknown));
        assert!(can_be_spared(SERVES, &silent).is_err(), "who is silent may serve all the same");
        assert_eq!(can_be_spared(HELPLESS, &silent), Ok(()), "there is no quorum to lose");
        let of_two = SelfAtDeparture { voters: 2, ..SERVES };
        assert_eq!(can_be_spared(SelfAtDeparture { voters: 1, ..SERVES }, &[]), Ok(()));
        assert_eq!(can_be_spared(of_two, std::slice::from_ref(&up_b)), Ok(()), "waiting helps nobody");
        assert_eq!(departure("a", of_two, std::slice::from_ref(&up_b)), Departure::Go);
        assert!(can_be_spared(of_two, &[up_b, peer("c", false, PeerIntent::Stays)]).is_err(), "it grows");
    }

    proptest! {
        #[test]
        fn never_does_an_unforced_restart_leave_less_than_a_quorum(
            states in proptest::collection::vec((any::<bool>(), 0_usize..4), 0..=6), voters in 1_usize..=7
        ) {
            let intents = [PeerIntent::Unknown, PeerIntent::Stays, PeerIntent::Restarts, LEAVES];
            let peers: Vec<_> =
                states.iter().map(|(serves, intent)| peer("any", *serves, intents[*intent])).collect();
            let serving = peers.iter().filter(|peer| peer.serves).count();
            if can_be_spared(SelfAtDeparture { voters, ..SERVES }, &peers).is_ok() {
                prop_assert!(voters.max(peers.len() + 1) <= 2 || decides(serving, voters));
            }
        }

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
                .filter(|me| leaves[*me] && departure(&format!("etcd-{me}"), SelfAtDeparture { voters: leaves.len(), ..SERVES }, &peers(*me)) == Departure::Go).count();
            prop_assert!(decides(leaves.len() - gone, leaves.len()));
        }
    }
}
