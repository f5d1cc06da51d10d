//! Why a binary is of no use as it is, and what the operator can do about it.
//! Refuses temporary trouble: a system that cannot fork now is asked again.

use std::path::PathBuf;

use component_flags::{ArgumentError, KubernetesVersion, VersionError};
use supervision::PrepareError;

/// Asking again would give the same answer.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It cannot be executed at all.
    #[error("cannot run {}", program.display())]
    Run {
        /// The binary.
        program: PathBuf,
        /// What the kernel says.
        #[source]
        source: process_control::CaptureError,
    },
    /// It runs, but is not the binary that is meant.
    #[error("{} --version says: {complaint}", program.display())]
    NoVersion {
        /// The binary.
        program: PathBuf,
        /// What it printed.
        complaint: String,
    },
    /// It has a version that is not supported.
    #[error("{} is not a supported binary", program.display())]
    Version {
        /// The binary.
        program: PathBuf,
        /// Which, and which are supported.
        #[source]
        source: VersionError,
    },
    /// An extra argument is refused by us.
    #[error("an extra argument after -- is refused")]
    Argument(#[source] ArgumentError),
    /// It refuses its flags.
    #[error("{}{} refuses its flags: {complaint}", program.display(), in_version(*version))]
    Flags {
        /// The binary.
        program: PathBuf,
        /// Its version, where one is demanded.
        version: Option<KubernetesVersion>,
        /// What it printed.
        complaint: String,
        /// Whether the flag was among the operator's extra arguments.
        from_operator: bool,
    },
}

fn in_version(version: Option<KubernetesVersion>) -> String {
    version.map(|version| format!(" {version}")).unwrap_or_default()
}

impl BinaryError {
    fn remedy(&self) -> &'static str {
        match self {
            Self::Run { .. } => "give the path of the upstream binary after --, executable for this user",
            Self::NoVersion { .. } => "give the path of the upstream binary after --",
            Self::Version { .. } => "use a supported release of it",
            Self::Argument(_) => "remove it from the arguments after --",
            Self::Flags { from_operator: true, .. } => "correct or remove that argument after --",
            Self::Flags { from_operator: false, .. } => {
                "it is a flag of this supervisor's own: use an unmodified upstream binary of a supported release"
            }
        }
    }
}

impl From<BinaryError> for PrepareError {
    fn from(error: BinaryError) -> Self {
        let remedy = error.remedy().to_owned();
        let what = error.to_string();
        let source: Option<Box<dyn std::error::Error + Send + Sync>> = match error {
            BinaryError::Run { source, .. } => Some(Box::new(source)),
            BinaryError::Version { source, .. } => Some(Box::new(source)),
            BinaryError::Argument(source) => Some(Box::new(source)),
            BinaryError::NoVersion { .. } | BinaryError::Flags { .. } => None,
        };
        Self { what, remedy, source }
    }
}
