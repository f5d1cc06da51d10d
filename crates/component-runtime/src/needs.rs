//! What a component must hold before it can start, and what a renewal of each means for it.
//! Data only: who is entitled to what is decided by the certificate-authority.

use certificates::{Authority, KeysNeeded, Profile};
use health_endpoints::ReloadBehaviour;

/// The leaves, shared keys and trust bundles of one component.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// Leaf certificates whose keys are made here.
    pub leaves: &'static [(Profile, ReloadBehaviour)],
    /// Keys that several processes share.
    pub shared_keys: &'static [KeysNeeded],
    /// Bundles by which peers are checked.
    pub bundles: &'static [(Authority, ReloadBehaviour)],
}
