//! Continuation tokens: where the next page of one particular search begins.
//!
//! A token is the position (start, guid) of the last item given, stamped by the vault together with tenant and query, so that
//! it cannot be made up or used for another search. A position, not an offset: deletions between two pages skip nobody. It
//! says nothing its holder was not just told, and outlives a restart.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oubliette_core::service::{PublicId, Vault};
use uuid::Uuid;

use super::error::Failure;

/// Where a page ended.
pub type Position = (Timestamp, PublicId);

/// Nanoseconds since 1970 and the id.
const POSITION_BYTES: usize = 32;
/// Of the vault's stamp.
const STAMP_BYTES: usize = 16;

/// Makes and reads the tokens of one search.
pub struct Continuation<'a> {
    /// Stamps them.
    pub vault: &'a Vault,
    /// Tenant and query.
    pub binding: Vec<u8>,
}

impl Continuation<'_> {
    /// The token for the page after `position`.
    pub fn token(&self, position: Position) -> String {
        let mut bytes = Vec::with_capacity(POSITION_BYTES + STAMP_BYTES);
        bytes.extend_from_slice(&position.0.as_nanosecond().to_be_bytes());
        bytes.extend_from_slice(position.1.0.as_bytes());
        let stamp = self.stamp(&bytes);
        bytes.extend_from_slice(&stamp);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position a token of the same search holds.
    pub fn position(&self, token: &str) -> Result<Position, Failure> {
        self.open(token).ok_or_else(|| Failure::bad_request("Invalid continuationToken"))
    }

    fn open(&self, token: &str) -> Option<Position> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (position, stamp) = bytes.split_first_chunk::<POSITION_BYTES>()?;
        verify_slices_are_equal(&self.stamp(position), stamp).ok()?;
        let (nanoseconds, id) = position.split_first_chunk::<16>()?;
        let at = Timestamp::from_nanosecond(i128::from_be_bytes(*nanoseconds)).ok()?;
        Some((at, PublicId(Uuid::from_slice(id).ok()?)))
    }

    fn stamp(&self, position: &[u8]) -> [u8; STAMP_BYTES] {
        // The position has a fixed length, so the two parts cannot be shifted against each other.
        let stamp = self.vault.stamp("vonage continuation", &[self.binding.as_slice(), position].concat());
        let mut short = [0; STAMP_BYTES];
        short.copy_from_slice(&stamp[..STAMP_BYTES]);
        short
    }
}
