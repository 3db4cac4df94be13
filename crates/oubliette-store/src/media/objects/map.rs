//! Which object holds which bytes of a file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use object_store::path::Path;

use crate::media::place::joined;

/// A part of an object that is in force.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) object: Arc<Path>,
    /// Where in the object it begins.
    pub(super) skip: u64,
    pub(super) len: u64,
}

/// The extents of a file, the later one on top.
#[derive(Default)]
pub(super) struct Extents {
    pieces: BTreeMap<u64, Piece>,
}

impl Extents {
    /// Lays an object over what is there; the objects that count for less from now on.
    pub(super) fn put(&mut self, at: u64, len: u64, object: Arc<Path>) -> Vec<Arc<Path>> {
        if len == 0 {
            return Vec::new();
        }
        let covered = self.clear(at, at + len);
        self.pieces.insert(at, Piece { object, skip: 0, len });
        covered
    }

    /// Cuts the file; the objects that count for less from now on.
    pub(super) fn cut(&mut self, len: u64) -> Vec<Arc<Path>> {
        self.clear(len, u64::MAX)
    }

    fn clear(&mut self, from: u64, to: u64) -> Vec<Arc<Path>> {
        let before = self.pieces.range(..from).next_back().filter(|(at, piece)| **at + piece.len > from);
        let touched: Vec<u64> = before.into_iter().chain(self.pieces.range(from..to)).map(|(at, _)| *at).collect();
        let mut covered = Vec::new();
        for at in touched {
            let Some(piece) = self.pieces.remove(&at) else { continue };
            covered.push(Arc::clone(&piece.object));
            let end = at + piece.len;
            if at < from {
                self.pieces.insert(at, Piece { len: end.min(from) - at, ..piece.clone() });
            }
            if end > to {
                self.pieces.insert(to, Piece { skip: piece.skip + (to - at), len: end - to, ..piece });
            }
        }
        covered
    }

    /// The pieces that reach into a range, with their offsets.
    pub(super) fn over(&self, range: Range<u64>) -> Vec<(u64, Piece)> {
        if range.is_empty() {
            return Vec::new();
        }
        let start = range.start;
        let before = self.pieces.range(..start).next_back().filter(|(at, piece)| *at + piece.len > start);
        let within = self.pieces.range(range);
        before.into_iter().chain(within).map(|(at, piece)| (*at, piece.clone())).collect()
    }

    /// The ranges that any object holds.
    pub(super) fn held(&self) -> Vec<Range<u64>> {
        joined(self.pieces.iter().map(|(at, piece)| *at..at + piece.len))
    }

    /// Where the last one ends.
    pub(super) fn end(&self) -> u64 {
        self.pieces.iter().next_back().map_or(0, |(at, piece)| at + piece.len)
    }

    /// Pieces in a row, ending at the file's end, that are shorter than `len` each.
    pub(super) fn short_tail(&self, len: u64) -> usize {
        self.pieces.values().rev().take_while(|piece| piece.len < len).count()
    }

    /// Whether anything of an object is still in force.
    pub(super) fn names(&self, object: &Path) -> bool {
        self.pieces.values().any(|piece| *piece.object == *object)
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn extents(puts: &[(u64, u64)]) -> Extents {
        let mut extents = Extents::default();
        for (number, (at, len)) in puts.iter().enumerate() {
            extents.put(*at, *len, Arc::new(Path::from(number.to_string())));
        }
        extents
    }

    fn told(extents: &Extents) -> Vec<(u64, String, u64, u64)> {
        let all = extents.over(0..u64::MAX);
        all.into_iter().map(|(at, piece)| (at, piece.object.to_string(), piece.skip, piece.len)).collect()
    }

    #[test]
    fn the_later_extent_lies_on_top() {
        let mut extents = extents(&[(0, 100), (40, 20), (90, 30), (0, 5)]);
        let expected = [(0, 3, 0, 5), (5, 0, 5, 35), (40, 1, 0, 20), (60, 0, 60, 30), (90, 2, 0, 30)];
        assert_eq!(told(&extents), expected.map(|(at, object, skip, len)| (at, object.to_string(), skip, len)));
        assert_eq!((extents.held().as_slice(), extents.end()), (from_ref(&(0..120)), 120));
        extents.cut(50);
        assert_eq!((extents.held().as_slice(), extents.end()), (from_ref(&(0..50)), 50));
        assert!(extents.names(&Path::from("1")) && !extents.names(&Path::from("2")));
    }

    #[test]
    fn holes_are_not_held() {
        let extents = extents(&[(0, 10), (20, 10)]);
        assert_eq!(extents.held(), [0..10, 20..30]);
        assert_eq!(extents.over(5..25).len(), 2);
        assert_eq!(extents.over(10..20).len(), 0);
    }
}
