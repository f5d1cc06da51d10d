//! What the tests of the chart share: a tenant who may do nothing but administer one namespace, releases that he installs,
//! and looks at what they become. Refuses fakes: kubelets, containerd, kube-proxy, CNI and helm are the real ones.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

mod bad_network;
mod helm;
mod hosted;
mod load;
mod memory;
mod network;
mod pods;
mod release;
mod replaced;
mod scene;
mod stage;
mod status;
mod tenant;
mod three_nodes;

pub use bad_network::BadNetwork;
pub use helm::{Helm, Told, chart};
pub use hosted::Hosted;
pub use load::Load;
pub use network::NodeNetwork;
pub use pods::{PodView, pod_view, pod_views};
pub use release::Release;
pub use replaced::{key_in_use, until_replaced, value_to_raise};
pub use scene::{COMPONENTS, Scene, node_of};
pub use stage::{Stage, helm_binary};
pub use status::{Status, StatusRow};
pub use tenant::Tenant;
pub use three_nodes::{on_stage, on_three_nodes};
