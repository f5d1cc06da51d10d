//! What a PEM certificate says, and whether it belongs to a key and to a trusted CA. Pure.
//! Refuses chains: our CAs sign leaves directly.

use rcgen::PublicKeyData;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use crate::{LeafContents, LeafName, Usage, sha256_hex};

/// What is known about a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafFacts {
    /// Subject, usages, names.
    pub contents: LeafContents,
    /// The issuer's CN.
    pub issuer: String,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Whether the private key beside it is its own.
    pub key_matches: bool,
    /// Fingerprint of the certificate of the trust bundle that signed it; none if none of them did.
    pub issued_by: Option<String>,
}

/// Not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl ParseError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl LeafFacts {
    /// Reads the first certificate of a PEM chain. Without a key or a bundle the respective answer is no.
    pub fn parse(
        chain_pem: &[u8],
        key_pem: Option<&[u8]>,
        bundle_pem: Option<&[u8]>,
    ) -> Result<Self, ParseError> {
        let pem =
            pems(chain_pem)?.into_iter().next().ok_or_else(|| ParseError::new("it holds no certificate"))?;
        let certificate = x509(&pem)?;
        let key_matches = match key_pem {
            Some(key_pem) => {
                public_key(key_pem)? == certificate.public_key().subject_public_key.data.as_ref()
            }
            None => false,
        };
        let issued_by = match bundle_pem {
            Some(bundle_pem) => signer(&certificate, bundle_pem)?,
            None => None,
        };
        let validity = certificate.validity();
        Ok(Self {
            contents: contents(&certificate)?,
            issuer: common_name(certificate.issuer()),
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
            serial: certificate.raw_serial().to_vec(),
            key_matches,
            issued_by,
        })
    }
}

/// The DER certificates of a PEM bundle; an error when there is none or one is no certificate.
pub fn bundle_certificates(bundle_pem: &[u8]) -> Result<Vec<Vec<u8>>, ParseError> {
    let pems = pems(bundle_pem)?;
    if pems.is_empty() {
        return Err(ParseError::new("it holds no certificate"));
    }
    for pem in &pems {
        x509(pem)?;
    }
    Ok(pems.into_iter().map(|pem| pem.contents).collect())
}

/// The fingerprints of the certificates of a PEM bundle, in its order.
pub fn bundle_fingerprints(bundle_pem: &[u8]) -> Result<Vec<String>, ParseError> {
    Ok(bundle_certificates(bundle_pem)?.iter().map(|certificate| fingerprint(certificate)).collect())
}

/// Half of the SHA-256 of a DER certificate: enough to tell the few CAs of a control plane apart.
fn fingerprint(der: &[u8]) -> String {
    let mut text = sha256_hex(der);
    text.truncate(32);
    text
}

/// Each block of a label (`CERTIFICATE`) by itself, as it stands there, in order.
#[must_use]
pub fn pem_blocks(text: &str, label: &str) -> Vec<String> {
    let end = format!("-----END {label}-----");
    let blocks = text.split_inclusive(&end).filter(|block| block.ends_with(&end));
    blocks.map(|block| format!("{}\n", block.trim_start())).collect()
}

fn pems(bytes: &[u8]) -> Result<Vec<Pem>, ParseError> {
    let parsed: Result<Vec<Pem>, _> = Pem::iter_from_buffer(bytes).collect();
    let pems = parsed.map_err(|error| ParseError::new(format!("it is not PEM: {error}")))?;
    Ok(pems.into_iter().filter(|pem| pem.label == "CERTIFICATE").collect())
}

fn x509(pem: &Pem) -> Result<X509Certificate<'_>, ParseError> {
    pem.parse_x509().map_err(|error| ParseError::new(format!("it is not a certificate: {error}")))
}

fn public_key(key_pem: &[u8]) -> Result<Vec<u8>, ParseError> {
    let text = str::from_utf8(key_pem).map_err(|_| ParseError::new("its key is not PEM"))?;
    let key =
        rcgen::KeyPair::from_pem(text).map_err(|_| ParseError::new("its key is not a PKCS#8 private key"))?;
    Ok(key.der_bytes().to_vec())
}

fn signer(certificate: &X509Certificate<'_>, bundle_pem: &[u8]) -> Result<Option<String>, ParseError> {
    for pem in &pems(bundle_pem)? {
        let authority = x509(pem)?;
        if authority.subject() == certificate.issuer()
            && certificate.verify_signature(Some(authority.public_key())).is_ok()
        {
            return Ok(Some(fingerprint(&pem.contents)));
        }
    }
    Ok(None)
}

fn contents(certificate: &X509Certificate<'_>) -> Result<LeafContents, ParseError> {
    let mut usages = Vec::new();
    let malformed = |error| ParseError::new(format!("it has a malformed extension: {error}"));
    if let Some(extension) = certificate.extended_key_usage().map_err(malformed)? {
        usages.extend(extension.value.server_auth.then_some(Usage::Server));
        usages.extend(extension.value.client_auth.then_some(Usage::Client));
    }
    let names = match certificate.subject_alternative_name().map_err(malformed)? {
        Some(extension) => extension.value.general_names.iter().map(leaf_name).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let organisation = certificate.subject().iter_organization().next().and_then(|name| name.as_str().ok());
    Ok(LeafContents {
        common_name: common_name(certificate.subject()),
        organisation: organisation.map(str::to_owned),
        usages,
        names,
    })
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> String {
    name.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
}

fn leaf_name(name: &GeneralName<'_>) -> Result<LeafName, ParseError> {
    match name {
        GeneralName::DNSName(name) => Ok(LeafName::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let address = match *bytes {
                [_, _, _, _] => <[u8; 4]>::try_from(*bytes).ok().map(Into::into),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(Into::into),
            };
            address.map(LeafName::Ip).ok_or_else(|| ParseError::new("it carries a malformed address"))
        }
        other => Err(ParseError::new(format!("it carries a name of an unknown kind: {other}"))),
    }
}
