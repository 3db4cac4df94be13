//! Text forms of numbers and bytes, each with exactly one spelling.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::hash::Hash;

/// RFC 4648 §4, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Appends a hash in base64 without allocating.
pub(crate) fn push_base64(out: &mut Vec<u8>, hash: &[u8; 32]) {
    let mut text = [0; 44];
    // 32 bytes are 44 characters: there is room.
    let length = BASE64_STANDARD.encode_slice(hash, &mut text).unwrap_or_default();
    out.extend_from_slice(&text[..length]);
}

/// Reads what [`base64`] writes: padding as it must be, unused bits zero.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

/// Reads a hash in base64.
pub(crate) fn hash_from_base64(text: &str) -> Option<Hash> {
    Hash::from_slice(&from_base64(text)?)
}

/// Reads a decimal number without sign and leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
