//! How kube-controller-manager, kube-scheduler and any cloud-controller-manager are supervised: they start when the API
//! servers are ready and not older than they are, and their leader lease is handed on when they are dead for certain.
//! Refuses to lead, to elect or to touch a lease that a living process may hold.

mod api_server;
mod arguments;
mod component;
mod configuration;
mod fronted;
mod hostname;
mod kind;
mod leadership;

pub use arguments::LeaderElectedArguments;
pub use component::Controller;
pub use configuration::ControllerConfiguration;
pub use kind::Kind;
