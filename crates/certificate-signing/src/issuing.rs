//! Signing leaves: contents from the profile table, a random serial, the lifetime, the CA's own limits.
//! Refuses to sign when the clock cannot be right.

use std::cell::RefCell;
use std::rc::Rc;

use certificates::{
    BACKDATED, ContentsError, IssuedCertificate, LeafContents, LeafName, LeafPreview, NamingSettings,
    Profile, Requester, Usage, leaf_contents,
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use time::OffsetDateTime;

use crate::authority_keys::AuthorityKeys;
use crate::lifetimes::Lifetimes;

/// Signs leaves.
#[derive(Debug, Clone)]
pub struct Issuing {
    keys: Rc<AuthorityKeys>,
    naming: RefCell<NamingSettings>,
    /// The names in `naming` that were given from the beginning.
    given_names: Vec<LeafName>,
    lifetimes: Lifetimes,
}

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The CA begins in the future.
    #[error(
        "this machine's clock says {now}, but the CA is valid from {began}: set the clock right; if it is right, the CA was made while the clock was ahead: wait until then, or found the control plane anew"
    )]
    ClockIsBehind {
        /// What the clock says.
        now: OffsetDateTime,
        /// When the CA begins.
        began: OffsetDateTime,
    },
    /// The CA is over.
    #[error(
        "the CA expired at {expired} by this machine's clock ({now}): if the clock is right, the control plane needs new CAs"
    )]
    AuthorityExpired {
        /// What the clock says.
        now: OffsetDateTime,
        /// Since when it is over.
        expired: OffsetDateTime,
    },
    /// The caller's identity does not make a certificate.
    #[error("the caller's names cannot go into a certificate: {0}")]
    Contents(#[from] ContentsError),
    /// Signing failed.
    #[error("cannot sign: {0}")]
    Sign(#[from] rcgen::Error),
    /// No randomness.
    #[error("the system gives no random bytes")]
    Randomness,
}

impl Issuing {
    /// Signs with `keys`.
    #[must_use]
    pub fn new(keys: Rc<AuthorityKeys>, naming: NamingSettings, lifetimes: Lifetimes) -> Self {
        let given_names = naming.extra_names.clone();
        Self { keys, naming: RefCell::new(naming), given_names, lifetimes }
    }

    /// Adds names by which clients reach the API servers and that were learnt late, in place of those learnt before:
    /// requesters hear of them when they next ask what their leaves should carry.
    pub fn name_api_servers(&self, learnt: Vec<LeafName>) {
        self.naming.borrow_mut().extra_names = self.given_names.iter().cloned().chain(learnt).collect();
    }

    pub(crate) fn keys(&self) -> &AuthorityKeys {
        &self.keys
    }

    /// What a leaf of `profile` for `requester` holds.
    pub fn preview(&self, profile: Profile, requester: Requester<'_>) -> Result<LeafPreview, IssueError> {
        let contents = leaf_contents(profile, requester, &self.naming.borrow())?;
        Ok(LeafPreview { contents, lifetime_seconds: self.lifetimes.of(profile).as_secs() })
    }

    /// Signs a leaf of `profile` with `contents` for a public key.
    pub fn issue(
        &self,
        profile: Profile,
        contents: &LeafContents,
        public_key: &impl PublicKeyData,
        now: OffsetDateTime,
    ) -> Result<IssuedCertificate, IssueError> {
        // All authorities are there: a set that lacks one is not opened.
        let Some(authority) = self.keys.authority(profile.authority()) else {
            return Err(IssueError::Randomness);
        };
        if now < authority.not_before {
            return Err(IssueError::ClockIsBehind { now, began: authority.not_before });
        }
        if now >= authority.not_after {
            return Err(IssueError::AuthorityExpired { now, expired: authority.not_after });
        }
        let mut parameters = parameters(contents)?;
        parameters.serial_number = Some(fresh_serial()?);
        parameters.not_before = whole_second(now - BACKDATED);
        parameters.not_after = whole_second(now + self.lifetimes.of(profile)).min(authority.not_after);
        let certificate = parameters.signed_by(public_key, &authority.issuer)?;
        Ok(IssuedCertificate {
            certificate: certificate.pem(),
            not_before: parameters.not_before,
            not_after: parameters.not_after,
        })
    }
}

fn parameters(contents: &LeafContents) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    if let Some(organisation) = &contents.organisation {
        parameters.distinguished_name.push(DnType::OrganizationName, organisation.as_str());
    }
    parameters.distinguished_name.push(DnType::CommonName, contents.common_name.as_str());
    parameters.subject_alt_names =
        contents.names.iter().map(subject_alternative_name).collect::<Result<_, _>>()?;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = contents
        .usages
        .iter()
        .map(|usage| match usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        })
        .collect();
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

fn subject_alternative_name(name: &LeafName) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        LeafName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        LeafName::Ip(address) => SanType::IpAddress(*address),
    })
}

/// Certificates know whole seconds only; the answer should say what the certificate says.
fn whole_second(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}

/// 127 random bits: positive, and never the same twice.
fn fresh_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IssueError::Randomness)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
