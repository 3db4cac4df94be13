//! Standing in for a medium: whether it holds, byte for byte, the pages of the state in force.

use std::io::{self, ErrorKind};
use std::ops::Range;

use crate::media::Medium;
use crate::page::is_frame;
use crate::state::Stored;
use crate::{Forest, ForestError, packs};

impl Forest {
    /// Reads from a medium, and from its device, every page that the state in force has in a range of a file, and compares it
    /// with its hash. For who is about to overwrite, cut or remove another copy of that range because this medium has other
    /// bytes there, or none. A file that is no pack has no pages. Blocks; readers and seals go on meanwhile.
    ///
    /// # Errors
    /// [`ForestError::PagesDoNotOpen`] when the medium does not hold one of them: the other copy may be the only good one.
    pub fn vouch(&self, medium: &dyn Medium, name: &str, range: &Range<u64>) -> Result<(), ForestError> {
        let Some(pack) = packs::number(name) else { return Ok(()) };
        let (epoch, mut due) = {
            let state = self.state_read();
            let within = |page: &Stored| page.pack == pack && page.offset < range.end && page.end() > range.start;
            (state.root.epoch, state.pages().filter(within).collect::<Vec<_>>())
        };
        if due.is_empty() {
            return Ok(());
        }
        due.sort_unstable_by_key(|page| page.offset);
        // What was removed or cut behind a medium's back may still be read through a file that it holds open.
        let listed = medium.list().map_err(packs::io("listing the packs"))?;
        let len = listed.into_iter().find(|(file, _)| file == name).map_or(0, |(_, len)| len);
        for page in due {
            let size = page.bytes() as usize;
            // Both: a medium of two places reads from one and reads back from the other.
            let whole = page.end() <= len
                && holds(&page, medium.read_back(name, page.offset, size))?
                && holds(&page, medium.read_at(name, page.offset, size))?;
            if !whole {
                return Err(ForestError::PagesDoNotOpen { epoch, reason: "a page is missing or damaged" });
            }
        }
        Ok(())
    }
}

fn holds(page: &Stored, read: io::Result<Vec<u8>>) -> Result<bool, ForestError> {
    match read {
        Ok(frame) => Ok(is_frame(&frame, page.len, &page.hash)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(false),
        Err(source) => Err(ForestError::Io { operation: "reading pages", source }),
    }
}
