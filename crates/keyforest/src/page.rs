//! Pages: the only thing packs hold. Each version is sealed once under a key of its own, which lies in its parent.
//!
//! A page in a pack is a *frame*: `"KFP1"`, length of the ciphertext (u32), ciphertext. All numbers are little-endian.
//!
//! ```text
//! ciphertext = AES-256-GCM(page key, nonce 0, AAD = "kf/page/1" || level || index u64, plaintext) || tag 16
//! reference  = page key 32 | SHA-256(ciphertext) 32 | pack u32 | ciphertext length u32 | offset of the frame u64    (80)
//!
//! level 0    bucket page      01 | count u16 | (heap number u16 | seed 32)*            index = bucket number
//! level 1    bucket entries   01 | count u8  | (00 | 01 seed 32 | 02 reference 80)*     index = page number in its level
//! level 2..  references       01 | count u8  | (00 | 02 reference 80)*                  index = page number in its level
//! level 254  attachment       01 | caller's bytes                                       index = 0
//! level 255  state root       see `root`                                                index = epoch
//! ```
//!
//! `00` stands for a bucket or sub-tree of which nothing is left. A nonce of zero is sound because no key seals twice: it
//! is drawn for one version and dies with it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::ggm::{Frontier, Node};
use crate::secret::{Key, sha256};

/// Children of a page.
pub(crate) const FAN_OUT: u64 = 64;
/// Level of bucket pages.
pub(crate) const LEVEL_BUCKET: u8 = 0;
/// Level of the caller's attachment.
pub(crate) const LEVEL_ATTACHMENT: u8 = 254;
/// Level of the state root page.
pub(crate) const LEVEL_ROOT: u8 = 255;
/// Bytes before a page's ciphertext in its pack.
pub(crate) const FRAME_HEAD: usize = 8;
/// Bytes the cipher adds.
pub(crate) const TAG: usize = 16;
/// Bytes of a reference.
pub(crate) const REFERENCE: usize = 80;
/// First plaintext byte of every page but the state root.
pub(crate) const PAGE_VERSION: u8 = 1;
const FRAME_MAGIC: &[u8; 4] = b"KFP1";

/// Where a page version lies, how to open it, and what its ciphertext must hash to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PageRef {
    pub(crate) key: Key,
    pub(crate) hash: [u8; 32],
    pub(crate) pack: u32,
    /// Length of the ciphertext.
    pub(crate) len: u32,
    /// Offset of the frame.
    pub(crate) offset: u64,
}

impl PageRef {
    /// Bytes the page takes in its pack.
    pub(crate) fn stored(&self) -> u64 {
        u64::from(self.len) + FRAME_HEAD as u64
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.0);
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(&self.pack.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
    }

    pub(crate) fn take(from: &mut Take<'_>) -> Option<Self> {
        let mut key = Key([0; 32]);
        key.0.copy_from_slice(from.bytes(32)?);
        Some(Self { key, hash: from.array()?, pack: from.u32()?, len: from.u32()?, offset: from.u64()? })
    }
}

/// An entry of a level-1 page.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing is left of the bucket.
    Empty,
    /// Nothing of the bucket is punctured.
    Seed(Key),
    /// The bucket's frontier is a page of its own.
    Page(PageRef),
}

/// A page sealed and framed, not yet placed.
pub(crate) struct SealedPage {
    pub(crate) key: Key,
    pub(crate) hash: [u8; 32],
    pub(crate) frame: Vec<u8>,
}

/// Seals what `fill` writes, which must be exactly `len` bytes: the plaintext is encrypted where it was written, so that no
/// copy of it stays in freed memory.
pub(crate) fn seal_page(key: Key, level: u8, index: u64, len: usize, fill: impl FnOnce(&mut Vec<u8>)) -> SealedPage {
    let mut frame = Vec::with_capacity(FRAME_HEAD + len + TAG);
    frame.extend_from_slice(FRAME_MAGIC);
    frame.extend_from_slice(&((len + TAG) as u32).to_le_bytes());
    fill(&mut frame);
    debug_assert_eq!(frame.len(), FRAME_HEAD + len, "a page's length is computed before it is written");
    let tag = cipher(&key)
        .seal_in_place_separate_tag(nonce(), Aad::from(aad(level, index)), &mut frame[FRAME_HEAD..])
        .expect("AES-256-GCM seals any page: its length is far below the cipher's limit");
    frame.extend_from_slice(tag.as_ref());
    let hash = sha256(&frame[FRAME_HEAD..]);
    SealedPage { key, hash, frame }
}

/// Opens a frame read from a pack, checking length, hash, position in the tree and tag. `None` when anything is off.
pub(crate) fn open_page(reference: &PageRef, level: u8, index: u64, frame: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !is_frame(frame, reference.len, &reference.hash) {
        return None;
    }
    open_ciphertext(&reference.key, level, index, &frame[FRAME_HEAD..])
}

/// Whether these bytes are the frame of a ciphertext of this length and hash.
pub(crate) fn is_frame(frame: &[u8], len: u32, hash: &[u8; 32]) -> bool {
    frame.split_at_checked(FRAME_HEAD).is_some_and(|(head, ciphertext)| {
        let framed = head.starts_with(FRAME_MAGIC) && head[4..] == len.to_le_bytes();
        framed && ciphertext.len() == len as usize && sha256(ciphertext) == *hash
    })
}

/// Opens a ciphertext without knowing its hash.
pub(crate) fn open_ciphertext(key: &Key, level: u8, index: u64, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    let len = cipher(key).open_in_place(nonce(), Aad::from(aad(level, index)), &mut plain).ok()?.len();
    plain.truncate(len);
    Some(plain)
}

fn cipher(key: &Key) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key.0).expect("a 32-byte key fits AES-256"))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn aad(level: u8, index: u64) -> [u8; 18] {
    let mut aad = *b"kf/page/1\0\0\0\0\0\0\0\0\0";
    aad[9] = level;
    aad[10..].copy_from_slice(&index.to_le_bytes());
    aad
}

/// Seals a bucket page.
pub(crate) fn seal_bucket(key: Key, bucket: u64, frontier: &Frontier) -> SealedPage {
    let nodes = frontier.nodes();
    seal_page(key, LEVEL_BUCKET, bucket, 3 + nodes.len() * 34, |out| {
        out.push(PAGE_VERSION);
        out.extend_from_slice(&(nodes.len() as u16).to_le_bytes());
        for node in nodes {
            out.extend_from_slice(&node.index.to_le_bytes());
            out.extend_from_slice(&node.seed);
        }
    })
}

/// Reads a bucket page's plaintext.
pub(crate) fn read_bucket(plain: &[u8]) -> Option<Frontier> {
    let mut from = Take(plain);
    (from.u8()? == PAGE_VERSION).then_some(())?;
    let count = usize::from(from.u16()?);
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        nodes.push(Node { index: from.u16()?, seed: from.array()? });
    }
    // Whole and empty buckets have no page: they are an entry of the parent.
    let frontier = Frontier::from_nodes(nodes)?;
    (from.done() && !frontier.is_empty() && frontier.nodes()[0].index != 1).then_some(frontier)
}

/// Seals a page of level 1.
pub(crate) fn seal_entries<'a>(
    key: Key,
    index: u64,
    entries: impl ExactSizeIterator<Item = EntryView<'a>> + Clone,
) -> SealedPage {
    let len = 2 + entries.clone().map(|entry| entry.len()).sum::<usize>();
    seal_page(key, 1, index, len, |out| {
        out.push(PAGE_VERSION);
        out.push(entries.len() as u8);
        for entry in entries {
            entry.put(out);
        }
    })
}

/// An entry borrowed from wherever it is kept.
#[derive(Clone, Copy)]
pub(crate) enum EntryView<'a> {
    Empty,
    Seed(&'a Key),
    Page(&'a PageRef),
}

impl EntryView<'_> {
    fn len(self) -> usize {
        match self {
            Self::Empty => 1,
            Self::Seed(_) => 33,
            Self::Page(_) => 1 + REFERENCE,
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => out.push(0),
            Self::Seed(key) => {
                out.push(1);
                out.extend_from_slice(&key.0);
            }
            Self::Page(reference) => {
                out.push(2);
                reference.put(out);
            }
        }
    }
}

/// Reads a level-1 page's plaintext.
pub(crate) fn read_entries(plain: &[u8]) -> Option<Vec<Entry>> {
    let mut from = Take(plain);
    (from.u8()? == PAGE_VERSION).then_some(())?;
    let count = from.u8()?;
    (1..=FAN_OUT as u8).contains(&count).then_some(())?;
    let mut entries = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        entries.push(match from.u8()? {
            0 => Entry::Empty,
            1 => {
                let mut key = Key([0; 32]);
                key.0.copy_from_slice(from.bytes(32)?);
                Entry::Seed(key)
            }
            2 => Entry::Page(PageRef::take(&mut from)?),
            _ => return None,
        });
    }
    from.done().then_some(entries)
}

/// Seals a page of level 2 or above.
pub(crate) fn seal_references(key: Key, level: u8, index: u64, references: &[Option<PageRef>]) -> SealedPage {
    let len = 2 + references.iter().map(|r| if r.is_some() { 1 + REFERENCE } else { 1 }).sum::<usize>();
    seal_page(key, level, index, len, |out| {
        out.push(PAGE_VERSION);
        out.push(references.len() as u8);
        for reference in references {
            reference.as_ref().map_or(EntryView::Empty, EntryView::Page).put(out);
        }
    })
}

/// Reads the plaintext of a page of level 2 or above.
pub(crate) fn read_references(plain: &[u8]) -> Option<Vec<Option<PageRef>>> {
    let mut from = Take(plain);
    (from.u8()? == PAGE_VERSION).then_some(())?;
    let count = from.u8()?;
    (1..=FAN_OUT as u8).contains(&count).then_some(())?;
    let mut references = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        references.push(match from.u8()? {
            0 => None,
            2 => Some(PageRef::take(&mut from)?),
            _ => return None,
        });
    }
    from.done().then_some(references)
}

/// Reads fixed-width fields off the front of a slice.
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn done(&self) -> bool {
        self.0.is_empty()
    }
}
