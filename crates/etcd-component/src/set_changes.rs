//! Beside the leader, where the members are the Pods of a StatefulSet: what follows from its changes. Members beyond its
//! size are removed from the cluster, and Pods with older settings are evicted, one at a time.
//! Refuses to decide (etcd-membership does) and to act on what may be out of date: without the management API nothing happens.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use etcd_membership::{
    EtcdError, ListedMember, MemberClient, MemberId, MemberStatus, Removal, Surplus, SurplusView, Updater,
    removal,
};
use management_api::find;
use tokio::time::Instant;

use crate::beside::Member;
use crate::glance::Pod;
use crate::members::{KnownMember, Look, MembersOfSet};
use crate::told::Told;

/// While something is going on.
const ROUND: Duration = Duration::from_secs(1);
/// Between two looks at the set while nothing is.
const LOOK_EVERY: Duration = Duration::from_secs(5);
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(2);

/// Until dropped.
pub(crate) async fn follow_set(member: Rc<Member>) {
    let Some(set) = member.members.set().cloned() else { return };
    let mut changes = Changes::new(&member);
    loop {
        if let Err(error) = Box::pin(changes.round(&member, &set)).await {
            tracing::debug!(error = error.told(), "changes of the StatefulSet were not looked at");
            changes.forget(&member);
        }
        member.seen.change.set(changes.under_way());
        tokio::time::sleep(ROUND).await;
    }
}

/// What is remembered while the member beside leads.
pub(crate) struct Changes {
    settle: Duration,
    pub(crate) began: Instant,
    pub(crate) updater: Updater,
    next_look: Instant,
    /// Whether there is something to update, as far as is known.
    busy: bool,
    /// Nobody is asked again for the same eviction before.
    pub(crate) next_eviction: Instant,
    /// Why the last one did not come to pass.
    pub(crate) refusal: Option<String>,
    update: Told,
    surplus: Told,
}

impl Changes {
    fn new(member: &Member) -> Self {
        let settle = member.configuration.update_settle;
        let now = Instant::now();
        let told = |detail| Told::new(detail, "changes of the StatefulSet");
        Self {
            settle,
            began: now,
            updater: Updater::new(settle),
            next_look: now,
            busy: false,
            next_eviction: now,
            refusal: None,
            update: told("update"),
            surplus: told("surplus"),
        }
    }

    /// Whoever begins to lead begins to count anew.
    fn forget(&mut self, member: &Member) {
        self.updater = Updater::new(self.settle);
        self.next_look = Instant::now();
        self.busy = false;
        self.update.tell(member, "");
        self.surplus.tell(member, "");
    }

    /// What goes on, as something to wait for.
    fn under_way(&self) -> Option<&'static str> {
        if self.busy {
            return Some("the members' Pods to be updated");
        }
        (!self.surplus.is_silent()).then_some("members to leave the cluster")
    }

    async fn round(&mut self, member: &Member, set: &MembersOfSet) -> Result<(), EtcdError> {
        let own = member.own.grpc().await?;
        let status = own.status(CALL_LIMIT).await?;
        if status.leader != Some(status.member) {
            self.forget(member);
            return Ok(());
        }
        let listed = own.quorum(CALL_LIMIT).await?.members;
        let busy = self.busy || changing(member, &listed).is_some();
        if !busy && Instant::now() < self.next_look {
            return Ok(());
        }
        self.next_look = Instant::now() + LOOK_EVERY;
        let (look, found) = member.members.look_at(set).await;
        let Some(found) = found.filter(|_| matches!(look, Look::Wanted | Look::NotWanted(_))) else {
            self.updater = Updater::new(self.settle);
            let (Look::Unknown(why) | Look::NobodyWanted(why) | Look::NotWanted(why)) = look else {
                return Ok(());
            };
            let told = format!("nothing is changed, since {} cannot be read: {why}", set.described());
            self.update.tell(member, &told);
            self.busy = false;
            return Ok(());
        };
        self.remove_surplus(member, set, &own, &status, &listed).await?;
        let changing = changing(member, &listed);
        let rewritten = member.seen.defragmenting.borrow().clone();
        let changing = changing.or(rewritten.map(|name| format!("{name} to be defragmented")));
        let told = self.update(member, set, &own, &found, &listed, changing).await;
        self.busy = told.is_some();
        self.update.tell(member, &told.unwrap_or_default());
        Ok(())
    }

    async fn remove_surplus(
        &mut self,
        member: &Member,
        set: &MembersOfSet,
        own: &MemberClient,
        status: &MemberStatus,
        listed: &[ListedMember],
    ) -> Result<(), EtcdError> {
        let mut surplus: Vec<(u32, KnownMember, &ListedMember)> = listed
            .iter()
            .filter(|listed| !is_wanted(member, listed))
            .filter_map(|listed| set.behind(listed).map(|(ordinal, known)| (ordinal, known, listed)))
            .collect();
        if surplus.is_empty() {
            self.surplus.tell(member, "");
            return Ok(());
        }
        surplus.sort_by_key(|(ordinal, ..)| std::cmp::Reverse(*ordinal));
        let mut seen = Vec::new();
        for (_, known, listed) in surplus {
            let going = match find::<Pod>(&set.api, &known.name).await {
                Ok(pod) => pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()),
                Err(error) => {
                    self.surplus.tell(member, &format!("nobody is removed: {}", error.told()));
                    return Ok(());
                }
            };
            seen.push(Surplus {
                id: listed.id,
                learner: listed.learner,
                going,
                runs: listed.id == status.member || member.peers.runs(&known).await,
                name: known.name,
            });
        }
        let serving = serving(member, set, status.member, listed).await;
        let heir = listed.iter().find(|listed| is_wanted(member, listed) && serving.contains(&listed.id));
        let voters = listed.iter().filter(|listed| !listed.learner).count();
        let heir = heir.map(|heir| heir.id);
        match removal(&SurplusView { surplus: seen, me: status.member, voters, serving, heir }) {
            Removal::Nobody => {}
            Removal::Wait(awaits) => self.surplus.tell(member, &format!("waits for {awaits}")),
            Removal::Remove(id) => {
                own.remove(id).await?;
                let name = listed.iter().find(|listed| listed.id == id).map_or("", |listed| &listed.name);
                tracing::info!(%id, name, "removed from the cluster: the StatefulSet does not want it any more");
            }
            Removal::HandOver(heir) => {
                tracing::info!(%heir, "handing leadership over to a member that stays");
                own.hand_over(heir).await?;
            }
        }
        Ok(())
    }
}

/// The voters that answer a linearizable read; `me` just did.
async fn serving(
    member: &Member,
    set: &MembersOfSet,
    me: MemberId,
    listed: &[ListedMember],
) -> BTreeSet<MemberId> {
    let others = listed.iter().filter(|listed| !listed.learner && listed.id != me);
    let others: Vec<(MemberId, KnownMember)> =
        others.filter_map(|listed| Some((listed.id, set.behind(listed)?.1))).collect();
    let names = member.peers.serving_of(others.iter().map(|(_, known)| known.clone()).collect()).await;
    let serve = others.into_iter().filter(|(_, known)| names.contains(&known.name)).map(|(id, _)| id);
    serve.chain([me]).collect()
}

fn is_wanted(member: &Member, listed: &ListedMember) -> bool {
    member.members.known().iter().any(|known| listed.stands_for(&known.wanted()))
}

/// Why the list of members is not the wanted one; none if it is.
pub(crate) fn changing(member: &Member, listed: &[ListedMember]) -> Option<String> {
    if let Some(surplus) = listed.iter().find(|listed| !is_wanted(member, listed)) {
        let name = if surplus.name.is_empty() { surplus.id.to_string() } else { surplus.name.clone() };
        return Some(format!("{name} to leave the cluster"));
    }
    let known = member.members.known();
    let votes = |known: &&KnownMember| {
        let wanted = known.wanted();
        listed.iter().any(|listed| listed.stands_for(&wanted) && !listed.learner)
    };
    known.iter().find(|known| !votes(known)).map(|known| format!("{} to join the cluster", known.name))
}
