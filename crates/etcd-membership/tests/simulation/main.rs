//! Property tests of the planner over a simulated cluster: generated histories of crashes, lost volumes, partitions,
//! half-done joins and removed members. `etcd` is faithful to etcd's rules, `supervisor` drives the real planner,
//! `world` has the faults and the invariants, `history` generates and judges.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a broken expectation is a failed test"
)]

mod etcd;
mod history;
mod scaling;
mod supervisor;
mod world;
