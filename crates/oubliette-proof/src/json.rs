//! Canonical JSON: RFC 8785. Keys stand in order, there is no white space, strings have one spelling, numbers are whole and
//! below 2^53.
//!
//! Types are declared with their fields in order, so that writing them is canonical; reading writes again what was read, and
//! refuses whatever was spelt otherwise. A document is one line with its newline.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoding::{base64, from_base64};
use crate::hash::Hash;
use crate::id::Salt;

/// Numbers above this are spelt differently by different readers.
const LARGEST: u64 = (1 << 53) - 1;

/// The document's line. `None` when a number is too large.
pub(crate) fn to_line<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(value).ok()?;
    line.push(b'\n');
    Some(line)
}

/// Reads a document as [`to_line`] writes it, and nothing else.
pub(crate) fn from_line<T: Serialize + DeserializeOwned>(line: &[u8]) -> Option<T> {
    let value = serde_json::from_slice(line).ok()?;
    (to_line(&value)? == line).then_some(value)
}

/// A count: whole, below 2^53.
pub(crate) mod count {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(count: &u64, to: S) -> Result<S::Ok, S::Error> {
        if *count > LARGEST {
            return Err(serde::ser::Error::custom("a number too large"));
        }
        to.serialize_u64(*count)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let count = u64::deserialize(from)?;
        if count > LARGEST { Err(serde::de::Error::custom("a number too large")) } else { Ok(count) }
    }
}

/// Bytes in base64.
pub(crate) mod bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        from_base64(&text).ok_or_else(|| serde::de::Error::custom("not base64"))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = bytes::deserialize(from)?;
        Self::from_slice(&bytes).ok_or_else(|| serde::de::Error::custom("not a hash"))
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Hash::deserialize(from).map(|hash| Self(hash.0))
    }
}
