//! Bearer tokens of embedded callers: 32 random bytes in base64url, known elsewhere by their SHA-256 only.
//! Refuses to print them.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certificates::sha256_hex;
use serde::{Deserialize, Serialize};

/// Random bytes of a token: far beyond guessing.
const LENGTH: usize = 32;

/// SHA-256 of a token's text, in hexadecimal on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TokenHash(String);

/// No randomness from the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandomness;

pub(crate) fn fresh_token() -> Result<String, NoRandomness> {
    let mut bytes = [0_u8; LENGTH];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(sha256_hex(token.trim().as_bytes()))
    }

    /// Compares in constant time: how much of a hash is right must not be measurable.
    pub(crate) fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}
