//! What a token says about itself, before anything of it is believed. Pure.
//! Refuses what is no signed JWT, and headers that demand what we do not know.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::TokenRefusal;

/// A token in its parts; nothing of it is proven.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: String,
    pub(super) claims: Claims,
    /// What was signed.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

/// The methods by which a Kubernetes API server signs and that we know; others (`none`, HMAC) prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "iss")]
    pub(super) issuer: String,
    #[serde(rename = "sub")]
    pub(super) subject: String,
    #[serde(rename = "aud")]
    pub(super) audience: Audience,
    #[serde(rename = "exp")]
    pub(super) expires: i64,
    #[serde(rename = "nbf")]
    pub(super) not_before: i64,
    #[serde(rename = "kubernetes.io")]
    pub(super) kubernetes: KubernetesClaims,
}

/// JWT allows both forms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct KubernetesClaims {
    pub(super) namespace: String,
    #[serde(rename = "serviceaccount")]
    pub(super) service_account: ObjectReference,
    pub(super) pod: Option<ObjectReference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ObjectReference {
    pub(super) name: String,
    pub(super) uid: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> UnverifiedToken<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenRefusal> {
        let wrong = TokenRefusal::Malformed;
        let (signed, signature) = token.rsplit_once('.').ok_or(wrong("it has no three parts"))?;
        let (header, claims) = signed.split_once('.').ok_or(wrong("it has no three parts"))?;
        let header: Header = part(header).ok_or(wrong("its header cannot be read"))?;
        // RFC 7515, 4.1.11: whoever does not know what is critical must refuse.
        if header.crit.is_some() {
            return Err(wrong("its header has critical extensions"));
        }
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            _ => return Err(TokenRefusal::Algorithm),
        };
        let key_id = header.kid.filter(|id| !id.is_empty()).ok_or(TokenRefusal::Algorithm)?;
        Ok(Self {
            algorithm,
            key_id,
            claims: part(claims).ok_or(wrong("its claims are not those of a ServiceAccount"))?,
            signed,
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| wrong("its signature cannot be read"))?,
        })
    }
}

impl Audience {
    /// Whether the token is for `audience` and nobody else.
    pub(super) fn is_exactly(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => matches!(several.as_slice(), [one] if one == audience),
        }
    }
}

fn part<T: DeserializeOwned>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}
