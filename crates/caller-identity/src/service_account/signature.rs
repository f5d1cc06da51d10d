//! The keys that a cluster publishes (RFC 7517) and checking a token's signature by one of them. Pure.
//! Refuses a key for another method than its own, and keys of other kinds than RSA and P-256.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::TokenRefusal;
use super::claims::{Algorithm, UnverifiedToken};

/// A cluster's published keys.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct KeySet {
    keys: Vec<PublishedKey>,
}

/// One of them, as it is published.
#[derive(Debug, Clone, Deserialize)]
struct PublishedKey {
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    #[serde(flatten)]
    material: Material,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kty")]
enum Material {
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
    #[serde(rename = "EC")]
    EllipticCurve { crv: String, x: String, y: String },
    #[serde(other)]
    Other,
}

/// A key that can check signatures of one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VerifyingKey {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point.
    P256 {
        point: Vec<u8>,
    },
}

/// The length of one coordinate of P-256, in bytes.
const COORDINATE: usize = 32;

impl KeySet {
    /// The key with this id, if it is one that we can use.
    pub(super) fn find(&self, id: &str) -> Option<VerifyingKey> {
        let with_id = |key: &&PublishedKey| key.kid.as_deref() == Some(id);
        let signs = |key: &&PublishedKey| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        self.keys.iter().filter(with_id).filter(signs).find_map(|key| key.material.verifying_key())
    }
}

impl Material {
    fn verifying_key(&self) -> Option<VerifyingKey> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        match self {
            Self::Rsa { n, e } => Some(VerifyingKey::Rsa { modulus: decode(n)?, exponent: decode(e)? }),
            Self::EllipticCurve { crv, x, y } if crv == "P-256" => {
                let (x, y) = (decode(x)?, decode(y)?);
                let whole = x.len() == COORDINATE && y.len() == COORDINATE;
                whole.then(|| VerifyingKey::P256 { point: [&[4], x.as_slice(), y.as_slice()].concat() })
            }
            Self::EllipticCurve { .. } | Self::Other => None,
        }
    }
}

impl VerifyingKey {
    /// Whether this key signed the token, by the key's own method.
    pub(super) fn verify(&self, token: &UnverifiedToken<'_>) -> Result<(), TokenRefusal> {
        let signed = token.signed.as_bytes();
        let verified = match (self, token.algorithm) {
            (Self::Rsa { modulus, exponent }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    signed,
                    &token.signature,
                )
            }
            (Self::P256 { point }, Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &token.signature)
            }
            _ => return Err(TokenRefusal::Signature),
        };
        verified.map_err(|_| TokenRefusal::Signature)
    }
}
