//! Where etcd's members are, and the front that keeps kube-apiserver on the leader, or at least on members that serve.
//! Refuses weaker signs than a linearizable read: a member without a quorum, or one that is still a learner, is left.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use component_runtime::{ReplicaName, RuntimeError};
use mutual_tls::{TlsFiles, etcd_client_of_one};
use tcp_front::{Answer, Backends, CutAfter, Front};

use crate::etcd_read::{EtcdCluster, linearizable_read};

/// A member that cannot read is of no use to anybody, so it is left in either case; an election takes a second or two, and
/// while nobody serves nothing is cut.
const CUT_AFTER: CutAfter = CutAfter {
    silent: Duration::from_secs(3),
    refusing: Some(Duration::from_secs(3)),
    ending: Some(QUIET_AT_THE_END),
};
/// A member that stops refuses new connections, finishes what is under way and waits up to 7 s for watches to end before it
/// hands leadership over (etcd embed/etcd.go `stopServers`). No write takes longer unless the disk is in trouble.
const QUIET_AT_THE_END: Duration = Duration::from_millis(250);

/// Where etcd is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdMembers {
    /// Client URLs: each member's, or one by which all of them are known.
    pub endpoints: Vec<String>,
    /// A name with an address for each member. Their certificates are checked for the host of the one endpoint.
    pub replicas: Option<ReplicaName>,
}

impl fmt::Display for EtcdMembers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replicas {
            None => formatter.write_str(&self.endpoints.join(", ")),
            Some(replicas) => replicas.fmt(formatter),
        }
    }
}

impl EtcdMembers {
    /// A front before the members, if there may be several; `tell` hears how they are, `serving` has the cluster that
    /// answered last.
    pub(crate) fn front(
        &self,
        files: &TlsFiles,
        serving: Rc<Cell<Option<EtcdCluster>>>,
        tell: impl Fn(&str) + 'static,
    ) -> Result<Option<Front>, RuntimeError> {
        match (&self.replicas, self.endpoints.len()) {
            (None, 0 | 1) => return Ok(None),
            (Some(_), count) if count != 1 => {
                return Err(RuntimeError::setting(
                    format!("--etcd-members stands beside {count} URLs of --etcd-endpoint"),
                    "give one URL that all members are known by, or leave --etcd-members out",
                ));
            }
            _ => {}
        }
        let members = FrontedMembers { members: self.clone(), files: files.clone(), serving };
        Front::start("etcd member", members, CUT_AFTER, tell).map(Some).map_err(RuntimeError::front)
    }
}

struct FrontedMembers {
    members: EtcdMembers,
    files: TlsFiles,
    serving: Rc<Cell<Option<EtcdCluster>>>,
}

impl Backends for FrontedMembers {
    /// The name that the member's certificate is checked for.
    type Backend = String;
    type Connection = Member;

    async fn find(&self) -> Result<Vec<(SocketAddr, String)>, String> {
        let mut found = Vec::new();
        for endpoint in &self.members.endpoints {
            let (host, listed) = host_of(endpoint)?;
            let mut addresses = self.members.replicas.as_ref().unwrap_or(&listed).look_up().await?;
            if self.members.replicas.is_none() {
                // One endpoint is one member, however many addresses its host has.
                addresses.truncate(1);
            }
            found.extend(addresses.into_iter().map(|address| (address, host.clone())));
        }
        Ok(found)
    }

    async fn ask(
        &self,
        address: SocketAddr,
        name: &String,
        kept: Option<Member>,
    ) -> (Answer, Option<Member>) {
        let member = match kept {
            Some(member) => Ok(member),
            None => etcd_client_of_one(name, address, &self.files).await.map(Member::new),
        };
        let mut member = match member {
            Ok(member) => member,
            Err(error) => return (Answer::Silent(telemetry::error_chain(&error)), None),
        };
        match linearizable_read(&mut member.client).await {
            Ok(agreed) => {
                self.serving.set(Some(agreed.cluster));
                let answer = if member.leads(agreed.term).await { Answer::Leads } else { Answer::Serves };
                (answer, Some(member))
            }
            Err(why) => (Answer::Refuses(why), None),
        }
    }
}

/// A member that answers, and what it said of itself.
struct Member {
    client: etcd_client::Client,
    /// The last term whose leader it knew, and whether it is that leader.
    said: Option<(u64, bool)>,
}

impl Member {
    fn new(client: etcd_client::Client) -> Self {
        Self { client, said: None }
    }

    /// Whether the member leads in `term`; asked once in each. A write that goes to another one is passed on to the leader, and
    /// lost for seven seconds (etcd's own limit) if that one has just died; a leader's death breaks the connection instead.
    async fn leads(&mut self, term: u64) -> bool {
        if let Some((of_term, leads)) = self.said
            && of_term == term
        {
            return leads;
        }
        let Ok(status) = self.client.status().await else { return false };
        let Some(header) = status.header() else { return false };
        let leads = header.member_id() == status.leader();
        // etcd fills the header first, with the term of the last entry it applied: the leader may be a later term's, never an
        // earlier one's, and a later term is asked for anew. (In `raft_term` of the status itself it is the other way round.)
        self.said = (status.leader() != 0).then(|| (header.raft_term(), leads));
        leads
    }
}

/// The host of an https URL, and with its port what can be looked up.
fn host_of(url: &str) -> Result<(String, ReplicaName), String> {
    let authority = url.strip_prefix("https://").map(|rest| rest.split('/').next().unwrap_or(rest));
    let name = authority.and_then(|authority| authority.parse::<ReplicaName>().ok());
    match (authority.and_then(|authority| authority.rsplit_once(':')), name) {
        (Some((host, _port)), Some(name)) => {
            Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), name))
        }
        _ => Err(format!("{url} is not of the form https://HOST:PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> TlsFiles {
        TlsFiles { authority: "a".into(), certificate: "c".into(), key: "k".into() }
    }

    async fn found(members: EtcdMembers) -> Vec<(SocketAddr, String)> {
        FrontedMembers { members, files: files(), serving: Rc::default() }.find().await.unwrap()
    }

    #[tokio::test]
    async fn listed_members_are_found_by_their_own_names() {
        let urls = ["https://127.0.0.1:2379", "https://[::1]:2389/"].map(str::to_owned);
        let expected = [("127.0.0.1:2379", "127.0.0.1"), ("[::1]:2389", "::1")]
            .map(|(address, name)| (address.parse().unwrap(), name.to_owned()));
        assert_eq!(found(EtcdMembers { endpoints: urls.into(), replicas: None }).await, expected);
    }

    #[tokio::test]
    async fn members_behind_a_name_are_checked_for_the_name_of_all() {
        let mut members = EtcdMembers {
            endpoints: vec!["https://demo-etcd.n.svc:2379".into()],
            replicas: Some("127.0.0.7:2379".parse().unwrap()),
        };
        assert_eq!(members.to_string(), "127.0.0.7:2379");
        let expected = [("127.0.0.7:2379".parse().unwrap(), "demo-etcd.n.svc".to_owned())];
        assert_eq!(found(members.clone()).await, expected);
        members.endpoints.push("https://other:2379".into());
        let error = members.front(&files(), Rc::default(), |_| {}).unwrap_err().to_string();
        assert!(error.contains("2 URLs") && error.contains("leave --etcd-members out"), "{error}");
    }

    #[test]
    fn a_url_without_a_port_is_refused() {
        for wrong in ["https://etcd", "http://etcd:2379", "etcd:2379"] {
            assert!(host_of(wrong).unwrap_err().contains(wrong));
        }
    }
}
