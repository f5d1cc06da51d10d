//! When a member that its StatefulSet does not want any more may stop: others may count on it until it is out of the cluster.
//! Refuses to remove anybody: the supervisor beside the leader does.

use std::time::Duration;

use etcd_membership::{EtcdError, LeavingView, ListedMember, Vote, leaving};

use crate::beside::Member;

const CALL_LIMIT: Duration = Duration::from_secs(2);

impl Member {
    /// Whether this member, which is not wanted any more, may stop: the error is what it waits for.
    pub(crate) async fn may_leave(&self) -> Result<(), String> {
        let Some(view) = Box::pin(self.leaving_view()).await else {
            return Err("a quorum, without which its going could not be undone".to_owned());
        };
        leaving(&view)
    }

    async fn leaving_view(&self) -> Option<LeavingView> {
        let set = self.members.set()?;
        let me = self.members.me().wanted();
        let mine = self.seen.member.get();
        let is_me = |member: &ListedMember| mine.map_or(member.stands_for(&me), |mine| member.id == mine);
        let members = match Box::pin(self.own_list()).await {
            Ok(members) => members,
            Err(error) if error.is_from_learner() => {
                return Some(LeavingView {
                    listed: Some(Vote::Learner),
                    higher: None,
                    voters: 0,
                    others_serving: 0,
                });
            }
            // It may be removed already.
            Err(_own) => self.peers.serving_client().await?.quorum(CALL_LIMIT).await.ok()?.members,
        };
        let listed = members.iter().find(|member| is_me(member));
        let my_ordinal = set.ordinal(&self.instance)?;
        let others = || members.iter().filter(|member| !is_me(member));
        let higher =
            others().filter_map(|member| set.behind(member)).find(|(ordinal, _)| *ordinal > my_ordinal);
        let voters = others().filter(|member| !member.learner);
        let voters = voters.filter_map(|member| set.behind(member)).map(|(_, known)| known).collect();
        Some(LeavingView {
            listed: listed.map(|me| if me.learner { Vote::Learner } else { Vote::Voter }),
            higher: higher.map(|(_, known)| known.name),
            voters: members.iter().filter(|member| !member.learner).count(),
            others_serving: self.peers.serving_of(voters).await.len(),
        })
    }

    async fn own_list(&self) -> Result<Vec<ListedMember>, EtcdError> {
        Ok(self.own.grpc().await?.quorum(CALL_LIMIT).await?.members)
    }
}
