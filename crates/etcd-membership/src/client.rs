//! What is asked of one etcd member: lists, reads, changes of members, maintenance. Every call has a deadline.
//! Refuses to retry, and to ask several members behind one face: who answered matters here.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, GetOptions, MemberAddOptions,
};
use mutual_tls::{TlsError, TlsFiles, etcd_client};

use crate::observation::{ListedMember, Quorum};
use crate::recovery::Position;
use crate::{ClusterId, MemberId};

/// The key of linearizable reads. It need not exist.
const PROBE_KEY: &str = "/pilothouse/etcd/probe";
/// Changes of members wait for a commit; etcd itself gives up after 7 s (5 s and two election timeouts).
const CHANGE_LIMIT: Duration = Duration::from_secs(8);
/// A defragmentation blocks the member for about 10 s per gigabyte in use.
pub const DEFRAGMENT_LIMIT: Duration = Duration::from_secs(480);

/// Why a member did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No client could be made.
    #[error("no etcd client for {endpoint}")]
    Client {
        /// Who was to be asked.
        endpoint: String,
        /// The cause.
        #[source]
        source: TlsError,
    },
    /// etcd refused, or could not be reached.
    #[error("{endpoint} does not {wanted}")]
    Refused {
        /// Who was asked.
        endpoint: String,
        /// For what, as a verb phrase.
        wanted: &'static str,
        /// Its words.
        #[source]
        source: Box<etcd_client::Error>,
    },
    /// No answer in time.
    #[error("{endpoint} does not {wanted} within {limit:?}")]
    Late {
        /// Who was asked.
        endpoint: String,
        /// For what, as a verb phrase.
        wanted: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// An answer without its header.
    #[error("{endpoint} answers without saying who it is")]
    Anonymous {
        /// Who was asked.
        endpoint: String,
    },
}

impl EtcdError {
    /// etcd's own words, if it answered with an error.
    #[must_use]
    pub fn answer(&self) -> Option<&str> {
        match self {
            Self::Refused { source, .. } => match source.as_ref() {
                etcd_client::Error::GRpcStatus(status) => Some(status.message()),
                _ => None,
            },
            _ => None,
        }
    }

    /// One line for people: gRPC's own text drags all of its metadata along, so only the code and the deepest cause are told.
    #[must_use]
    pub fn told(&self) -> String {
        let mut cause = self.source();
        let mut code = None;
        let mut deepest = None;
        while let Some(error) = cause {
            if let Some(etcd_client::Error::GRpcStatus(status)) = error.downcast_ref::<etcd_client::Error>() {
                code = Some(format!("{:?}", status.code()));
                deepest = Some(status.message().to_owned());
                cause = status.source();
                continue;
            }
            deepest = Some(error.to_string());
            cause = error.source();
        }
        [Some(self.to_string()), code, deepest].into_iter().flatten().collect::<Vec<_>>().join(": ")
    }

    /// Whether it is the answer of a member that has no vote: it answers no linearizable reads.
    #[must_use]
    pub fn is_from_learner(&self) -> bool {
        self.says("not supported for learner")
    }

    fn says(&self, words: &str) -> bool {
        self.answer().is_some_and(|answer| answer.contains(words))
    }
}

/// A client of one member, or of several where it does not matter who answers.
#[derive(Clone)]
pub struct MemberClient {
    client: Client,
    endpoint: String,
}

/// What a member says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id.
    pub member: MemberId,
    /// Who leads, as far as it knows.
    pub leader: Option<MemberId>,
    /// Whether it has no vote.
    pub learner: bool,
    /// Its applied raft index.
    pub applied: u64,
    /// The revision of its store.
    pub revision: i64,
    /// Bytes of its database file.
    pub database_bytes: u64,
    /// Bytes of that in use.
    pub used_bytes: u64,
    /// Bytes it may have; none before etcd 3.6.
    pub quota_bytes: Option<u64>,
    /// The version of its storage: that on which all members have agreed; none before etcd 3.6, and while it begins.
    pub storage_version: Option<String>,
}

impl MemberStatus {
    /// How far it got.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { cluster: self.cluster, revision: self.revision, applied: Some(self.applied) }
    }
}

/// A member with the alarm NOSPACE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarmed(pub MemberId);

impl MemberClient {
    /// A client of `endpoint`; connects with the first call.
    pub async fn new(endpoint: &str, files: &TlsFiles) -> Result<Self, EtcdError> {
        Self::of_any(&[endpoint.to_owned()], files).await
    }

    /// A client of whichever of `endpoints` answers.
    pub async fn of_any(endpoints: &[String], files: &TlsFiles) -> Result<Self, EtcdError> {
        let endpoint = endpoints.join(",");
        match etcd_client(endpoints, files).await {
            Ok(client) => Ok(Self { client, endpoint }),
            Err(source) => Err(EtcdError::Client { endpoint, source }),
        }
    }

    /// Succeeds when a quorum confirms this member's view.
    pub async fn read_linearizable(&self, limit: Duration) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        let read = client.get(PROBE_KEY, Some(GetOptions::new().with_count_only()));
        self.within(limit, "answer a linearizable read", read).await.map(drop)
    }

    /// The members as a quorum knows them. The client library lists without consensus only; after a linearizable read
    /// this member's own list is at least as new as that read.
    pub async fn quorum(&self, limit: Duration) -> Result<Quorum, EtcdError> {
        let mut client = self.client.clone();
        let asked = async {
            client.get(PROBE_KEY, Some(GetOptions::new().with_count_only())).await?;
            client.member_list().await
        };
        let answer = self.within(limit, "list its members with a quorum", asked).await?;
        let header = answer.header().ok_or_else(|| self.anonymous())?;
        Ok(Quorum {
            cluster: ClusterId(header.cluster_id()),
            members: answer.members().iter().map(listed).collect(),
        })
    }

    /// The members as this one knows them; needs no quorum.
    pub async fn listed(&self, limit: Duration) -> Result<Vec<ListedMember>, EtcdError> {
        let mut client = self.client.clone();
        let answer = self.within(limit, "list its members", client.member_list()).await?;
        Ok(answer.members().iter().map(listed).collect())
    }

    /// What the member says about itself; needs no quorum.
    pub async fn status(&self, limit: Duration) -> Result<MemberStatus, EtcdError> {
        let mut client = self.client.clone();
        let answer = self.within(limit, "tell its status", client.status()).await?;
        let header = answer.header().ok_or_else(|| self.anonymous())?;
        Ok(MemberStatus {
            cluster: ClusterId(header.cluster_id()),
            member: MemberId(header.member_id()),
            leader: (answer.leader() != 0).then(|| MemberId(answer.leader())),
            learner: answer.is_learner(),
            applied: answer.raft_applied_index(),
            revision: header.revision(),
            database_bytes: u64::try_from(answer.db_size()).unwrap_or(0),
            used_bytes: u64::try_from(answer.raft_used_db_size()).unwrap_or(0),
            quota_bytes: u64::try_from(answer.db_size_quota()).ok().filter(|quota| *quota > 0),
            storage_version: Some(answer.storage_version().to_owned()).filter(|text| !text.is_empty()),
        })
    }

    /// Adds a learner; returns the cluster and the id that it got.
    pub async fn add_learner(&self, peer_url: &str) -> Result<(ClusterId, MemberId), EtcdError> {
        let mut client = self.client.clone();
        let options = MemberAddOptions::new().with_is_learner();
        let asked = client.member_add([peer_url], Some(options));
        let answer = self.within(CHANGE_LIMIT, "add a learner", asked).await?;
        match (answer.header(), answer.member()) {
            (Some(header), Some(member)) => Ok((ClusterId(header.cluster_id()), MemberId(member.id()))),
            _ => Err(self.anonymous()),
        }
    }

    /// Makes a voter of a learner. True: it is one now, whoever did it. False: it lags, or the cluster is too young or
    /// too sick; try again.
    pub async fn promote(&self, member: MemberId) -> Result<bool, EtcdError> {
        let mut client = self.client.clone();
        match self.within(CHANGE_LIMIT, "promote a learner", client.member_promote(member.0)).await {
            Ok(_) => Ok(true),
            Err(error) if error.says("in sync with leader") || error.says("not enough started members") => {
                Ok(false)
            }
            Err(error) if error.says("can only promote a learner member") => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes a member; one that is not there counts as removed.
    pub async fn remove(&self, member: MemberId) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        match self.within(CHANGE_LIMIT, "remove a member", client.member_remove(member.0)).await {
            Ok(_) => Ok(()),
            Err(error) if error.says("member not found") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks this member, which leads, to hand leadership to another one. Loses more writes than a stop, in which etcd does so
    /// by itself.
    pub async fn hand_over(&self, heir: MemberId) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        self.within(CHANGE_LIMIT, "hand leadership over", client.move_leader(heir.0)).await.map(drop)
    }

    /// The members that ran out of space.
    pub async fn out_of_space(&self, limit: Duration) -> Result<Vec<Alarmed>, EtcdError> {
        let mut client = self.client.clone();
        let asked = client.alarm(AlarmAction::Get, AlarmType::Nospace, None);
        let answer = self.within(limit, "list its alarms", asked).await?;
        let nospace = |alarm: &&etcd_client::AlarmMember| alarm.alarm() == AlarmType::Nospace;
        Ok(answer.alarms().iter().filter(nospace).map(|alarm| Alarmed(MemberId(alarm.member_id()))).collect())
    }

    /// The members whose data differs from that of the others, as etcd found out.
    pub async fn corrupt(&self, limit: Duration) -> Result<Vec<MemberId>, EtcdError> {
        let mut client = self.client.clone();
        let asked = client.alarm(AlarmAction::Get, AlarmType::Corrupt, None);
        let answer = self.within(limit, "list its alarms", asked).await?;
        let corrupt = |alarm: &&etcd_client::AlarmMember| alarm.alarm() == AlarmType::Corrupt;
        Ok(answer.alarms().iter().filter(corrupt).map(|alarm| MemberId(alarm.member_id())).collect())
    }

    /// Forgets all revisions before this one; one that is forgotten already counts as success.
    pub async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        let asked = client.compact(revision, Some(CompactionOptions::new().with_physical()));
        match self.within(DEFRAGMENT_LIMIT, "compact its history", asked).await {
            Ok(_) => Ok(()),
            Err(error) if error.says("has been compacted") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Rewrites the member's database; it answers nobody meanwhile.
    pub async fn defragment(&self) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        self.within(DEFRAGMENT_LIMIT, "defragment its database", client.defragment()).await.map(drop)
    }

    /// Ends the alarm NOSPACE of one member; etcd knows no call for all of them.
    pub async fn disarm(&self, alarmed: Alarmed) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        let mut options = AlarmOptions::new();
        options.with_member(alarmed.0.0);
        let asked = client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options));
        self.within(CHANGE_LIMIT, "disarm NOSPACE", asked).await.map(drop)
    }

    /// Whom this client asks.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        wanted: &'static str,
        asked: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, EtcdError> {
        let endpoint = || self.endpoint.clone();
        match tokio::time::timeout(limit, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => {
                Err(EtcdError::Refused { endpoint: endpoint(), wanted, source: Box::new(source) })
            }
            Err(_elapsed) => Err(EtcdError::Late { endpoint: endpoint(), wanted, limit }),
        }
    }

    pub(crate) fn anonymous(&self) -> EtcdError {
        EtcdError::Anonymous { endpoint: self.endpoint.clone() }
    }
}

fn listed(member: &etcd_client::Member) -> ListedMember {
    ListedMember {
        id: MemberId(member.id()),
        name: member.name().to_owned(),
        peer_urls: member.peer_urls().to_vec(),
        started: !member.client_urls().is_empty(),
        learner: member.is_learner(),
    }
}
