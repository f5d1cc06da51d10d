//! How an etcd member finds its way into its cluster and stays a good member: pure decisions, and the client that acts.
//! The decisions (`planner`, `caretaker`, `defragmentation`, `departure`, `surplus`, `update`, `quorum`) take observations
//! and time as arguments; only `client`, `snapshot` and `rejoin_lock` talk. Refuses files and processes: etcd-component has those.
#![doc = include_str!("../README.md")]

mod caretaker;
mod client;
mod defragmentation;
mod departure;
mod ids;
mod observation;
mod planner;
pub mod quorum;
pub mod recovery;
mod rejoin_lock;
mod snapshot;
mod surplus;
mod update;

pub use caretaker::{CARETAKER_PATIENCE, Care, Caretaker, ClusterView};
pub use client::{Alarmed, DEFRAGMENT_LIMIT, EtcdError, MemberClient, MemberStatus};
pub use defragmentation::{
    DISK_RESERVE, DatabaseSpace, Defragmentation, DefragmentationPolicy, Defragmenter, LEAST_CALM,
    MemberSpace, NEAR_QUOTA_FREE_PERCENT, NEAR_QUOTA_PERCENT, Need, SpaceView, USUAL_CALM, USUAL_FREE_BYTES,
    USUAL_FREE_PERCENT, room,
};
pub use departure::{
    Departure, ELECTION_LIMIT, PeerAtDeparture, PeerIntent, SelfAtDeparture, can_be_spared, departure,
};
pub use ids::{ClusterId, MemberId};
pub use observation::{
    Crashes, Data, Identity, Line, ListedMember, LiveView, Observation, PeerReport, PeerView, Quorum, Record,
    Volume, WantedMember,
};
pub use planner::{AsideReason, CRASHES_BEFORE_DOUBT, RETRY_IN_DOUBT, Step, next_step};
pub use rejoin_lock::{LOCK_TTL, RejoinLock};
pub use snapshot::SnapshotPieces;
pub use surplus::{LeavingView, Removal, Surplus, SurplusView, Vote, leaving, removal};
pub use update::{
    LEAST_SETTLE, MemberAtUpdate, PodAtUpdate, Turn, USUAL_SETTLE, Update, UpdateView, Updater, Victim,
};
