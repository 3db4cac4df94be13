//! A stored blob: 16 bytes of our own, then the C2SP message over the padded content.
//!
//! ```text
//! 0   4  magic "OUB1"
//! 4   1  algorithm: 1 = Cobblestone-256
//! 5   1  part: 0 = the content itself; others are further forms of it
//! 6  10  zero
//! 16 24  salt
//! 40 32  commitment
//! 72     chunks of 16 KiB + 16, the last one shorter
//! ```
//!
//! The header goes into the key derivation with the rest of the context, so a changed byte of it is noticed. It names no
//! leaf: the row that refers to the blob does, and a blob left behind after its row says nothing of where it belonged.

use std::ops::Range;

use keyforest::{Group, Leaf};

use super::{chunked, padding};
use crate::model::TenantId;

/// Bytes of our own header.
pub const BLOB_HEADER: usize = 16;
/// Bytes in front of the first chunk.
pub const PREFIX: usize = BLOB_HEADER + chunked::HEADER;

const MAGIC: &[u8; 4] = b"OUB1";
const COBBLESTONE_256: u8 = 1;

/// The commitment that the first bytes of a blob name; `None` when these are not a blob's.
pub fn commitment_of(head: &[u8]) -> Option<[u8; chunked::COMMITMENT]> {
    let named = head.get(PREFIX - chunked::COMMITMENT..PREFIX).filter(|_| head.starts_with(MAGIC));
    named?.try_into().ok()
}

/// What a blob belongs to. Bound into its keys: bytes sealed for one place open in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobContext {
    /// The tenant.
    pub tenant: TenantId,
    /// Primary group of the interaction.
    pub interaction: Group,
    /// The content's leaf.
    pub leaf: Leaf,
    /// 0 for the content itself.
    pub part: u8,
}

impl BlobContext {
    /// The 16 bytes in front of a blob.
    pub fn header(&self) -> [u8; BLOB_HEADER] {
        let mut header = [0; BLOB_HEADER];
        header[..4].copy_from_slice(MAGIC);
        header[4] = COBBLESTONE_256;
        header[5] = self.part;
        header
    }

    /// The context of the key derivation: header, tenant, interaction, leaf, in big-endian numbers of fixed width.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOB_HEADER + 20);
        out.extend_from_slice(&self.header());
        out.extend_from_slice(&self.tenant.0.to_be_bytes());
        out.extend_from_slice(&self.interaction.0.to_be_bytes());
        out.extend_from_slice(&self.leaf.0.to_be_bytes());
        out
    }
}

/// Bytes of the stored blob of a content of `length` bytes. `None` past the format's limit.
pub fn stored_length(length: u64) -> Option<u64> {
    Some(BLOB_HEADER as u64 + chunked::sealed_length(padding::padded_length(length))?)
}

/// Where the chunks `chunks` of a content of `length` bytes lie in its blob.
pub fn stored_span(chunks: &Range<u64>, length: u64) -> Range<u64> {
    let span = chunked::sealed_span(chunks, padding::padded_length(length));
    span.start + BLOB_HEADER as u64..span.end + BLOB_HEADER as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_a_blob_is_pinned() {
        let context = BlobContext { tenant: TenantId(7), interaction: Group(3), leaf: Leaf(25), part: 2 };
        assert_eq!(hex::encode(context.header()), "4f554231010200000000000000000000");
        assert_eq!(hex::encode(&context.encode()[16..]), "00000007000000000000000300000000000000".to_owned() + "19");
        assert_eq!(stored_length(0), Some(16 + 56 + 512 + 16));
        assert_eq!(stored_span(&(0..1), 0), 72..72 + 512 + 16);
        assert_eq!(stored_length(16_384), Some(16 + 56 + 16_384 + 32));
        assert_eq!(stored_length(u64::MAX), None);
    }
}
