//! Kubeconfigs: for components with paths to files that are renewed under them, for people with everything inside.
//! Pure. Refuses to write files and to read kubeconfigs of others.

mod embedded;
mod files;
mod yaml;

pub use embedded::{EmbeddedCertificates, embedded_certificates, render_embedded};
pub use files::{CredentialPaths, Server, render_with_files};
