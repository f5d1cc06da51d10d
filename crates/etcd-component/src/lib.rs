//! How an etcd member is supervised: `prepare` carries out the planner of etcd-membership, `health` looks at the member,
//! tasks beside the child care for learners, space, record, lock, and changes of the StatefulSet; a stop is held back while it
//! would cost quorum.
//! Refuses decisions about membership: those are etcd-membership's.

mod act;
mod addresses;
mod beside;
mod care;
mod component;
mod configuration;
mod crash_note;
mod defragment;
mod glance;
mod leaving;
mod members;
mod own_member;
mod peers;
mod recovery;
mod save;
mod set_changes;
mod snapshot;
mod space;
mod told;
mod update;
mod version;
mod volume;

pub use component::EtcdMember;
pub use configuration::{EtcdConfiguration, NEEDS};
pub use etcd_membership::{
    DefragmentationPolicy, LEAST_CALM, LEAST_SETTLE, USUAL_CALM, USUAL_FREE_BYTES, USUAL_FREE_PERCENT,
    USUAL_SETTLE,
};
pub use members::{KnownMember, MemberSource, MembersOfSet};
pub use recovery::{DEFAULT_BUMP_REVISION, RecoverCommand, RecoveryRequest, RecoverySource, Snapshot};
pub use save::SaveCommand;
