//! What was written to a file and is not durable yet.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

/// Writes that wait for a flush. They never overlap: the later one counts.
#[derive(Default)]
pub(super) struct Pending {
    pieces: BTreeMap<u64, Bytes>,
    /// The file is cut here before the pieces are written.
    cut: Option<u64>,
}

/// A copy of what one flush makes durable. Costs no copying of bytes.
#[derive(Clone, Default)]
pub(super) struct Batch {
    /// Ascending by offset, without overlaps.
    pub(super) pieces: Vec<(u64, Bytes)>,
    /// Where the file is cut before.
    pub(super) cut: Option<u64>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.cut.is_none()
    }
}

impl Pending {
    /// Takes a write over.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len() as u64;
        self.clear(at, end);
        self.pieces.insert(at, Bytes::copy_from_slice(bytes));
    }

    /// Cuts the file.
    pub(super) fn truncate(&mut self, len: u64) {
        self.clear(len, u64::MAX);
        self.cut = Some(self.cut.map_or(len, |cut| cut.min(len)));
    }

    /// Removes what lies between; what sticks out on either side stays.
    fn clear(&mut self, from: u64, to: u64) {
        let before = self.pieces.range(..from).next_back().map(|(at, _)| *at);
        let touched: Vec<u64> = before.into_iter().chain(self.pieces.range(from..to).map(|(at, _)| *at)).collect();
        for at in touched {
            let Some(piece) = self.pieces.remove(&at) else { continue };
            let end = at + piece.len() as u64;
            if at < from {
                self.pieces.insert(at, piece.slice(..(end.min(from) - at) as usize));
            }
            if end > to {
                self.pieces.insert(to, piece.slice((to - at) as usize..));
            }
        }
    }

    /// What a flush has to write.
    pub(super) fn batch(&self) -> Batch {
        Batch { pieces: self.pieces.iter().map(|(at, bytes)| (*at, bytes.clone())).collect(), cut: self.cut }
    }

    /// Forgets what became durable, unless it was written anew meanwhile.
    pub(super) fn done(&mut self, batch: &Batch) {
        for (at, bytes) in &batch.pieces {
            if self.pieces.get(at).is_some_and(|piece| piece.as_ptr() == bytes.as_ptr() && piece.len() == bytes.len()) {
                self.pieces.remove(at);
            }
        }
        if self.cut == batch.cut {
            self.cut = None;
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.values().map(Bytes::len).sum()
    }

    /// Lays what is pending over `bytes`, which were read at `offset`.
    pub(super) fn overlay(&self, offset: u64, bytes: &mut [u8]) {
        let end = offset + bytes.len() as u64;
        if let Some(cut) = self.cut.filter(|cut| *cut < end) {
            bytes[(cut.max(offset) - offset) as usize..].fill(0);
        }
        let before = self.pieces.range(..offset).next_back();
        for (at, piece) in before.into_iter().chain(self.pieces.range(offset..end)) {
            lay(bytes, offset, *at, piece);
        }
    }
}

/// Copies the part of `piece`, which lies at `at`, that falls into `bytes`, which begin at `offset`.
pub(super) fn lay(bytes: &mut [u8], offset: u64, at: u64, piece: &[u8]) {
    let (from, to) = (at.max(offset), (at + piece.len() as u64).min(offset + bytes.len() as u64));
    if from < to {
        bytes[(from - offset) as usize..(to - offset) as usize]
            .copy_from_slice(&piece[(from - at) as usize..(to - at) as usize]);
    }
}

/// Refuses to read past the end of a file.
pub(super) fn within(offset: u64, len: usize, file: u64) -> io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= file => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pending_writes_over_durable_bytes_read_like_a_file(
            edits in proptest::collection::vec((0_u64..60, 0_usize..20, any::<u8>(), 0_u8..8), 1..30)
        ) {
            let mut durable = vec![0; 100];
            let mut file = durable.clone();
            let mut pending = Pending::default();
            for (at, len, fill, kind) in edits {
                match kind {
                    0 => {
                        pending.truncate(at);
                        file[at as usize..].fill(0);
                    }
                    1 => {
                        let batch = pending.batch();
                        if let Some(cut) = batch.cut {
                            durable[cut as usize..].fill(0);
                        }
                        batch.pieces.iter().for_each(|(at, piece)| lay(&mut durable, 0, *at, piece));
                        pending.done(&batch);
                        prop_assert!(pending.batch().is_empty());
                    }
                    _ => {
                        pending.write(at, &vec![fill; len]);
                        file[at as usize..at as usize + len].fill(fill);
                    }
                }
                let mut seen = durable[5..95].to_vec();
                pending.overlay(5, &mut seen);
                prop_assert_eq!(&seen, &file[5..95]);
            }
        }

        #[test]
        fn what_is_written_during_a_flush_waits_for_the_next(first in 1_usize..20, second in 0_u64..20) {
            let mut pending = Pending::default();
            pending.write(0, &vec![1; first]);
            let batch = pending.batch();
            pending.write(second, &[2; 4]);
            pending.done(&batch);
            let mut seen = [0; 4];
            pending.overlay(second, &mut seen);
            prop_assert_eq!(seen, [2; 4]);
        }
    }
}
