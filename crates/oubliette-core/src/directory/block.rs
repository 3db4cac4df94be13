//! One directory block: the look-up entries of up to 32 interactions.

use keyforest::{Group, Leaf, LeafKey};
use zeroize::Zeroize;

use super::KeyKind;
use crate::crypto::record::{self, Place, RecordError};
use crate::model::TenantId;

/// Interactions in a full block.
pub const BLOCK_ENTRIES: usize = 32;

/// The look-up entry of one interaction. Personal: no `Debug`.
#[derive(Clone)]
pub struct Entry {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its primary group.
    pub group: Group,
    /// Its personal keys as given (so that new phone metadata never strands an old entry).
    pub keys: Vec<(KeyKind, String)>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        for (_, text) in &mut self.keys {
            text.zeroize();
        }
    }
}

/// An opened block.
pub struct Block {
    /// Its number.
    pub number: u64,
    /// The leaf it is sealed under.
    pub leaf: Leaf,
    /// Its entries in order of arrival.
    pub entries: Vec<Entry>,
}

impl Block {
    /// Opens a stored block.
    pub fn open(number: u64, leaf: Leaf, key: &LeafKey, sealed: &[u8]) -> Result<Self, RecordError> {
        let bytes = record::open(key, Place::Directory(number, leaf.0), sealed)?;
        let entries = decode(&bytes).ok_or(RecordError)?;
        Ok(Self { number, leaf, entries })
    }

    /// Seals the entries under the block's leaf, with a fresh salt.
    pub fn seal(&self, key: &LeafKey) -> Result<Vec<u8>, RecordError> {
        record::seal(key, Place::Directory(self.number, self.leaf.0), encode(&self.entries))
    }

    /// Takes the entry of a group out.
    pub fn remove(&mut self, group: Group) -> Option<Entry> {
        let position = self.entries.iter().position(|entry| entry.group == group)?;
        Some(self.entries.remove(position))
    }
}

/// Count (u8), then per entry: tenant u32, group u64, key count u8, per key: kind u8, length u16, text.
fn encode(entries: &[Entry]) -> Vec<u8> {
    let size: usize = entries.iter().map(|e| 13 + e.keys.iter().map(|k| 3 + k.1.len()).sum::<usize>()).sum();
    let mut out = Vec::with_capacity(1 + size);
    out.push(u8::try_from(entries.len()).unwrap_or(u8::MAX));
    for entry in entries {
        out.extend_from_slice(&entry.tenant.0.to_be_bytes());
        out.extend_from_slice(&entry.group.0.to_be_bytes());
        let keys = &entry.keys[..entry.keys.len().min(255)];
        out.push(keys.len() as u8);
        for (kind, text) in keys {
            let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
            out.push(kind.to_u8());
            out.extend_from_slice(&(text.len() as u16).to_be_bytes());
            out.extend_from_slice(text);
        }
    }
    out
}

fn decode(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (head, tail) = bytes.split_at_checked(length)?;
        *bytes = tail;
        Some(head)
    }
    let count = take(&mut bytes, 1)?[0];
    let mut entries = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let tenant = TenantId(u32::from_be_bytes(take(&mut bytes, 4)?.try_into().ok()?));
        let group = Group(u64::from_be_bytes(take(&mut bytes, 8)?.try_into().ok()?));
        let keys = take(&mut bytes, 1)?[0];
        let mut entry = Entry { tenant, group, keys: Vec::with_capacity(usize::from(keys)) };
        for _ in 0..keys {
            let kind = KeyKind::from_u8(take(&mut bytes, 1)?[0])?;
            let length = u16::from_be_bytes(take(&mut bytes, 2)?.try_into().ok()?);
            let text = std::str::from_utf8(take(&mut bytes, usize::from(length))?).ok()?;
            entry.keys.push((kind, text.to_owned()));
        }
        entries.push(entry);
    }
    bytes.is_empty().then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_with_its_entries_and_only_under_its_leaf() {
        let entry = |group, text: &str| Entry {
            tenant: TenantId(1),
            group: Group(group),
            keys: vec![(KeyKind::Session, text.to_owned()), (KeyKind::Phone, "+1 512".to_owned())],
        };
        let mut block = Block { number: 3, leaf: Leaf(9), entries: vec![entry(1, "a"), entry(2, "b")] };
        let sealed = block.seal(&LeafKey::new([1; 32])).unwrap();
        let opened = Block::open(3, Leaf(9), &LeafKey::new([1; 32]), &sealed).unwrap();
        assert_eq!(opened.entries.len(), 2);
        assert_eq!(opened.entries[1].keys[0].1, "b");
        assert!(Block::open(3, Leaf(10), &LeafKey::new([1; 32]), &sealed).is_err());
        assert!(Block::open(4, Leaf(9), &LeafKey::new([1; 32]), &sealed).is_err());
        assert!(block.remove(Group(1)).is_some());
        assert!(block.remove(Group(1)).is_none());
    }
}
