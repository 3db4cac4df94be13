//! The two records at the top: the register slot and the state root page it opens.
//!
//! ```text
//! register slot, first 512 bytes of its 4096-byte block (the rest is zero)
//!   0 "KFSLOT01" | 8 epoch u64 | 16 root key 32 | 48 SHA-256 of the root page's ciphertext 32 | 80 pack u32
//!  84 ciphertext length u32 | 88 frame offset u64 | 96 bucket count u64 | 104 high-water leaf u64 | 112 flags u32 (0)
//! 116 zero ... 480 SHA-256 of bytes 0..480
//!
//! state root page, plaintext
//!   "KFROOT01" | epoch u64 | instance 16 | commit counter u64 | log head 32 | bucket count u64 | high-water leaf u64
//!   closed below (leaf) u64 | journal done u64 | next pack u32 | first pack of this seal u32 | its offset there u64
//!   previous root page's hash 32 | height u8 | tree head (reference 80, zero bytes long when height is 0 or tag is 00)
//!   attachment (00 | 02 reference 80)
//! ```

use zeroize::Zeroize;

use crate::Pins;
use crate::ggm::BUCKET;
use crate::media::SLOT_BYTES;
use crate::page::{LEVEL_ROOT, PageRef, REFERENCE, SealedPage, Take, seal_page};
use crate::secret::{Key, sha256};

const SLOT_MAGIC: &[u8; 8] = b"KFSLOT01";
pub(crate) const ROOT_MAGIC: &[u8; 8] = b"KFROOT01";
const SUM_AT: usize = 480;
/// Plaintext bytes of a root page without its optional references.
const ROOT_FIXED: usize = 8 + 8 + 16 + 8 + 32 + 8 + 8 + 8 + 8 + 4 + 4 + 8 + 32 + 1 + 1 + 1;

/// Names the root that a block of a register holds. No secret: the state hash is that of the root page's ciphertext.
///
/// For who keeps several roots apart without opening anything, such as an escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootName {
    /// The state's number.
    pub epoch: u64,
    /// Its hash, as [`crate::Sealed::state_hashes`] tells it.
    pub state: [u8; 32],
}

impl RootName {
    /// The root of a block; `None` when the block is no whole record, as a destroyed slot's is.
    pub fn of(block: &[u8; SLOT_BYTES]) -> Option<Self> {
        let slot = Slot::decode(block)?;
        Some(Self { epoch: slot.epoch, state: slot.page.hash })
    }
}

/// What a register slot holds: the one key everything hangs from, and where to apply it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) epoch: u64,
    pub(crate) page: PageRef,
    pub(crate) buckets: u64,
}

impl Slot {
    pub(crate) fn encode(&self) -> Box<[u8; SLOT_BYTES]> {
        let mut block = Box::new([0; SLOT_BYTES]);
        block[..8].copy_from_slice(SLOT_MAGIC);
        block[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        block[16..48].copy_from_slice(&self.page.key.0);
        block[48..80].copy_from_slice(&self.page.hash);
        block[80..84].copy_from_slice(&self.page.pack.to_le_bytes());
        block[84..88].copy_from_slice(&self.page.len.to_le_bytes());
        block[88..96].copy_from_slice(&self.page.offset.to_le_bytes());
        block[96..104].copy_from_slice(&self.buckets.to_le_bytes());
        block[104..112].copy_from_slice(&(self.buckets * BUCKET).to_le_bytes());
        let sum = sha256(&block[..SUM_AT]);
        block[SUM_AT..512].copy_from_slice(&sum);
        block
    }

    /// `None` for anything but a whole record of this version.
    pub(crate) fn decode(block: &[u8; SLOT_BYTES]) -> Option<Self> {
        if &block[..8] != SLOT_MAGIC || sha256(&block[..SUM_AT]) != block[SUM_AT..512] {
            return None;
        }
        let mut from = Take(&block[8..]);
        let epoch = from.u64()?;
        let page = PageRef::take(&mut from)?;
        let slot = Self { epoch, page, buckets: from.u64()? };
        let agrees = Some(from.u64()?) == slot.buckets.checked_mul(BUCKET) && from.u32()? == 0;
        (agrees && epoch > 0).then_some(slot)
    }
}

/// The state root page.
pub(crate) struct RootPage {
    pub(crate) epoch: u64,
    pub(crate) pins: Pins,
    pub(crate) buckets: u64,
    pub(crate) closed_below: u64,
    pub(crate) journal_done: u64,
    /// Number the next new pack gets.
    pub(crate) next_pack: u32,
    /// Where the seal that wrote this page began: everything from there on is what a recovery re-reads from the device.
    pub(crate) from_pack: u32,
    pub(crate) from_offset: u64,
    pub(crate) previous: [u8; 32],
    /// Level of the tree head; 0 while there are no buckets.
    pub(crate) height: u8,
    pub(crate) head: Option<PageRef>,
    pub(crate) attachment: Option<PageRef>,
}

impl RootPage {
    pub(crate) fn seal(&self, key: Key) -> SealedPage {
        let references = [&self.head, &self.attachment].into_iter().flatten().count();
        seal_page(key, LEVEL_ROOT, self.epoch, ROOT_FIXED + references * REFERENCE, |out| {
            out.extend_from_slice(ROOT_MAGIC);
            out.extend_from_slice(&self.epoch.to_le_bytes());
            out.extend_from_slice(&self.pins.instance);
            out.extend_from_slice(&self.pins.commit_counter.to_le_bytes());
            out.extend_from_slice(&self.pins.log_head);
            out.extend_from_slice(&self.buckets.to_le_bytes());
            out.extend_from_slice(&(self.buckets * BUCKET).to_le_bytes());
            out.extend_from_slice(&self.closed_below.to_le_bytes());
            out.extend_from_slice(&self.journal_done.to_le_bytes());
            out.extend_from_slice(&self.next_pack.to_le_bytes());
            out.extend_from_slice(&self.from_pack.to_le_bytes());
            out.extend_from_slice(&self.from_offset.to_le_bytes());
            out.extend_from_slice(&self.previous);
            out.push(self.height);
            for reference in [&self.head, &self.attachment] {
                match reference {
                    None => out.push(0),
                    Some(reference) => {
                        out.push(2);
                        reference.put(out);
                    }
                }
            }
        })
    }

    pub(crate) fn read(plain: &[u8]) -> Option<Self> {
        let mut from = Take(plain);
        (from.bytes(8)? == ROOT_MAGIC).then_some(())?;
        let epoch = from.u64()?;
        let pins = Pins { instance: from.array()?, commit_counter: from.u64()?, log_head: from.array()? };
        let buckets = from.u64()?;
        (Some(from.u64()?) == buckets.checked_mul(BUCKET)).then_some(())?;
        let mut page = Self {
            epoch,
            pins,
            buckets,
            closed_below: from.u64()?,
            journal_done: from.u64()?,
            next_pack: from.u32()?,
            from_pack: from.u32()?,
            from_offset: from.u64()?,
            previous: from.array()?,
            height: from.u8()?,
            head: None,
            attachment: None,
        };
        for reference in [&mut page.head, &mut page.attachment] {
            *reference = match from.u8()? {
                0 => None,
                2 => Some(PageRef::take(&mut from)?),
                _ => return None,
            };
        }
        from.done().then_some(page)
    }
}

/// A slot's block, wiped when dropped.
pub(crate) struct Block(pub(crate) Box<[u8; SLOT_BYTES]>);

impl Drop for Block {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
