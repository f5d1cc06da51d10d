//! Beside the leader: looks at the members' database files and has those rewritten for which etcd-membership says so, one
//! after the other.
//! Refuses to decide, and to give an order for a member that does not lead at that very moment.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_membership::{
    DatabaseSpace, Defragmenter, EtcdError, ListedMember, MemberClient, MemberId, MemberSpace, MemberStatus,
    SpaceView,
};
use tokio::time::Instant;

use crate::beside::Member;
use crate::members::KnownMember;
use crate::set_changes::{CALL_LIMIT, changing};
use crate::told::Told;
use crate::volume::VolumeFiles;

/// While nobody needs it. A database grows for hours.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// While somebody does.
const ROUND: Duration = Duration::from_secs(2);
const MIB: u64 = 1024 * 1024;

/// What is remembered as long as the child lives.
pub(crate) struct Defragment {
    began: Instant,
    defragmenter: Defragmenter,
    look_every: Duration,
    next_look: Instant,
    told: Told,
}

impl Defragment {
    /// None where it is not wanted.
    pub(crate) fn of(member: &Member) -> Option<Self> {
        let policy = member.configuration.defragmentation?;
        let now = Instant::now();
        Some(Self {
            began: now,
            defragmenter: Defragmenter::new(policy),
            look_every: LOOK_EVERY.min(policy.calm),
            next_look: now,
            told: Told::new("defragmentation", "defragmentation of the members' databases"),
        })
    }

    /// Until something may be to be done.
    pub(crate) fn pause(&self) -> Duration {
        self.next_look.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
    }

    /// Somebody else leads, or something worse is to be done.
    pub(crate) fn rest(&mut self, member: &Member) {
        self.defragmenter.rest();
        self.told.tell(member, "");
        self.next_look = Instant::now() + self.look_every;
    }

    /// Looks, and has one member's file rewritten if it is its turn.
    pub(crate) async fn round(
        &mut self,
        member: &Member,
        own: &MemberClient,
        status: &MemberStatus,
    ) -> Result<(), EtcdError> {
        if Instant::now() < self.next_look {
            return Ok(());
        }
        self.next_look = Instant::now() + self.look_every;
        let listed = own.quorum(CALL_LIMIT).await?.members;
        let mut view = sizes(member, status, &listed).await;
        if self.defragmenter.wants(&view, self.began.elapsed()) {
            self.next_look = Instant::now() + ROUND;
            look_closely(member, own, &mut view, &listed).await?;
        }
        let look = self.defragmenter.look(&view, self.began.elapsed());
        self.told.tell(member, look.told.as_deref().unwrap_or_default());
        if let Some(id) = look.member {
            Box::pin(self.carry_out(member, own, status, &view, &listed, id)).await;
        }
        Ok(())
    }

    async fn carry_out(
        &mut self,
        member: &Member,
        own: &MemberClient,
        status: &MemberStatus,
        view: &SpaceView,
        listed: &[ListedMember],
        id: MemberId,
    ) {
        let Some(seen) = view.members.iter().find(|seen| seen.id == id) else {
            return self.defragmenter.not_begun();
        };
        // From here on nobody is evicted; whoever was about to be is seen in `change`.
        member.seen.defragmenting.replace(Some(seen.name.clone()));
        let client =
            if id == status.member { Some(own.clone()) } else { client_of(member, listed, id).await };
        let leads = async {
            own.read_linearizable(CALL_LIMIT).await?;
            own.status(CALL_LIMIT).await
        };
        let leads = leads.await.is_ok_and(|status| status.leader == Some(status.member));
        match client.filter(|_| leads && member.seen.change.get().is_none()) {
            Some(client) => {
                self.told.tell(member, &format!("{} is being defragmented", seen.name));
                defragmented(member, &client, seen).await;
                self.defragmenter.ended(self.began.elapsed());
            }
            None => self.defragmenter.not_begun(),
        }
        member.seen.defragmenting.replace(None);
    }
}

/// Every listed member and its database, as far as it answers; whether it serves is not known yet.
async fn sizes(member: &Member, status: &MemberStatus, listed: &[ListedMember]) -> SpaceView {
    let statuses = member.peers.statuses().await;
    let databases: BTreeMap<MemberId, DatabaseSpace> =
        statuses.iter().chain([status]).map(|status| (status.member, database(status))).collect();
    let members = listed.iter().map(|listed| MemberSpace {
        id: listed.id,
        name: if listed.name.is_empty() { listed.id.to_string() } else { listed.name.clone() },
        votes: listed.started && !listed.learner,
        serves: false,
        database: databases.get(&listed.id).copied(),
        disk_free_bytes: None,
    });
    SpaceView { me: status.member, members: members.collect(), awaits: None }
}

/// What is asked only where somebody needs it.
async fn look_closely(
    member: &Member,
    own: &MemberClient,
    view: &mut SpaceView,
    listed: &[ListedMember],
) -> Result<(), EtcdError> {
    let peers = &member.peers;
    let (serving, disks, corrupt) =
        tokio::join!(peers.serving_of(member.members.others()), peers.disks_free(), own.corrupt(CALL_LIMIT));
    // The member beside just answered one.
    let own_disk = member.files.with(|files| Ok(VolumeFiles::free_bytes(files))).await.ok().flatten();
    for seen in &mut view.members {
        let me = seen.id == view.me;
        let name = known(member, listed, seen.id).map(|known| known.name);
        seen.serves = me || name.as_ref().is_some_and(|name| serving.contains(name));
        seen.disk_free_bytes = if me { own_disk } else { name.and_then(|name| disks.get(&name).copied()) };
    }
    let corrupt = corrupt?.first().map(|id| format!("somebody to look into the alarm CORRUPT of {id}"));
    let change = member.seen.change.get().map(str::to_owned);
    view.awaits = corrupt.or(change).or_else(|| changing(member, listed));
    Ok(())
}

/// Its end is logged and told, whatever it is.
async fn defragmented(member: &Member, client: &MemberClient, seen: &MemberSpace) {
    let before = seen.database.map_or(0, |database| database.file_bytes);
    let free = seen.database.map_or(0, |database| database.free_bytes());
    let name = &seen.name;
    tracing::info!(name, file_bytes = before, free_bytes = free, "defragmenting");
    let began = Instant::now();
    let done = async {
        client.defragment().await?;
        client.status(CALL_LIMIT).await
    };
    let told = match done.await {
        Ok(after) => {
            let took = began.elapsed();
            tracing::info!(
                name,
                bytes_before = before,
                bytes_after = after.database_bytes,
                ?took,
                "defragmented"
            );
            let (before, after) = (before / MIB, after.database_bytes / MIB);
            format!("{name}, from {before} to {after} MiB in {:.1} s", took.as_secs_f32())
        }
        Err(error) => {
            tracing::warn!(name, error = error.told(), "a defragmentation failed");
            format!("{name}, which failed: {}", error.told())
        }
    };
    member.board.detail("lastDefragmentation", &told);
}

async fn client_of(member: &Member, listed: &[ListedMember], id: MemberId) -> Option<MemberClient> {
    let url = known(member, listed, id)?.client_url;
    MemberClient::new(&url, member.peers.files()).await.ok()
}

fn known(member: &Member, listed: &[ListedMember], id: MemberId) -> Option<KnownMember> {
    let listed = listed.iter().find(|listed| listed.id == id)?;
    member.members.known().iter().find(|known| listed.stands_for(&known.wanted())).cloned()
}

fn database(status: &MemberStatus) -> DatabaseSpace {
    DatabaseSpace {
        file_bytes: status.database_bytes,
        used_bytes: status.used_bytes,
        quota_bytes: status.quota_bytes,
    }
}
