//! Continuation tokens: where the next page of one particular search begins.
//!
//! A token is the position (start, guid) of the last item given, encrypted and bound to tenant and query, so it says nothing
//! to whoever sees it and cannot be used for another search. A position, not an offset: deletions between two pages skip
//! nobody. Its key lives as long as the process.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oubliette_core::service::PublicId;
use uuid::Uuid;

use super::error::Failure;

/// Where a page ended.
pub type Position = (Timestamp, PublicId);

/// Nanoseconds since 1970 and the id.
const POSITION_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// Makes and reads tokens.
pub struct Continuation {
    key: Option<RandomizedNonceKey>,
}

impl Continuation {
    /// With a fresh key.
    pub fn new() -> Self {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
        let drawn = rand::fill(bytes.as_mut());
        Self { key: drawn.ok().and_then(|()| RandomizedNonceKey::new(&AES_256_GCM, bytes.as_ref()).ok()) }
    }

    /// The token for the page after `position` of the search `query` says; `None` only when the machine has no randomness.
    pub fn token(&self, query: &[u8], position: Position) -> Option<String> {
        let mut bytes = Vec::with_capacity(NONCE_BYTES + POSITION_BYTES + 16);
        bytes.extend_from_slice(&position.0.as_nanosecond().to_be_bytes());
        bytes.extend_from_slice(position.1.0.as_bytes());
        let nonce = self.key.as_ref()?.seal_in_place_append_tag(Aad::from(query), &mut bytes).ok()?;
        let mut token = nonce.as_ref().to_vec();
        token.append(&mut bytes);
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// The position a token of the same search holds.
    pub fn position(&self, query: &[u8], token: &str) -> Result<Position, Failure> {
        self.open(query, token).ok_or_else(|| Failure::bad_request("Invalid continuationToken"))
    }

    fn open(&self, query: &[u8], token: &str) -> Option<Position> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let sealed = bytes.split_off_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let mut sealed = sealed;
        let opened = self.key.as_ref()?.open_in_place(nonce, Aad::from(query), &mut sealed).ok()?;
        let (nanoseconds, id) = opened.split_first_chunk::<16>()?;
        let at = Timestamp::from_nanosecond(i128::from_be_bytes(*nanoseconds)).ok()?;
        Some((at, PublicId(Uuid::from_slice(id).ok()?)))
    }
}

/// `Vec::split_off` that does not panic.
trait SplitOffChecked: Sized {
    fn split_off_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitOffChecked for Vec<u8> {
    fn split_off_checked(&mut self, at: usize) -> Option<Self> {
        (at <= self.len()).then(|| self.split_off(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_own_search_only() {
        let (continuation, other) = (Continuation::new(), Continuation::new());
        let position = ("2024-01-01T10:00:00.123456789Z".parse().unwrap(), PublicId(Uuid::from_u128(7)));
        let token = continuation.token(b"query", position).unwrap();
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert!(continuation.position(b"query", &token).is_ok_and(|found| found == position));
        assert!(continuation.position(b"other", &token).is_err());
        assert!(other.position(b"query", &token).is_err());
        assert!(continuation.position(b"query", &token[..token.len() - 1]).is_err());
        for bad in ["", "abc", "?", &"A".repeat(80), &"A".repeat(10_000)] {
            assert!(continuation.position(b"query", bad).is_err(), "{bad}");
        }
    }
}
