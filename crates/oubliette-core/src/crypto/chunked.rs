//! C2SP chunked encryption, instance Cobblestone-256 (HKDF-Expand with SHA-512, AES-256-GCM).
//!
//! Source: <https://c2sp.org/chunked-encryption>, version 1. From a 32-byte input key, a 24-byte salt and a context come one
//! AES key, one base nonce and a 32-byte commitment. The message is cut into chunks of 16 KiB, the last of them always
//! shorter (possibly empty); chunk `k` is sealed under the base nonce XOR `k`. The sealed form is
//! `salt ‖ commitment ‖ chunks`, so chunk `k` lies at `56 + k · (16384 + 16)` and can be opened alone.
//!
//! Whether a chunk is the last is told by its length alone; no flag travels beside it.
//!
//! Pure: no I/O, no randomness. A salt must never repeat under one input key; callers draw it at random.

use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Plaintext;

/// Plain bytes of every chunk but the last.
pub const CHUNK: usize = 16 * 1024;
/// Bytes of a chunk's authentication tag.
pub const TAG: usize = 16;
/// Sealed bytes of every chunk but the last.
pub const SEALED_CHUNK: usize = CHUNK + TAG;
/// Bytes of the salt.
pub const SALT: usize = 24;
/// Bytes of the commitment.
pub const COMMITMENT: usize = 32;
/// Bytes in front of the first chunk.
pub const HEADER: usize = SALT + COMMITMENT;
/// Most chunks of a message (the format's limit: 4 PiB).
pub const MAX_CHUNKS: u64 = 1 << 38;

const NONCE: usize = 12;
const KEY: usize = 32;
const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";

/// Why a chunk was not sealed or opened. Says nothing of keys or content.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChunkError {
    /// The bytes are not what was sealed under this key, context and position.
    #[error("the chunk does not open")]
    NotAuthentic,
    /// The header commits to another key, context or salt.
    #[error("the commitment does not match")]
    Commitment,
    /// A buffer's length does not fit the format.
    #[error("the chunk has an impossible length")]
    Length,
    /// The last chunk was sealed before.
    #[error("the message is complete")]
    Complete,
    /// More chunks than the format allows.
    #[error("the message is too long")]
    TooLong,
}

/// Bytes of the sealed form of a message of `plain` bytes, header included. `None` past the format's limit.
pub fn sealed_length(plain: u64) -> Option<u64> {
    let chunks = plain / CHUNK as u64 + 1;
    (chunks <= MAX_CHUNKS).then(|| HEADER as u64 + plain + chunks * TAG as u64)
}

/// Numbers of the chunks that hold the plain bytes `range`; empty for an empty range.
pub fn chunk_span(range: &Range<u64>) -> Range<u64> {
    let chunk = CHUNK as u64;
    if range.is_empty() {
        return range.start / chunk..range.start / chunk;
    }
    range.start / chunk..(range.end - 1) / chunk + 1
}

/// Where the chunks `chunks` of a message of `plain` bytes lie in its sealed form.
pub fn sealed_span(chunks: &Range<u64>, plain: u64) -> Range<u64> {
    let at = |chunk: u64| HEADER as u64 + chunk * SEALED_CHUNK as u64;
    let end = HEADER as u64 + plain + (plain / CHUNK as u64 + 1) * TAG as u64;
    at(chunks.start).min(end)..at(chunks.end).min(end)
}

/// The derived keys of one message. Wiped when dropped (the library cleanses what it frees).
pub struct MessageKey {
    aead: LessSafeKey,
    base_nonce: [u8; NONCE],
}

struct Material;

impl KeyType for Material {
    fn len(&self) -> usize {
        KEY + NONCE + COMMITMENT
    }
}

impl MessageKey {
    /// Derives the keys of a message and the commitment that names them.
    pub fn derive(key: &[u8; KEY], context: &[u8], salt: &[u8; SALT]) -> (Self, [u8; COMMITMENT]) {
        let mut material = Zeroizing::new([0_u8; KEY + NONCE + COMMITMENT]);
        let info = [LABEL, salt, context];
        Prk::new_less_safe(HKDF_SHA512, key)
            .expand(&info, Material)
            .and_then(|okm| okm.fill(&mut material[..]))
            .expect("76 bytes are below HKDF's limit of 255 hash lengths");
        let (aead_key, rest) = material.split_at(KEY);
        let (nonce, commitment) = rest.split_at(NONCE);
        let aead = UnboundKey::new(&AES_256_GCM, aead_key).expect("32 bytes are an AES-256 key");
        let mut this = Self { aead: LessSafeKey::new(aead), base_nonce: [0; NONCE] };
        this.base_nonce.copy_from_slice(nonce);
        let mut out = [0; COMMITMENT];
        out.copy_from_slice(commitment);
        (this, out)
    }

    /// Seals chunk `index` in place and gives its tag. Only for callers that count chunks themselves and never seal one
    /// number twice; a full chunk is a middle one, a shorter one the last.
    pub fn seal_chunk(&self, index: u64, chunk: &mut [u8]) -> Result<[u8; TAG], ChunkError> {
        if chunk.len() > CHUNK {
            return Err(ChunkError::Length);
        }
        let tag = self
            .aead
            .seal_in_place_separate_tag(self.nonce(index)?, Aad::empty(), chunk)
            .map_err(|_| ChunkError::Length)?;
        tag.as_ref().try_into().map_err(|_| ChunkError::Length)
    }

    /// Opens chunk `index` into `plain`, whose length must be that of `sealed` less the tag. On an error `plain` holds
    /// nothing of use.
    pub fn open_chunk(&self, index: u64, sealed: &[u8], plain: &mut [u8]) -> Result<(), ChunkError> {
        let Some(length) = sealed.len().checked_sub(TAG) else { return Err(ChunkError::Length) };
        if length > CHUNK || plain.len() != length {
            return Err(ChunkError::Length);
        }
        let (cipher, tag) = sealed.split_at(length);
        self.aead
            .open_separate_gather(self.nonce(index)?, Aad::empty(), cipher, tag, plain)
            .map_err(|_| ChunkError::NotAuthentic)
    }

    fn nonce(&self, index: u64) -> Result<Nonce, ChunkError> {
        if index >= MAX_CHUNKS {
            return Err(ChunkError::TooLong);
        }
        let mut nonce = self.base_nonce;
        for (byte, counter) in nonce[NONCE - 8..].iter_mut().zip(index.to_be_bytes()) {
            *byte ^= counter;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Counts the chunks of a message being sealed, so that no number is used twice and nothing follows the last.
#[derive(Default)]
pub(super) struct Counter {
    next: u64,
    complete: bool,
}

impl Counter {
    /// The number of the next chunk, which has `length` plain bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<u64, ChunkError> {
        if self.complete {
            return Err(ChunkError::Complete);
        }
        let index = self.next;
        self.complete = length < CHUNK;
        self.next += 1;
        Ok(index)
    }
}

/// Builds the 56 bytes in front of the chunks.
pub(super) fn header(salt: &[u8; SALT], commitment: &[u8; COMMITMENT]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..SALT].copy_from_slice(salt);
    header[SALT..].copy_from_slice(commitment);
    header
}

/// Derives a message's keys from its header, checking that header, key, context and expected commitment all belong
/// together.
pub(super) fn key_for_header(
    key: &[u8; KEY],
    context: &[u8],
    header: &[u8; HEADER],
    expected: &[u8; COMMITMENT],
) -> Result<MessageKey, ChunkError> {
    let (salt, stored) = header.split_at(SALT);
    let salt: &[u8; SALT] = salt.try_into().map_err(|_| ChunkError::Length)?;
    let (message, derived) = MessageKey::derive(key, context, salt);
    let same = verify_slices_are_equal(stored, &derived).and(verify_slices_are_equal(expected, &derived));
    same.map_err(|_| ChunkError::Commitment)?;
    Ok(message)
}

/// Seals one message with a key held outside any [`super::KeyCell`].
pub struct Sealer {
    key: MessageKey,
    counter: Counter,
}

impl Sealer {
    /// Begins a message: the sealer, the bytes in front of the chunks, and the commitment to pin elsewhere.
    pub fn new(key: &[u8; KEY], context: &[u8], salt: [u8; SALT]) -> (Self, [u8; HEADER], [u8; COMMITMENT]) {
        let (key, commitment) = MessageKey::derive(key, context, &salt);
        (Self { key, counter: Counter::default() }, header(&salt, &commitment), commitment)
    }

    /// Seals the next chunk in place and appends its tag. A full chunk is a middle one; a shorter one is the last, and
    /// there must be exactly one.
    pub fn chunk(&mut self, buffer: &mut Vec<u8>) -> Result<(), ChunkError> {
        if buffer.len() > CHUNK {
            return Err(ChunkError::Length);
        }
        let index = self.counter.take(buffer.len())?;
        let tag = self.key.seal_chunk(index, buffer)?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }
}

/// Opens one message with a key held outside any [`super::KeyCell`].
pub struct Opener {
    key: MessageKey,
}

impl Opener {
    /// Checks the commitment; [`ChunkError::Commitment`] for another key, context or message.
    pub fn new(
        key: &[u8; KEY],
        context: &[u8],
        header: &[u8; HEADER],
        expected: &[u8; COMMITMENT],
    ) -> Result<Self, ChunkError> {
        Ok(Self { key: key_for_header(key, context, header, expected)? })
    }

    /// Opens chunk `index`. The caller knows from the message's length how long the chunk must be and hands over exactly
    /// that: a full chunk opens only as a middle one, a shorter one only as the last.
    pub fn open_chunk(&self, index: u64, sealed: &[u8]) -> Result<Plaintext, ChunkError> {
        let mut plain = Plaintext::zeroed(sealed.len().checked_sub(TAG).ok_or(ChunkError::Length)?);
        self.key.open_chunk(index, sealed, plain.as_mut())?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA256, digest};
    use proptest::prelude::*;

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 + (i >> 8)) as u8).collect()
    }

    fn seal_all(key: &[u8; 32], context: &[u8], salt: [u8; SALT], plain: &[u8]) -> (Vec<u8>, [u8; COMMITMENT]) {
        let (mut sealer, header, commitment) = Sealer::new(key, context, salt);
        let mut out = header.to_vec();
        let mut chunks: Vec<&[u8]> = plain.chunks(CHUNK).collect();
        if plain.len().is_multiple_of(CHUNK) {
            chunks.push(&[]);
        }
        for chunk in chunks {
            let mut buffer = chunk.to_vec();
            sealer.chunk(&mut buffer).unwrap();
            out.extend_from_slice(&buffer);
        }
        assert_eq!(sealer.chunk(&mut Vec::new()), Err(ChunkError::Complete));
        (out, commitment)
    }

    fn header_of(sealed: &[u8]) -> &[u8; HEADER] {
        sealed[..HEADER].try_into().unwrap()
    }

    #[test]
    fn what_another_implementation_sealed_comes_out_byte_for_byte_the_same() {
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        let mut lines = 0;
        for line in include_str!("../../testdata/cobblestone-256.tsv").lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap();
            let (length, context) = (next().parse::<usize>().unwrap(), next().as_bytes());
            let salt: [u8; SALT] = hex::decode(next()).unwrap().try_into().unwrap();
            let (expected, total, hash) = (next(), next().parse::<usize>().unwrap(), next());
            let (sealed, commitment) = seal_all(&key, context, salt, &pattern(length));
            assert_eq!(hex::encode(commitment), expected, "commitment of {length}");
            assert_eq!(sealed.len(), total);
            assert_eq!(sealed.len() as u64, sealed_length(length as u64).unwrap());
            assert_eq!(hex::encode(digest(&SHA256, &sealed)), hash, "bytes of {length}");
            lines += 1;
        }
        assert_eq!(lines, 10);
    }

    #[test]
    fn a_full_chunk_never_opens_as_another_number_and_a_cut_last_chunk_not_at_all() {
        let (sealed, commitment) = seal_all(&[1; 32], b"c", [2; SALT], &pattern(3 * CHUNK + 5));
        let opener = Opener::new(&[1; 32], b"c", header_of(&sealed), &commitment).unwrap();
        let at = |k: u64| {
            let span = sealed_span(&(k..k + 1), 3 * CHUNK as u64 + 5);
            &sealed[span.start as usize..span.end as usize]
        };
        assert_eq!(opener.open_chunk(1, at(1)).unwrap().as_ref(), &pattern(3 * CHUNK + 5)[CHUNK..2 * CHUNK]);
        assert_eq!(opener.open_chunk(0, at(1)).err(), Some(ChunkError::NotAuthentic));
        assert_eq!(opener.open_chunk(3, at(3)).unwrap().as_ref().len(), 5);
        assert_eq!(opener.open_chunk(3, &at(3)[..20]).err(), Some(ChunkError::NotAuthentic));
        assert_eq!(opener.open_chunk(3, &at(3)[..15]).err(), Some(ChunkError::Length));
        assert_eq!(opener.open_chunk(2, &at(2)[..CHUNK]).err(), Some(ChunkError::NotAuthentic));
        assert_eq!(opener.open_chunk(MAX_CHUNKS, at(1)).err(), Some(ChunkError::TooLong));
    }

    #[test]
    fn another_key_context_salt_or_pinned_commitment_is_refused_before_any_chunk_is_read() {
        let (sealed, commitment) = seal_all(&[1; 32], b"c", [2; SALT], b"hello");
        let header = header_of(&sealed);
        assert!(Opener::new(&[1; 32], b"c", header, &commitment).is_ok());
        assert_eq!(Opener::new(&[9; 32], b"c", header, &commitment).err(), Some(ChunkError::Commitment));
        assert_eq!(Opener::new(&[1; 32], b"d", header, &commitment).err(), Some(ChunkError::Commitment));
        assert_eq!(Opener::new(&[1; 32], b"c", header, &[0; 32]).err(), Some(ChunkError::Commitment));
        let mut other = *header;
        other[0] ^= 1;
        assert_eq!(Opener::new(&[1; 32], b"c", &other, &commitment).err(), Some(ChunkError::Commitment));
        other = *header;
        other[SALT] ^= 1;
        assert_eq!(Opener::new(&[1; 32], b"c", &other, &commitment).err(), Some(ChunkError::Commitment));
    }

    #[test]
    fn spans_follow_the_formats_arithmetic() {
        let chunk = CHUNK as u64;
        assert_eq!(chunk_span(&(0..1)), 0..1);
        assert_eq!(chunk_span(&(chunk - 1..chunk + 1)), 0..2);
        assert_eq!(chunk_span(&(chunk..2 * chunk)), 1..2);
        assert_eq!(chunk_span(&(5..5)), 0..0);
        assert_eq!(sealed_span(&(1..2), 3 * chunk), 56 + 16_400..56 + 32_800);
        assert_eq!(sealed_span(&(3..4), 3 * chunk), 56 + 3 * 16_400..56 + 3 * 16_400 + 16);
        assert_eq!(sealed_length(0), Some(72));
        assert_eq!(sealed_length(MAX_CHUNKS * chunk), None);
    }

    proptest! {
        #[test]
        fn every_sealed_message_opens_again_and_any_flipped_bit_is_noticed(
            length in 0_usize..40_000, bit in any::<prop::sample::Index>(), salt in any::<[u8; 24]>(),
        ) {
            let plain = pattern(length);
            let (mut sealed, commitment) = seal_all(&[7; 32], b"ctx", salt, &plain);
            let open = |sealed: &[u8]| -> Result<Vec<u8>, ChunkError> {
                let opener = Opener::new(&[7; 32], b"ctx", header_of(sealed), &commitment)?;
                let mut out = Vec::new();
                for k in 0..=(length / CHUNK) as u64 {
                    let span = sealed_span(&(k..k + 1), length as u64);
                    out.extend_from_slice(
                        opener.open_chunk(k, &sealed[span.start as usize..span.end as usize])?.as_ref(),
                    );
                }
                Ok(out)
            };
            prop_assert_eq!(open(&sealed), Ok(plain));
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&sealed).is_err());
        }
    }
}
