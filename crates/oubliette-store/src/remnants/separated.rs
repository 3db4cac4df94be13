//! Numbers written with separators: `+1 (512) 555-1234` for the digits 15125551234, however it is grouped.
//!
//! No list of forms can hold every grouping. So the digits of a piece are drawn together over what may stand between the
//! digits of one number, and the digits of each marker are looked for in that.

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

/// Most bytes between two digits of one number.
const GAP: usize = 8;
/// Stands where the digits before and behind are not of one number.
const BREAK: u8 = b'|';

/// A search for the digits of markers.
pub(super) struct Separated {
    automaton: AhoCorasick,
    markers: Vec<usize>,
    longest: usize,
}

impl Separated {
    /// Prepares the search for the digits of these markers; `None` without any.
    pub(super) fn new(markers: Vec<(usize, String)>) -> Result<Option<Self>, BuildError> {
        let longest = markers.iter().map(|(_, digits)| digits.len()).max().unwrap_or(0);
        if longest == 0 {
            return Ok(None);
        }
        let (markers, digits): (Vec<_>, Vec<_>) = markers.into_iter().unzip();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(digits)?;
        Ok(Some(Self { automaton, markers, longest }))
    }

    /// Most bytes that one finding covers.
    pub(super) fn reach(&self) -> usize {
        self.longest * (1 + GAP)
    }

    /// Tells begin, end and marker of each number with something between its digits. Without anything it is a plain form.
    pub(super) fn look(&self, bytes: &[u8], found: &mut dyn FnMut(usize, usize, usize)) {
        let (mut digits, mut places) = (Vec::new(), Vec::new());
        let mut gap = 0;
        for (at, byte) in bytes.iter().copied().enumerate() {
            if byte.is_ascii_digit() {
                if gap > GAP {
                    digits.push(BREAK);
                    places.push(at);
                }
                digits.push(byte);
                places.push(at);
                gap = 0;
            } else {
                gap = if may_separate(byte) { gap + 1 } else { GAP + 1 };
            }
        }
        for hit in self.automaton.find_overlapping_iter(&digits) {
            let (start, end) = (places[hit.start()], places[hit.end() - 1] + 1);
            if end - start > hit.len() {
                found(start, end, self.markers[hit.pattern().as_usize()]);
            }
        }
    }
}

/// What people and programs put between the digits of a number: blanks, signs, brackets; the bytes of a no-break space and of
/// the typographic hyphens, dashes and narrow spaces in UTF-8; the zeros that UTF-16 puts between all of them.
fn may_separate(byte: u8) -> bool {
    matches!(byte, 0 | b' ' | b'\t' | b'+' | b'-' | b'.' | b'/' | b'(' | b')')
        || matches!(byte, 0xc2 | 0xa0 | 0xe2 | 0x80 | 0x89..=0x93 | 0xaf)
}
