//! What the blocks of an agent's register say, in every version that there was.
//!
//! ```text
//! block   0 "OUBAGT02" | 8 floor u64 | 16 fence u64 | 24 register 16 | 40 1: an envelope, 0: none
//!         41 envelope 1754, or fences and noise | 1795 SHA-256 of all before | noise
//! fences  0 "FENCES01" | 8 how many u8 | of each: vault 16, fence u64
//! before  0 "OUBAGT01" | 8 floor u64 | 16 fence u64 | 24 envelope 1754 | 1778 SHA-256 of all before | zero
//! ```

use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use keyforest::media::SLOT_BYTES;
use zeroize::Zeroizing;

use crate::escrow::envelope::{ENVELOPE, Label};
use crate::escrow::{Envelope, RegisterId};

const MAGIC: &[u8; 8] = b"OUBAGT02";
pub(super) const REGISTER_AT: usize = 24;
const KIND_AT: usize = REGISTER_AT + 16;
const ENVELOPE_AT: usize = KIND_AT + 1;
pub(super) const SUM_AT: usize = ENVELOPE_AT + ENVELOPE;
/// Of registers that had no number yet.
const MAGIC_1: &[u8; 8] = b"OUBAGT01";
const ENVELOPE_1_AT: usize = 24;
/// Where an envelope was: the fences that are remembered. Versions that knew none wrote noise there.
const FENCES: &[u8; 8] = b"FENCES01";
const FENCE: usize = 16 + 8;
/// Vaults whose fences are remembered.
const MOST_FENCES: usize = 8;
const SUM_1_AT: usize = ENVELOPE_1_AT + ENVELOPE;

/// The highest claim number of a process that was here, for each vault; the last one that was here comes last.
#[derive(Default)]
pub(super) struct Fences(pub(super) Vec<([u8; 16], u64)>);

impl Fences {
    pub(super) fn of(&self, instance: [u8; 16]) -> u64 {
        self.0.iter().find(|(vault, _)| *vault == instance).map_or(0, |(_, fence)| *fence)
    }

    pub(super) fn raise(&mut self, instance: [u8; 16], fence: u64) {
        let fence = fence.max(self.of(instance));
        self.0.retain(|(vault, _)| *vault != instance);
        if fence > 0 {
            self.0.push((instance, fence));
        }
        let surplus = self.0.len().saturating_sub(MOST_FENCES);
        self.0.drain(..surplus);
    }

    fn write(&self, to: &mut [u8]) {
        if self.0.is_empty() {
            return;
        }
        to[..8].copy_from_slice(FENCES);
        to[8] = self.0.len() as u8;
        for (bytes, (vault, fence)) in to[9..].chunks_exact_mut(FENCE).zip(&self.0) {
            bytes[..16].copy_from_slice(vault);
            bytes[16..].copy_from_slice(&fence.to_be_bytes());
        }
    }

    fn read(from: &[u8]) -> Option<Self> {
        let Some(bytes) = from.strip_prefix(FENCES) else { return Some(Self::default()) };
        let many = usize::from(bytes[0]);
        let fence =
            |bytes: &[u8]| Some((bytes[..16].try_into().ok()?, u64::from_be_bytes(bytes[16..].try_into().ok()?)));
        let all: Vec<_> = bytes[1..].chunks_exact(FENCE).take(many.min(MOST_FENCES)).map_while(fence).collect();
        (all.len() == many).then_some(Self(all))
    }
}

pub(super) enum Place {
    /// In a block with the register's number.
    Envelope(Envelope),
    /// In a block of a version that had none.
    Nameless(Envelope),
    /// Overwritten; the block has the register's number.
    Destroyed,
    /// Nothing that can be read, which may still be the remains of something.
    Unknown,
}

impl Place {
    pub(super) fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Envelope(envelope) | Self::Nameless(envelope) => Some(envelope),
            _ => None,
        }
    }

    pub(super) fn label(&self) -> Option<&Label> {
        self.envelope().map(Envelope::label)
    }

    pub(super) fn has_number(&self) -> bool {
        matches!(self, Self::Envelope(_) | Self::Destroyed)
    }
}

/// A block with an envelope, or noise where one was.
pub(super) fn write_block(
    floor: u64,
    fences: &Fences,
    register: RegisterId,
    envelope: Option<&Envelope>,
) -> io::Result<Zeroizing<[u8; SLOT_BYTES]>> {
    // Not zeros: a device may take a block of zeros for one that need not be written.
    let mut block = Zeroizing::new([0; SLOT_BYTES]);
    rand::fill(&mut block[..]).map_err(|_| io::Error::other("no random numbers"))?;
    block[..8].copy_from_slice(MAGIC);
    block[8..16].copy_from_slice(&floor.to_be_bytes());
    let fence = envelope.map_or(0, |envelope| fences.of(envelope.label().instance));
    block[16..24].copy_from_slice(&fence.to_be_bytes());
    block[REGISTER_AT..KIND_AT].copy_from_slice(&register.0);
    block[KIND_AT] = u8::from(envelope.is_some());
    match envelope {
        Some(envelope) => block[ENVELOPE_AT..SUM_AT].copy_from_slice(envelope.bytes()),
        None => fences.write(&mut block[ENVELOPE_AT..SUM_AT]),
    }
    let sum = digest(&SHA256, &block[..SUM_AT]);
    block[SUM_AT..SUM_AT + 32].copy_from_slice(sum.as_ref());
    Ok(block)
}

/// What a block says.
pub(super) struct Read {
    pub(super) floor: u64,
    pub(super) fences: Fences,
    pub(super) register: Option<RegisterId>,
    pub(super) place: Place,
}

pub(super) fn read_block(block: &[u8; SLOT_BYTES]) -> Option<Read> {
    let number = |from: usize| Some(u64::from_be_bytes(block[from..from + 8].try_into().ok()?));
    let whole = |sum: usize| digest(&SHA256, &block[..sum]).as_ref() == &block[sum..sum + 32];
    let envelope = |from: usize| Envelope::read(&block[from..from + ENVELOPE]).ok();
    let (register, place) = if &block[..8] == MAGIC && whole(SUM_AT) {
        let register = RegisterId(block[REGISTER_AT..KIND_AT].try_into().ok()?);
        let place = match block[KIND_AT] {
            0 => Place::Destroyed,
            1 => Place::Envelope(envelope(ENVELOPE_AT)?),
            _ => return None,
        };
        (Some(register), place)
    } else if &block[..8] == MAGIC_1 && whole(SUM_1_AT) {
        (None, Place::Nameless(envelope(ENVELOPE_1_AT)?))
    } else {
        return None;
    };
    let fences = match place.label() {
        Some(label) => {
            let mut fences = Fences::default();
            fences.raise(label.instance, number(16)?);
            fences
        }
        None => Fences::read(&block[ENVELOPE_AT..SUM_AT])?,
    };
    Some(Read { floor: number(8)?, fences, register, place })
}

/// A block of version 1 with an envelope of epoch 8, one of version 2 with the same, and one whose envelope was destroyed.
#[cfg(test)]
pub(super) fn kept() -> [[u8; SLOT_BYTES]; 3] {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join("agent-blocks.hex");
    let text = std::fs::read_to_string(path).unwrap();
    let mut blocks = [[0xa5; SLOT_BYTES]; 3];
    for (block, line) in blocks.iter_mut().zip(text.lines()) {
        let bytes = hex::decode(line).unwrap();
        block[..bytes.len()].copy_from_slice(&bytes);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: RegisterId = RegisterId([0x11; 16]);

    /// Once released, a register stays readable.
    #[test]
    fn blocks_of_every_version_are_read_for_ever() {
        let [one, two, destroyed] = kept();
        for block in [one, two] {
            let read = read_block(&block).unwrap();
            let label = read.place.label().unwrap();
            assert_eq!((read.floor, read.fences.of(label.instance), label.root.epoch), (7, 5, 8));
        }
        assert!(matches!(read_block(&one).unwrap(), Read { register: None, place: Place::Nameless(_), .. }));
        assert!(matches!(read_block(&two).unwrap(), Read { register: Some(NUMBER), place: Place::Envelope(_), .. }));
        assert!(matches!(
            read_block(&destroyed).unwrap(),
            Read { register: Some(NUMBER), place: Place::Destroyed, .. }
        ));
        for (block, end) in [(one, SUM_1_AT + 32), (two, SUM_AT + 32), (destroyed, SUM_AT + 32)] {
            for at in 0..end {
                let mut changed = block;
                changed[at] ^= 1;
                assert!(read_block(&changed).is_none(), "byte {at}");
            }
        }
        let envelope = read_block(&two).unwrap().place.envelope().cloned();
        let fences = read_block(&two).unwrap().fences;
        let written = write_block(7, &fences, NUMBER, envelope.as_ref()).unwrap();
        assert!(written[..SUM_AT + 32] == two[..SUM_AT + 32]);
    }
}
