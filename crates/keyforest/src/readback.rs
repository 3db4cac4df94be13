//! Reading pages: from wherever they come fastest, or from the device itself.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::media::Medium;
use crate::packs;
use crate::page::{PageRef, open_page};

/// Why a page could not be had.
pub(crate) enum PageError {
    Io(io::Error),
    /// Wrong length, hash, place in the tree, or key.
    DoesNotOpen,
}

/// Reads a page as the system likes.
pub(crate) fn read(
    medium: &dyn Medium,
    reference: &PageRef,
    level: u8,
    index: u64,
) -> Result<Zeroizing<Vec<u8>>, PageError> {
    let size = reference.stored() as usize;
    let frame = medium.read_at(&packs::name(reference.pack), reference.offset, size).map_err(PageError::Io)?;
    open_page(reference, level, index, &frame).ok_or(PageError::DoesNotOpen)
}

/// Most bytes read from the device at once.
const WINDOW: u64 = 4 << 20;
const BLOCK: u64 = 4096;

/// Reads pages from the device. Within the given spans, which hold what one seal wrote, it reads ahead.
pub(crate) struct ReadBack {
    medium: Arc<dyn Medium>,
    spans: Arc<BTreeMap<u32, (u64, u64)>>,
    window: (u32, u64, Vec<u8>),
}

impl ReadBack {
    /// `spans`: by pack, first and last offset of what will be read mostly.
    pub(crate) fn new(medium: Arc<dyn Medium>, spans: Arc<BTreeMap<u32, (u64, u64)>>) -> Self {
        Self { medium, spans, window: (0, 0, Vec::new()) }
    }

    /// Whether the page lies in one of the spans.
    pub(crate) fn spans(&self, reference: &PageRef) -> bool {
        self.spans.get(&reference.pack).is_some_and(|(from, end)| (*from..*end).contains(&reference.offset))
    }

    pub(crate) fn page(&mut self, reference: &PageRef, level: u8, index: u64) -> Result<Zeroizing<Vec<u8>>, PageError> {
        let (from, end) = (reference.offset, reference.offset + reference.stored());
        let (pack, start, bytes) = &self.window;
        if *pack != reference.pack || from < *start || end > start + bytes.len() as u64 {
            let (first, last) = self.around(reference.pack, from, end);
            let bytes = self
                .medium
                .read_back(&packs::name(reference.pack), first, (last - first) as usize)
                .map_err(PageError::Io)?;
            self.window = (reference.pack, first, bytes);
        }
        let at = (from - self.window.1) as usize;
        let frame = self.window.2.get(at..at + reference.stored() as usize).ok_or(PageError::DoesNotOpen)?;
        open_page(reference, level, index, frame).ok_or(PageError::DoesNotOpen)
    }

    /// The range to read for a page: all of a short span, a window of a long one, the page alone outside.
    fn around(&self, pack: u32, from: u64, end: u64) -> (u64, u64) {
        match self.spans.get(&pack) {
            Some((first, last)) if (*first..*last).contains(&from) => {
                if last - first <= WINDOW {
                    (*first, (*last).max(end))
                } else {
                    let start = (from - from % BLOCK).max(*first);
                    (start, (start + WINDOW).min(*last).max(end))
                }
            }
            _ => (from, end),
        }
    }
}
