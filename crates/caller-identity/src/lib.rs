//! Who is asking the certificate-authority, proven by a bearer token. One trait; behind it embedded callers with 0600
//! token files. Refuses to decide what a caller may have: `certificates` does.

mod caller;
mod enrolment;
mod registry;
mod token;

pub use caller::{Caller, IdentifyCaller, Unidentified};
pub use enrolment::{Enrolment, enrol, forget, rotate_if_due};
pub use registry::{EmbeddedCallers, RegistryError};
