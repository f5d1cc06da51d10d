//! Asks the other members: their etcd (do they have quorum, who leads) and their supervisors (do they stay, have they data).
//! Every question is bounded and goes to all at once. Refuses to remember answers.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use etcd_membership::recovery::OtherMember;
use etcd_membership::{
    LiveView, MemberClient, MemberId, MemberStatus, PeerAtDeparture, PeerIntent, PeerReport, PeerView, Quorum,
};
use health_endpoints::{HealthClient, State, StatusDocument};
use mutual_tls::TlsFiles;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::KnownMember;
use crate::addresses::authority;
use crate::members::Members;

/// A member that does not answer for so long is taken for one that does not answer.
const ETCD_LIMIT: Duration = Duration::from_secs(2);
/// The name of the detail by which a supervisor tells its peers about its volume.
pub(crate) const VOLUME_DETAIL: &str = "volume";
pub(crate) const VOLUME_HAS_DATA: &str = "data";
pub(crate) const VOLUME_IS_EMPTY: &str = "empty";
/// The name of the detail by which it tells what is free there, in bytes.
pub(crate) const DISK_FREE_DETAIL: &str = "diskFreeBytes";

/// The other members, whoever they are at each question.
#[derive(Clone)]
pub(crate) struct Peers {
    members: Rc<Members>,
    files: TlsFiles,
    health: HealthClient,
}

impl Peers {
    pub(crate) fn new(members: Rc<Members>, files: TlsFiles, health: HealthClient) -> Self {
        Self { members, files, health }
    }

    /// Everything that the planner wants to know from others.
    pub(crate) async fn live_view(&self) -> LiveView {
        let answers = self
            .of_askable(|peer, files, health| async move {
                let (etcd, report) = tokio::join!(ask_etcd(&peer, &files), ask_report(&peer, &health));
                let view = PeerView { name: peer.name, etcd_answers: etcd.is_some(), report };
                (view, etcd.flatten())
            })
            .await;
        let quorum = answers.iter().find_map(|(_, quorum)| quorum.clone());
        let mut peers: Vec<PeerView> = answers.into_iter().map(|(view, _)| view).collect();
        peers.sort_by(|a, b| a.name.cmp(&b.name));
        LiveView { quorum, peers }
    }

    /// How many of the others answer a linearizable read.
    pub(crate) async fn serving(&self, limit: Duration) -> usize {
        let answers = self
            .of_each(move |peer, files, _| async move {
                let Some(client) = reach(&peer, &files).await else { return false };
                client.read_linearizable(limit).await.is_ok()
            })
            .await;
        answers.into_iter().filter(|answer| *answer).count()
    }

    /// Which of these answer a linearizable read, by their names.
    pub(crate) async fn serving_of(&self, members: Vec<KnownMember>) -> BTreeSet<String> {
        let answers = self
            .of_all(members, |peer, files, _| async move {
                let client = reach(&peer, &files).await?;
                client.read_linearizable(ETCD_LIMIT).await.ok().map(|()| peer.name)
            })
            .await;
        answers.into_iter().flatten().collect()
    }

    /// Whether this member's etcd runs: by what its supervisor says, or, where that is silent, because somebody listens.
    pub(crate) async fn runs(&self, member: &KnownMember) -> bool {
        if let Some(url) = &member.health_url
            && let Ok(document) = self.health.status(url).await
        {
            return document.pid.is_some();
        }
        connects(&member.client_url).await
    }

    /// What matters when this member wants to stop.
    pub(crate) async fn at_departure(&self) -> Vec<PeerAtDeparture> {
        self.of_each(|peer, files, health| async move {
            if let Some(url) = &peer.health_url {
                let document = health.status(url).await.ok();
                return departing(peer.name, document.as_ref());
            }
            let serves = match reach(&peer, &files).await {
                Some(client) => client.read_linearizable(ETCD_LIMIT).await.is_ok(),
                None => false,
            };
            PeerAtDeparture {
                name: peer.name,
                serves,
                intent: if serves { PeerIntent::Stays } else { PeerIntent::Unknown },
            }
        })
        .await
    }

    /// What each answering member says about itself.
    pub(crate) async fn statuses(&self) -> Vec<MemberStatus> {
        let answers = self
            .of_each(
                |peer, files, _| async move { reach(&peer, &files).await?.status(ETCD_LIMIT).await.ok() },
            )
            .await;
        answers.into_iter().flatten().collect()
    }

    /// What the others' disks have free, in bytes, by their names: of those whose supervisors say so.
    pub(crate) async fn disks_free(&self) -> BTreeMap<String, u64> {
        let answers = self
            .of_each(|peer, _, health| async move {
                let document = health.status(peer.health_url.as_ref()?).await.ok()?;
                Some((peer.name, document.details.get(DISK_FREE_DETAIL)?.parse().ok()?))
            })
            .await;
        answers.into_iter().flatten().collect()
    }

    /// Who leads according to the others, unless it is `me`.
    pub(crate) async fn leader_other_than(&self, me: Option<MemberId>) -> Option<MemberId> {
        self.statuses()
            .await
            .into_iter()
            .filter_map(|status| status.leader)
            .find(|leader| Some(*leader) != me)
    }

    /// The client URLs of those that can be reached.
    pub(crate) async fn reachable(&self) -> Vec<String> {
        let answers = self
            .of_askable(
                |peer, _, _| async move { connects(&peer.client_url).await.then_some(peer.client_url) },
            )
            .await;
        answers.into_iter().flatten().collect()
    }

    /// A client of the first that answers a linearizable read: the right one to send changes to.
    pub(crate) async fn serving_client(&self) -> Option<MemberClient> {
        let answers = self
            .of_askable(|peer, files, _| async move {
                let client = reach(&peer, &files).await?;
                client.read_linearizable(ETCD_LIMIT).await.ok()?;
                Some(client)
            })
            .await;
        answers.into_iter().flatten().next()
    }

    /// Everything that counts when a majority may be lost for good.
    pub(crate) async fn for_recovery(&self) -> Vec<OtherMember> {
        let mut others = self
            .of_each(|peer, files, health| async move {
                let etcd = async {
                    let client = reach(&peer, &files).await?;
                    Some(tokio::join!(client.status(ETCD_LIMIT), client.read_linearizable(ETCD_LIMIT)))
                };
                let (etcd, report) = tokio::join!(etcd, ask_report(&peer, &health));
                let (status, serves) =
                    etcd.map_or((None, false), |(status, read)| (status.ok(), read.is_ok()));
                OtherMember {
                    etcd_answers: status.is_some() || serves,
                    serves,
                    position: status.map(|status| status.position()),
                    report,
                    name: peer.name,
                }
            })
            .await;
        others.sort_by(|a, b| a.name.cmp(&b.name));
        others
    }

    /// The files by which members are asked.
    pub(crate) fn files(&self) -> &TlsFiles {
        &self.files
    }

    async fn of_each<T, F>(&self, ask: impl Fn(KnownMember, TlsFiles, HealthClient) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.of_all(self.members.others(), ask).await
    }

    async fn of_askable<T, F>(&self, ask: impl Fn(KnownMember, TlsFiles, HealthClient) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.of_all(self.members.askable(), ask).await
    }

    async fn of_all<T, F>(
        &self,
        members: Vec<KnownMember>,
        ask: impl Fn(KnownMember, TlsFiles, HealthClient) -> F,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let mut asked = JoinSet::new();
        for peer in members {
            asked.spawn(ask(peer, self.files.clone(), self.health.clone()));
        }
        asked.join_all().await
    }
}

/// None: no answer at all. Some(None): an answer, but no quorum behind it.
async fn ask_etcd(peer: &KnownMember, files: &TlsFiles) -> Option<Option<Quorum>> {
    let client = reach(peer, files).await?;
    let (status, quorum) = tokio::join!(client.status(ETCD_LIMIT), client.quorum(ETCD_LIMIT));
    match (quorum, status) {
        (Ok(quorum), _) => Some(Some(quorum)),
        (Err(_), Ok(_)) => Some(None),
        (Err(error), Err(_)) => {
            tracing::debug!(peer = peer.name, error = error.told(), "no answer");
            None
        }
    }
}

/// A client, if anybody listens: the client library itself would keep trying until its own deadline.
async fn reach(peer: &KnownMember, files: &TlsFiles) -> Option<MemberClient> {
    if !connects(&peer.client_url).await {
        return None;
    }
    match MemberClient::new(&peer.client_url, files).await {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::warn!(
                peer = peer.name,
                error = telemetry::error_chain(&error),
                "a peer cannot be asked"
            );
            None
        }
    }
}

async fn connects(url: &str) -> bool {
    let Some(address) = authority(url) else { return false };
    matches!(tokio::time::timeout(ETCD_LIMIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

async fn ask_report(peer: &KnownMember, health: &HealthClient) -> PeerReport {
    let Some(url) = &peer.health_url else { return PeerReport::NotAskable };
    let Ok(document) = health.status(url).await else { return PeerReport::Silent };
    match document.details.get(VOLUME_DETAIL).map(String::as_str) {
        Some(VOLUME_HAS_DATA) => PeerReport::Data,
        Some(VOLUME_IS_EMPTY) => PeerReport::Empty,
        _ => PeerReport::Silent,
    }
}

fn departing(name: String, document: Option<&StatusDocument>) -> PeerAtDeparture {
    let Some(document) = document else {
        return PeerAtDeparture { name, serves: false, intent: PeerIntent::Unknown };
    };
    let runs = document.pid.is_some();
    match document.state {
        // Nobody looks at readiness any more, but until it goes it serves.
        State::Draining | State::Stopped => {
            PeerAtDeparture { name, serves: runs, intent: PeerIntent::Leaves { runs } }
        }
        State::Restarting if runs => {
            PeerAtDeparture { name, serves: document.ready, intent: PeerIntent::Restarts }
        }
        _ => PeerAtDeparture { name, serves: document.ready, intent: PeerIntent::Stays },
    }
}

#[cfg(test)]
mod tests {
    use health_endpoints::StatusBoard;
    use naming_contract::Component;

    use super::*;

    #[test]
    fn a_peer_that_restarts_serves_until_its_etcd_ends_and_comes_back() {
        let board = StatusBoard::new("etcd-1", Component::Etcd, "1");
        let at_departure = || {
            let peer = departing("etcd-1".to_owned(), Some(&board.document()));
            (peer.serves, peer.intent)
        };
        board.child(Some(1));
        board.enter(State::Restarting, "held back");
        board.readiness(Ok(()));
        assert_eq!(at_departure(), (true, PeerIntent::Restarts));
        board.enter(State::Restarting, "SIGTERM sent");
        assert_eq!(at_departure(), (false, PeerIntent::Restarts));
        board.child(None);
        assert_eq!(at_departure(), (false, PeerIntent::Stays));
        board.child(Some(2));
        board.enter(State::Draining, "asked to stop");
        assert_eq!(at_departure(), (true, PeerIntent::Leaves { runs: true }));
    }
}
