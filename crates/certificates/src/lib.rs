//! Leaf certificates and shared keys as their users see them: what there is, who may have it, when it is due, how it
//! is asked for, stored and kept fresh. Refuses CA keys: those live in certificate-signing alone.

mod authority;
mod coordination;
mod due;
mod entitlement;
mod facts;
mod fingerprint;
mod generations;
pub mod identities;
mod keeper;
mod names;
mod names_of_pods;
mod profiles;
mod request;
mod rotated;
mod shared_keys;
mod store;
mod wanted_keys;
mod wire;

pub use authority::Authority;
pub use coordination::{FileTurns, Turns, turn_to_restart};
pub use due::{BACKDATED, Expected, Observed, Reason, Verdict, renew_at, verdict};
pub use entitlement::{may_have, may_have_keys};
pub use facts::{LeafFacts, ParseError, bundle_certificates, bundle_fingerprints, pem_blocks};
pub use fingerprint::sha256_hex;
pub use generations::PublishedGenerations;
pub use keeper::{CertificateKeeper, Change, Changed, KeeperConfiguration, KeeperError};
pub use names::{ContentsError, LeafContents, LeafName, NamingSettings, Requester, leaf_contents};
pub use names_of_pods::pod_names;
pub use profiles::{CommonName, NameRule, Profile, ProfileRow, UnknownName, Usage};
pub use request::{AuthorityClient, FreshLeaf, RequestError};
pub use rotated::Rotated;
pub use shared_keys::{KeysNeeded, SharedKeySet};
pub use store::{LeafFiles, RuntimeDirectory};
pub use wanted_keys::WantedKeys;
pub use wire::{
    IssuedCertificate, KNOWN_GENERATION, LeafPreview, Refusal, SharedKeys, certificate_path, shared_keys_path,
};
