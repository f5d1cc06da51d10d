//! Who is asking the certificate-authority, proven by a bearer token. One trait; behind it embedded callers with 0600
//! token files, and Pods with the tokens of their service accounts. Refuses to decide what a caller may have:
//! `certificates` does.

mod caller;
mod enrolment;
mod rate_limit;
mod registry;
mod service_account;
mod token;

pub use caller::{Caller, IdentifyCaller, Unidentified};
pub use enrolment::{Enrolment, enrol, forget, rotate_if_due};
pub use rate_limit::RateLimit;
pub use registry::{EmbeddedCallers, RegistryError};
pub use service_account::{PublishedKeysError, ServiceAccountCallers, TokenRefusal, Unavailable};
