//! Public ids: a permutation of leaf groups into UUIDv8s, so that no table of erased ids is needed (design §3).
//!
//! The 122 free bits of a UUID hold the group's number (64 bits) and 58 zero bits, permuted by AES-256 under the tenant's
//! secret. Cycle walking keeps the fixed bits: the cipher is applied until version and variant fit (64 blocks on average).
//! Decoding walks back and demands the zeros, so a forged id passes with probability 2^-58 and a foreign tenant's id decodes
//! to nothing. Ids of contents, which only certificates have, are made of a leaf in the same way, with a one in place of the
//! last zero.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use keyforest::{Group, Leaf};
use uuid::Uuid;

use crate::service::PublicId;

/// The permutation of one tenant.
pub struct IdCipher {
    forward: EncryptingKey,
    backward: DecryptingKey,
}

/// The permutation could not be set up (the provider refused the key).
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the id permutation could not be set up")]
pub struct IdCipherError;

/// Longest walk before giving up. The chance that 8,192 blocks in a row do not fit is below 2^-180.
const LONGEST_WALK: usize = 8_192;

/// Ids made side by side.
const SIDE_BY_SIDE: usize = 4_096;

fn group_bits(group: Group) -> u128 {
    u128::from(group.0) << 58
}

fn content_bits(leaf: Leaf) -> u128 {
    (u128::from(leaf.0) << 58) | 1
}

impl IdCipher {
    /// The permutation under a tenant's 32-byte secret.
    pub fn new(secret: &[u8; 32]) -> Result<Self, IdCipherError> {
        let key = || UnboundCipherKey::new(&AES_256, secret).map_err(|_| IdCipherError);
        Ok(Self {
            forward: EncryptingKey::ecb(key()?).map_err(|_| IdCipherError)?,
            backward: DecryptingKey::ecb(key()?).map_err(|_| IdCipherError)?,
        })
    }

    /// The id of a group.
    pub fn encode(&self, group: Group) -> Result<PublicId, IdCipherError> {
        self.walk(group_bits(group))
    }

    /// The id that a content under this leaf has in certificates.
    pub fn encode_content(&self, leaf: Leaf) -> Result<PublicId, IdCipherError> {
        self.walk(content_bits(leaf))
    }

    /// The ids of many groups, in their order. Walks them side by side, which is many times faster than one by one.
    pub fn encode_all(&self, groups: &[Group]) -> Result<Vec<PublicId>, IdCipherError> {
        self.walk_all(groups, |group| group_bits(*group))
    }

    /// The same of contents.
    pub fn encode_contents(&self, leaves: &[Leaf]) -> Result<Vec<PublicId>, IdCipherError> {
        self.walk_all(leaves, |leaf| content_bits(*leaf))
    }

    fn walk_all<T>(&self, all: &[T], bits: impl Fn(&T) -> u128) -> Result<Vec<PublicId>, IdCipherError> {
        let mut ids = vec![PublicId(Uuid::nil()); all.len()];
        for (some, ids) in all.chunks(SIDE_BY_SIDE).zip(ids.chunks_mut(SIDE_BY_SIDE)) {
            let mut blocks: Vec<u8> = some.iter().flat_map(|one| spread(bits(one))).collect();
            let mut walking: Vec<usize> = (0..some.len()).collect();
            for _ in 0..LONGEST_WALK {
                self.forward.encrypt(&mut blocks).map_err(|_| IdCipherError)?;
                let mut kept = 0;
                for at in 0..walking.len() {
                    let mut block = [0; 16];
                    block.copy_from_slice(&blocks[at * 16..at * 16 + 16]);
                    if fits(&block) {
                        ids[walking[at]] = PublicId(Uuid::from_bytes(block));
                    } else {
                        blocks.copy_within(at * 16..at * 16 + 16, kept * 16);
                        walking[kept] = walking[at];
                        kept += 1;
                    }
                }
                blocks.truncate(kept * 16);
                walking.truncate(kept);
                if kept == 0 {
                    break;
                }
            }
            if !walking.is_empty() {
                return Err(IdCipherError);
            }
        }
        Ok(ids)
    }

    fn walk(&self, bits: u128) -> Result<PublicId, IdCipherError> {
        let mut block = spread(bits);
        for _ in 0..LONGEST_WALK {
            self.forward.encrypt(&mut block).map_err(|_| IdCipherError)?;
            if fits(&block) {
                return Ok(PublicId(Uuid::from_bytes(block)));
            }
        }
        Err(IdCipherError)
    }

    /// The group an id stands for; `None` when it is no id of this tenant.
    pub fn decode(&self, id: PublicId) -> Option<Group> {
        let bits = self.back(id)?;
        (bits & ((1 << 58) - 1) == 0).then_some(Group((bits >> 58) as u64))
    }

    /// The leaf that a content's id in certificates stands for; `None` when it is none of this tenant.
    pub fn decode_content(&self, id: PublicId) -> Option<Leaf> {
        let bits = self.back(id)?;
        (bits & ((1 << 58) - 1) == 1).then_some(Leaf((bits >> 58) as u64))
    }

    fn back(&self, id: PublicId) -> Option<u128> {
        let mut block = *id.0.as_bytes();
        if !fits(&block) {
            return None;
        }
        for _ in 0..LONGEST_WALK {
            self.backward.decrypt(&mut block, DecryptionContext::None).ok()?;
            if fits(&block) {
                return Some(gather(&block));
            }
        }
        None
    }
}

/// Version 8 and the RFC 9562 variant.
fn fits(block: &[u8; 16]) -> bool {
    block[6] >> 4 == 8 && block[8] >> 6 == 0b10
}

/// Puts 122 bits around the fixed ones.
fn spread(bits: u128) -> [u8; 16] {
    let high = (bits >> 74) & ((1 << 48) - 1);
    let middle = (bits >> 62) & ((1 << 12) - 1);
    let low = bits & ((1 << 62) - 1);
    ((high << 80) | (8 << 76) | (middle << 64) | (0b10 << 62) | low).to_be_bytes()
}

/// Takes the 122 bits out again.
fn gather(block: &[u8; 16]) -> u128 {
    let value = u128::from_be_bytes(*block);
    let high = value >> 80;
    let middle = (value >> 64) & ((1 << 12) - 1);
    let low = value & ((1 << 62) - 1);
    (high << 74) | (middle << 62) | low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_group_has_an_id_that_decodes_to_it_alone(group: u64, secret: [u8; 32], other: [u8; 32]) {
            let cipher = IdCipher::new(&secret).unwrap();
            let id = cipher.encode(Group(group)).unwrap();
            prop_assert_eq!(id.0.get_version_num(), 8);
            prop_assert_eq!(cipher.decode(id), Some(Group(group)));
            if other != secret {
                prop_assert_eq!(IdCipher::new(&other).unwrap().decode(id), None);
            }
        }

        #[test]
        fn a_made_up_id_decodes_to_nothing(bytes: [u8; 16]) {
            let cipher = IdCipher::new(&[7; 32]).unwrap();
            prop_assert_eq!(cipher.decode(PublicId(Uuid::from_bytes(bytes))), None);
        }
    }

    #[test]
    fn ids_made_side_by_side_are_those_made_one_by_one() {
        let cipher = IdCipher::new(&[7; 32]).unwrap();
        let groups: Vec<Group> = (0..5_000).map(|number| Group(number * 977)).collect();
        let all = cipher.encode_all(&groups).unwrap();
        assert_eq!(all.len(), groups.len());
        let content = cipher.encode_contents(&[Leaf(9)]).unwrap();
        assert_eq!(content, [cipher.encode_content(Leaf(9)).unwrap()]);
        for (group, id) in groups.iter().zip(all) {
            assert_eq!(cipher.decode(id), Some(*group));
        }
    }

    #[test]
    fn no_id_is_both_an_interactions_and_a_contents() {
        let cipher = IdCipher::new(&[7; 32]).unwrap();
        for number in 0..200 {
            let id = cipher.encode_content(Leaf(number)).unwrap();
            assert_eq!((cipher.decode_content(id), cipher.decode(id)), (Some(Leaf(number)), None));
            assert_eq!(cipher.decode_content(cipher.encode(Group(number)).unwrap()), None);
        }
    }

    #[test]
    fn the_id_of_a_group_is_pinned() {
        let id = IdCipher::new(&[7; 32]).unwrap().encode(Group(42)).unwrap();
        assert_eq!(id.to_string(), IdCipher::new(&[7; 32]).unwrap().encode(Group(42)).unwrap().to_string());
    }
}
