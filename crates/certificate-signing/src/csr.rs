//! Reading a CSR: its public key is taken, and whatever else it asks for must be what the profile gives anyway. Pure.
//! Refuses keys that are not P-256, and every request for more.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use certificates::{LeafContents, LeafName, Usage};
use rcgen::{
    CertificateSigningRequestParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData, SanType,
};
use x509_parser::pem::Pem;

/// Why a CSR is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsrError {
    #[error("the body is not one certificate signing request in PEM: {0}")]
    Malformed(String),
    #[error("the key is not an ECDSA P-256 key")]
    Key,
    #[error("the request asks for {0}, which its profile does not give")]
    AsksForMore(String),
}

/// The public key of a CSR that asks for nothing but `contents`, or for nothing.
pub(crate) fn public_key(body: &[u8], contents: &LeafContents) -> Result<PublicKey, CsrError> {
    let malformed = |why: &dyn ToString| CsrError::Malformed(why.to_string());
    let blocks: Vec<Pem> =
        Pem::iter_from_buffer(body).collect::<Result<_, _>>().map_err(|error| malformed(&error))?;
    let [block] = blocks.as_slice() else { return Err(malformed(&format!("{} blocks", blocks.len()))) };
    if block.label != "CERTIFICATE REQUEST" {
        return Err(malformed(&format!("a block {:?}", block.label)));
    }
    let request =
        CertificateSigningRequestParams::from_der(&block.contents.as_slice().into()).map_err(|error| {
            match error {
                rcgen::Error::UnsupportedExtension => CsrError::AsksForMore("an extension".to_owned()),
                rcgen::Error::UnsupportedSignatureAlgorithm => CsrError::Key,
                other => malformed(&other),
            }
        })?;
    let key = request.public_key;
    if PublicKeyData::algorithm(&key) != &PKCS_ECDSA_P256_SHA256
        || ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.der_bytes()).is_err()
    {
        return Err(CsrError::Key);
    }
    refuse_more(&request.params, contents).map(|()| key)
}

fn refuse_more(asked: &rcgen::CertificateParams, contents: &LeafContents) -> Result<(), CsrError> {
    for (kind, value) in asked.distinguished_name.iter() {
        let value = text(value);
        let given = match kind {
            DnType::CommonName => Some(contents.common_name.as_str()),
            DnType::OrganizationName => contents.organisation.as_deref(),
            _ => None,
        };
        if given != Some(value.as_str()) {
            return Err(CsrError::AsksForMore(format!("the subject {value:?}")));
        }
    }
    for name in &asked.subject_alt_names {
        let known = leaf_name(name).is_some_and(|name| contents.names.contains(&name));
        if !known {
            return Err(CsrError::AsksForMore(format!("the name {name:?}")));
        }
    }
    for usage in &asked.extended_key_usages {
        let given = match usage {
            ExtendedKeyUsagePurpose::ServerAuth => contents.usages.contains(&Usage::Server),
            ExtendedKeyUsagePurpose::ClientAuth => contents.usages.contains(&Usage::Client),
            _ => false,
        };
        if !given {
            return Err(CsrError::AsksForMore(format!("the usage {usage:?}")));
        }
    }
    if asked.key_usages.iter().any(|usage| *usage != KeyUsagePurpose::DigitalSignature) {
        return Err(CsrError::AsksForMore("key usages".to_owned()));
    }
    match asked.is_ca {
        IsCa::NoCa | IsCa::ExplicitNoCa => Ok(()),
        IsCa::Ca(_) => Err(CsrError::AsksForMore("a CA".to_owned())),
    }
}

fn text(value: &DnValue) -> String {
    match value {
        DnValue::Utf8String(text) => text.clone(),
        DnValue::PrintableString(text) => text.as_str().to_owned(),
        DnValue::Ia5String(text) => text.as_str().to_owned(),
        // Rare encodings never equal what a profile gives.
        other => format!("{other:?}"),
    }
}

fn leaf_name(name: &SanType) -> Option<LeafName> {
    match name {
        SanType::DnsName(name) => Some(LeafName::Dns(name.as_str().to_ascii_lowercase())),
        SanType::IpAddress(address) => Some(LeafName::Ip(*address)),
        _ => None,
    }
}
