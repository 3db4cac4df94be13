//! The file `mirror` in a mirror: of which vault it is, and how far it is known to be.
//!
//! ```text
//! at 0 and at 4096, written by turns:
//! "OBMIRR01" 8 | instance 16 | number of the key state 16 | epoch u64 | the front of SHA-256 of these 48 bytes: 16
//! ```
//!
//! The epoch is one that was in force when it was written: it lags behind, and never runs ahead. A register that is behind
//! it came back from an old copy.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};

use crate::media::Place;

pub(super) const NAME: &str = "mirror";
/// An empty file of this name, put there by an operator, lets an empty folder take the place of one that held something.
pub(super) const REPLACE: &str = "replace";
const MAGIC: &[u8; 8] = b"OBMIRR01";
const BYTES: usize = 64;
const SECOND: u64 = 4096;

/// What a mirror says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) instance: [u8; 16],
    pub(super) state: [u8; 16],
    pub(super) epoch: u64,
}

impl Mark {
    fn encode(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..24].copy_from_slice(&self.instance);
        out[24..40].copy_from_slice(&self.state);
        out[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        let sum = digest(&SHA256, &out[..48]);
        out[48..].copy_from_slice(&sum.as_ref()[..16]);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let array = |from: usize| <[u8; 16]>::try_from(bytes.get(from..from + 16)?).ok();
        let epoch = u64::from_le_bytes(bytes.get(40..48)?.try_into().ok()?);
        let mark = Self { instance: array(8)?, state: array(24)?, epoch };
        (mark.encode() == bytes).then_some(mark)
    }

    /// The one in force in a place; `None` where none was ever whole.
    pub(super) fn read(place: &dyn Place) -> io::Result<Option<Self>> {
        let Some((_, len)) = place.list()?.into_iter().find(|(name, _)| name == NAME) else { return Ok(None) };
        let mut newest: Option<Self> = None;
        for at in [0, SECOND].into_iter().filter(|at| at + BYTES as u64 <= len) {
            let found = Self::decode(&place.read_back(NAME, at, BYTES)?);
            newest = newest.into_iter().chain(found).max_by_key(|mark| mark.epoch);
        }
        Ok(newest)
    }

    /// Writes it durably, over the older of the two.
    pub(super) fn write(&self, place: &dyn Place) -> io::Result<()> {
        if !place.list()?.iter().any(|(name, _)| name == NAME) {
            place.create(NAME, 0)?;
        }
        let first = || Ok::<_, io::Error>(Self::decode(&place.read_at(NAME, 0, BYTES)?));
        let in_force = Self::read(place)?;
        // Over the one that is not in force.
        let at = if in_force.is_some() && first()? == in_force { SECOND } else { 0 };
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
            let mark = Mark { instance: [1; 16], state: [2; 16], epoch };
            mark.write(&place).unwrap();
            assert_eq!(Mark::read(&place).unwrap(), Some(mark));
            // The next one is torn: the one before still counts.
            let mut bytes = [0; 2];
            for at in [0, SECOND] {
                let whole = std::fs::read(home.path().join(NAME)).unwrap();
                if whole.len() as u64 > at && Mark::decode(&whole[at as usize..][..BYTES]) != Some(mark) {
                    bytes.copy_from_slice(&[9, 9]);
                    place.write_at(NAME, at + 20, &bytes).unwrap();
                }
            }
            assert_eq!(Mark::read(&place).unwrap(), Some(mark));
        }
    }
}
