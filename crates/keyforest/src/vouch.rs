//! Standing in for a medium: whether it holds what another copy of a file is about to lose. The pages of the state in force,
//! byte for byte, and the journal's records that are not done.

use std::io::{self, ErrorKind};
use std::ops::Range;

use crate::media::Medium;
use crate::page::is_frame;
use crate::state::Stored;
use crate::{Forest, ForestError, LONGEST_JOURNAL_FILE, packs, whole_journal};

impl Forest {
    /// Reads from a medium, and from its device, every page that the state in force, or a seal that waits for its register, has
    /// in a range of a file, and compares it with its hash. For who is about to overwrite, cut or remove another copy of that range because this medium has other
    /// bytes there, or none. Of the journal the whole file of the `copy` is read: each of its records must be done, or be
    /// known by its position to the journal that is in use. Any other file is vouched for unread. Blocks; readers and seals
    /// go on meanwhile.
    ///
    /// # Errors
    /// [`ForestError::PagesDoNotOpen`] and [`ForestError::JournalGap`] when something is not held: the other copy may be the
    /// only good one. [`ForestError::Refused`] when the copy lists a file of the journal longer than one can be.
    pub fn vouch(
        &self,
        medium: &dyn Medium,
        copy: &dyn Medium,
        name: &str,
        range: &Range<u64>,
    ) -> Result<(), ForestError> {
        let Some(pack) = packs::number(name) else { return self.vouch_records(copy, name) };
        let within = |page: &Stored| page.pack == pack && page.offset < range.end && page.end() > range.start;
        let (epoch, mut due) = self.needed(within);
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

    fn vouch_records(&self, copy: &dyn Medium, name: &str) -> Result<(), ForestError> {
        if whole_journal(name, &[]).is_none() {
            return Ok(());
        }
        let listed = copy.list().map_err(packs::io("listing the journal"))?;
        let Some((_, len)) = listed.into_iter().find(|(file, len)| file == name && *len > 0) else { return Ok(()) };
        // The length is what the copy says of itself.
        if len > LONGEST_JOURNAL_FILE {
            return Err(ForestError::Refused { reason: "a file of the journal is said to be longer than one can be" });
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = copy.read_back(name, 0, len).map_err(packs::io("reading the journal"))?;
        self.journal_lock().covers(name, &bytes).unwrap_or(Ok(()))
    }
}

fn holds(page: &Stored, read: io::Result<Vec<u8>>) -> Result<bool, ForestError> {
    match read {
        Ok(frame) => Ok(is_frame(&frame, page.len, &page.hash)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(false),
        Err(source) => Err(ForestError::Io { operation: "reading pages", source }),
    }
}
