//! The file `mirror` in a mirror: of which vault it is, how far it is known to be, and which process leads it.
//!
//! ```text
//! at 0 and at 4096, written by turns:
//! "OBMIRR02" 8 | instance 16 | number of the key state 16 | epoch u64 | claim u64 | the front of SHA-256 of these 56 bytes: 16
//! of before, still read, as of claim 0:
//! "OBMIRR01" 8 | instance 16 | number of the key state 16 | epoch u64 | the front of SHA-256 of these 48 bytes: 16
//! ```
//!
//! The epoch is one that was in force when it was written: it lags behind, and never runs ahead. A register that is behind
//! it came back from an old copy. The claim is a number of the process that leads the mirror: each gets one above all that it
//! found, which one that was superseded does not. Who has a lower one than the mark changes nothing there.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};

use crate::media::Place;

pub(super) const NAME: &str = "mirror";
/// An empty file of this name, put there by an operator, lets an empty folder take the place of one that held something.
pub(super) const REPLACE: &str = "replace";
const MAGIC: &[u8; 8] = b"OBMIRR02";
const BEFORE: &[u8; 8] = b"OBMIRR01";
const BYTES: usize = 72;
const BYTES_BEFORE: usize = 64;
const SUM: usize = 16;
const SECOND: u64 = 4096;

/// What a mirror says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) instance: [u8; 16],
    pub(super) state: [u8; 16],
    pub(super) epoch: u64,
    /// Of the process that wrote it.
    pub(super) claim: u64,
}

impl Mark {
    fn encode(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..24].copy_from_slice(&self.instance);
        out[24..40].copy_from_slice(&self.state);
        out[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        out[48..56].copy_from_slice(&self.claim.to_le_bytes());
        let sum = digest(&SHA256, &out[..BYTES - SUM]);
        out[BYTES - SUM..].copy_from_slice(&sum.as_ref()[..SUM]);
        out
    }

    /// Reads a mark of either version at the front of some bytes.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, claims) = match bytes.get(..8)? {
            magic if magic == MAGIC => (BYTES, true),
            magic if magic == BEFORE => (BYTES_BEFORE, false),
            _ => return None,
        };
        let (said, sum) = bytes.get(..len)?.split_at(len - SUM);
        if digest(&SHA256, said).as_ref()[..SUM] != *sum {
            return None;
        }
        let array = |from: usize| <[u8; 16]>::try_from(said.get(from..from + 16)?).ok();
        let number = |from: usize| Some(u64::from_le_bytes(said.get(from..from + 8)?.try_into().ok()?));
        let claim = if claims { number(48)? } else { 0 };
        Some(Self { instance: array(8)?, state: array(24)?, epoch: number(40)?, claim })
    }

    fn order(&self) -> (u64, u64) {
        (self.claim, self.epoch)
    }

    /// The one in force in a place; `None` where none was ever whole.
    pub(super) fn read(place: &dyn Place) -> io::Result<Option<Self>> {
        let found = Self::both(place)?;
        Ok(found.into_iter().flatten().max_by_key(Self::order))
    }

    fn both(place: &dyn Place) -> io::Result<[Option<Self>; 2]> {
        let mut found = [None, None];
        let Some((_, len)) = place.list()?.into_iter().find(|(name, _)| name == NAME) else { return Ok(found) };
        for (at, found) in [0, SECOND].into_iter().zip(&mut found) {
            let bytes = len.saturating_sub(at).min(BYTES as u64) as usize;
            if bytes >= BYTES_BEFORE {
                *found = Self::decode(&place.read_back(NAME, at, bytes)?);
            }
        }
        Ok(found)
    }

    /// Writes it durably, over the older of the two.
    ///
    /// # Errors
    /// The place's; and when the mark in force is of a later claim: then nothing was written.
    pub(super) fn write(&self, place: &dyn Place) -> io::Result<()> {
        if !place.list()?.iter().any(|(name, _)| name == NAME) {
            place.create(NAME, 0)?;
        }
        let [first, second] = Self::both(place)?;
        let in_force = first.into_iter().chain(second).max_by_key(Self::order);
        if in_force.is_some_and(|mark| mark.claim > self.claim) {
            return Err(io::Error::other("another process has taken this mirror over: its mark is of a later claim"));
        }
        // Over the one that is not in force.
        let at = if in_force.is_some() && first == in_force { SECOND } else { 0 };
        place.write_at(NAME, at, &self.encode())?;
        place.flush(NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Folder;
    use keyforest::media::Medium as _;

    #[test]
    fn the_newest_whole_mark_counts_whichever_was_torn() {
        let home = tempfile::tempdir().unwrap();
        let place = Folder::open(home.path()).unwrap();
        assert_eq!(Mark::read(&place).unwrap(), None);
        for epoch in 1..6 {
            let mark = Mark { instance: [1; 16], state: [2; 16], epoch, claim: 3 };
            mark.write(&place).unwrap();
            assert_eq!(Mark::read(&place).unwrap(), Some(mark));
            // The next one is torn: the one before still counts.
            for at in [0, SECOND] {
                let whole = std::fs::read(home.path().join(NAME)).unwrap();
                if whole.len() as u64 > at && Mark::decode(&whole[at as usize..][..BYTES]) != Some(mark) {
                    place.write_at(NAME, at + 20, &[9, 9]).unwrap();
                }
            }
            assert_eq!(Mark::read(&place).unwrap(), Some(mark));
        }
    }

    #[test]
    fn a_mark_of_before_there_were_claims_is_read_and_replaced() {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        bytes.extend_from_slice(b"OBMIRR01");
        bytes.extend_from_slice(&[1; 16]);
        bytes.extend_from_slice(&[2; 16]);
        bytes.extend_from_slice(&77_u64.to_le_bytes());
        let sum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(&sum.as_ref()[..16]);
        std::fs::write(home.path().join(NAME), &bytes).unwrap();
        let place = Folder::open(home.path()).unwrap();
        let before = Mark { instance: [1; 16], state: [2; 16], epoch: 77, claim: 0 };
        assert_eq!(Mark::read(&place).unwrap(), Some(before));
        let after = Mark { epoch: 78, claim: 1, ..before };
        after.write(&place).unwrap();
        assert_eq!(Mark::read(&place).unwrap(), Some(after));
        // The old one still lies there should the new one turn out to be torn.
        place.write_at(NAME, SECOND + 50, &[9]).unwrap();
        assert_eq!(Mark::read(&place).unwrap(), Some(before));
    }

    #[test]
    fn a_lower_claim_does_not_move_a_mark() {
        let home = tempfile::tempdir().unwrap();
        let place = Folder::open(home.path()).unwrap();
        let late = Mark { instance: [1; 16], state: [2; 16], epoch: 8, claim: 5 };
        late.write(&place).unwrap();
        for epoch in [7, 8, 9] {
            Mark { epoch, claim: 4, ..late }.write(&place).unwrap_err();
            assert_eq!(Mark::read(&place).unwrap(), Some(late));
        }
        Mark { epoch: 9, ..late }.write(&place).unwrap();
        Mark { epoch: 9, claim: 6, ..late }.write(&place).unwrap();
        assert_eq!(Mark::read(&place).unwrap().map(|mark| mark.claim), Some(6));
    }

    #[test]
    fn no_changed_byte_is_taken_for_a_mark() {
        let mark = Mark { instance: [1; 16], state: [2; 16], epoch: 8, claim: 5 };
        let bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Some(mark));
        for at in 0..BYTES {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_eq!(Mark::decode(&changed), None, "byte {at}");
        }
    }
}
