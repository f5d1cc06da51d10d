//! How an etcd member is supervised: `prepare` carries out the planner of etcd-membership, `health` looks at the member,
//! tasks beside the child care for learners, space, record and lock, and a stop is held back while it would cost quorum.
//! Refuses decisions about membership: those are etcd-membership's.

mod act;
mod addresses;
mod beside;
mod care;
mod component;
mod configuration;
mod crash_note;
mod members;
mod own_member;
mod peers;
mod space;
mod version;
mod volume;

pub use component::EtcdMember;
pub use configuration::{EtcdConfiguration, NEEDS};
pub use members::{KnownMember, MemberSource, MembersOfSet};
