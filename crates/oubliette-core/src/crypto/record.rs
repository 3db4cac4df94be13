//! Small sealed records: metadata, descriptions, directory blocks, orders.
//!
//! Layout: version 1 (1 byte) ‖ salt (24) ‖ AES-256-GCM ciphertext and tag. The data key is HKDF-SHA-256(salt, leaf key,
//! info = label ‖ context) and is used once, so the nonce is zero. The context binds the record to its place: a record
//! moved to another row does not open.
//!
//! What is sealed is the content, one byte 0x80, and zeros up to the next multiple of 64 (above 1 KiB: to the next size class
//! of [`super::padding`]), so that the length of a name or a number does not show.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use keyforest::LeafKey;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

const VERSION: u8 = 1;
const SALT: usize = 24;
const TAG: usize = 16;
const LABEL: &[u8] = b"oubliette/record/1";

/// Lengths are padded to multiples of this.
const STEP: usize = 64;
/// Above this length in bytes to size classes.
const CLASSES_FROM: usize = 1_024;
const END: u8 = 0x80;

/// A record did not open: it was changed, moved, or sealed under another key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a sealed record did not open")]
pub struct RecordError;

/// Where a record belongs.
#[derive(Clone, Copy)]
pub enum Place {
    /// Metadata of an interaction: tenant, group.
    Interaction(u32, u64),
    /// Description of a content: tenant, group of its interaction, leaf.
    Content(u32, u64, u64),
    /// A directory block: number, leaf.
    Directory(u64, u64),
    /// An order: purge id.
    Order([u8; 16]),
}

impl Place {
    fn encode(self) -> [u8; 25] {
        let mut out = [0; 25];
        let (tag, parts): (u8, [u64; 3]) = match self {
            Self::Interaction(tenant, group) => (1, [u64::from(tenant), group, 0]),
            Self::Content(tenant, group, leaf) => (2, [u64::from(tenant), group, leaf]),
            Self::Directory(block, leaf) => (3, [block, leaf, 0]),
            Self::Order(id) => {
                let (high, low) = id.split_at(8);
                let part = |bytes: &[u8]| bytes.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
                (4, [part(high), part(low), 0])
            }
        };
        out[0] = tag;
        for (slot, part) in out[1..].chunks_exact_mut(8).zip(parts) {
            slot.copy_from_slice(&part.to_be_bytes());
        }
        out
    }
}

/// Seals `content` under the leaf key with a fresh salt. The content buffer is wiped.
pub fn seal(key: &LeafKey, place: Place, mut content: Vec<u8>) -> Result<Vec<u8>, RecordError> {
    let mut salt = [0; SALT];
    rand::fill(&mut salt).map_err(|_| RecordError)?;
    let place = place.encode();
    let cipher = cipher(key, &salt, &place)?;
    let padded = padded(content.len() + 1).ok_or(RecordError)?;
    let mut out = Vec::with_capacity(1 + SALT + padded + TAG);
    out.push(VERSION);
    out.extend_from_slice(&salt);
    out.extend_from_slice(&content);
    content.zeroize();
    out.push(END);
    out.resize(1 + SALT + padded, 0);
    let tag =
        cipher.seal_in_place_separate_tag(nonce(), Aad::from(place), &mut out[1 + SALT..]).map_err(|_| RecordError)?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// Opens a record sealed for this place.
pub fn open(key: &LeafKey, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecordError> {
    let (version, rest) = sealed.split_first().ok_or(RecordError)?;
    let (salt, body) = rest.split_first_chunk::<SALT>().ok_or(RecordError)?;
    if *version != VERSION {
        return Err(RecordError);
    }
    let place = place.encode();
    let cipher = cipher(key, salt, &place)?;
    let mut content = Zeroizing::new(body.to_vec());
    let length = cipher.open_in_place(nonce(), Aad::from(place), &mut content).map_err(|_| RecordError)?.len();
    content.truncate(length);
    let end = content.iter().rposition(|byte| *byte != 0).filter(|end| content[*end] == END).ok_or(RecordError)?;
    content.truncate(end);
    Ok(content)
}

fn padded(length: usize) -> Option<usize> {
    if length <= CLASSES_FROM {
        return Some(length.next_multiple_of(STEP));
    }
    usize::try_from(super::padding::padded_length(length as u64)).ok()
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

fn cipher(key: &LeafKey, salt: &[u8; SALT], place: &[u8]) -> Result<LessSafeKey, RecordError> {
    let prk = Salt::new(HKDF_SHA256, salt).extract(key.expose());
    let mut data_key = Zeroizing::new([0_u8; 32]);
    prk.expand(&[LABEL, place], KeyLength).and_then(|okm| okm.fill(&mut *data_key)).map_err(|_| RecordError)?;
    UnboundKey::new(&AES_256_GCM, &*data_key).map(LessSafeKey::new).map_err(|_| RecordError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> LeafKey {
        LeafKey::new([byte; 32])
    }

    #[test]
    fn a_record_opens_only_at_its_place_and_under_its_key() {
        let sealed = seal(&key(1), Place::Interaction(1, 7), b"personal".to_vec()).unwrap();
        assert_eq!(&*open(&key(1), Place::Interaction(1, 7), &sealed).unwrap(), b"personal");
        assert!(open(&key(1), Place::Interaction(1, 8), &sealed).is_err());
        assert!(open(&key(1), Place::Interaction(2, 7), &sealed).is_err());
        assert!(open(&key(1), Place::Content(1, 7, 0), &sealed).is_err());
        assert!(open(&key(2), Place::Interaction(1, 7), &sealed).is_err());
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let sealed = seal(&key(1), Place::Order([9; 16]), b"reference".to_vec()).unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(open(&key(1), Place::Order([9; 16]), &changed).is_err(), "byte {position}");
        }
        for length in 0..sealed.len() {
            assert!(open(&key(1), Place::Order([9; 16]), &sealed[..length]).is_err());
        }
    }

    #[test]
    fn contents_of_any_length_come_back_and_show_only_a_class_of_it() {
        let mut lengths = std::collections::BTreeSet::new();
        for length in 0..3_000 {
            // Ends in what looks like padding.
            let mut content = vec![0; length];
            if let Some(first) = content.first_mut() {
                *first = END;
            }
            let sealed = seal(&key(1), Place::Directory(1, 2), content.clone()).unwrap();
            assert_eq!(*open(&key(1), Place::Directory(1, 2), &sealed).unwrap(), content);
            lengths.insert(sealed.len());
        }
        assert!(lengths.len() < 60, "{} lengths", lengths.len());
    }

    #[test]
    fn the_same_content_is_never_sealed_to_the_same_bytes() {
        let first = seal(&key(1), Place::Directory(1, 2), b"same".to_vec()).unwrap();
        let second = seal(&key(1), Place::Directory(1, 2), b"same".to_vec()).unwrap();
        assert_ne!(first, second);
    }
}
