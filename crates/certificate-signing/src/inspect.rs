//! Every certificate in a control plane's state directory, for people and programs: whose it is, until when, and who
//! takes up a renewed one how. Refuses to read keys, and to follow links.

mod print;
mod walk;

use std::path::{Path, PathBuf};

use certificates::{Authority, LeafFacts, LeafName, Profile, Usage};
use serde::Serialize;
use time::OffsetDateTime;

pub use print::{json, table};

/// One certificate that was found, or a file that should be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedCertificate {
    /// Where, relative to the state directory.
    pub file: PathBuf,
    /// The profile of a leaf, or the authority of a CA; none for a stranger.
    pub what: Option<String>,
    /// CN and O.
    pub subject: String,
    /// CN.
    pub issuer: String,
    /// Subject alternative names.
    pub names: Vec<LeafName>,
    /// Extended key usages; none for a CA.
    pub usages: Vec<Usage>,
    /// Start of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// Seconds of validity left; negative when it is over.
    pub remaining_seconds: i64,
    /// Who takes up a renewed one, and how.
    pub taken_up_by: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The state directory cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the state directory {}", path.display())]
pub struct InspectError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Finds every certificate below `state_directory`: files `*.crt` and `*.pem`, and those inside kubeconfigs.
pub fn inspect(state_directory: &Path) -> Result<Vec<InspectedCertificate>, InspectError> {
    let now = OffsetDateTime::now_utc();
    let found = walk::certificates(state_directory)
        .map_err(|source| InspectError { path: state_directory.to_owned(), source })?;
    Ok(found.into_iter().map(|(file, pem)| describe(file, &pem, now)).collect())
}

fn describe(file: PathBuf, pem: &Result<Vec<u8>, String>, now: OffsetDateTime) -> InspectedCertificate {
    let parsed = pem
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|pem| LeafFacts::parse(pem, None, None).map_err(|error| error.to_string()));
    match parsed {
        Ok(facts) => describe_facts(file, facts, now),
        Err(problem) => InspectedCertificate {
            file,
            what: None,
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            usages: Vec::new(),
            not_before: OffsetDateTime::UNIX_EPOCH,
            not_after: OffsetDateTime::UNIX_EPOCH,
            remaining_seconds: 0,
            taken_up_by: String::new(),
            problem: Some(problem),
        },
    }
}

fn describe_facts(file: PathBuf, facts: LeafFacts, now: OffsetDateTime) -> InspectedCertificate {
    let contents = facts.contents;
    let directory = file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let profile = directory
        .and_then(|name| name.parse().ok())
        .or_else(|| Profile::by_client_common_name(&contents.common_name));
    let authority =
        Authority::by_common_name(&contents.common_name).filter(|_| contents.common_name == facts.issuer);
    let (what, taken_up_by) = match (authority, profile) {
        (Some((authority, 1)), _) => (Some(format!("{authority} CA")), authority.read_by()),
        (Some((authority, number)), _) => (Some(format!("{authority} CA {number}")), authority.read_by()),
        (None, Some(profile)) => (Some(profile.name().to_owned()), profile.row().used_by),
        (None, None) => (None, "nobody known"),
    };
    let subject = match &contents.organisation {
        Some(organisation) => format!("CN={}, O={organisation}", contents.common_name),
        None => format!("CN={}", contents.common_name),
    };
    InspectedCertificate {
        file,
        what,
        subject,
        issuer: format!("CN={}", facts.issuer),
        names: contents.names,
        usages: contents.usages,
        not_before: facts.not_before,
        not_after: facts.not_after,
        remaining_seconds: (facts.not_after - now).whole_seconds(),
        taken_up_by: taken_up_by.to_owned(),
        problem: None,
    }
}
