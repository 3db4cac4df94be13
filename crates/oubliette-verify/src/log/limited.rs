//! A log of which no more is read than one run can: who signs a tree beyond all measure, and serves files for it without end,
//! keeps nobody.

use std::io;
use std::time::{Duration, Instant};

use oubliette_proof::tree::{Tile, TileKind, TileReader};

/// Most entries that are read in one go: what a log that grows every second has after 136 years.
pub const MOST_ENTRIES: u64 = 1 << 32;
/// Longest that one run reads a log.
pub const MOST_HOURS: u64 = 24;

/// A log that is read no further than this.
pub struct Limited<'a, R> {
    /// The log.
    pub log: &'a R,
    /// Entries that are to be read. When they are too many none is.
    pub entries: u64,
    /// When reading ends at the latest.
    pub until: Instant,
}

/// When reading that begins now ends at the latest.
pub fn latest() -> Instant {
    Instant::now() + Duration::from_hours(MOST_HOURS)
}

impl<R: TileReader<Error = io::Error>> TileReader for Limited<'_, R> {
    type Error = io::Error;

    fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
        if tile.kind == TileKind::Entries && self.entries > MOST_ENTRIES {
            let why = format!(
                "{} entries would have to be read, and no more than {MOST_ENTRIES} are in one go",
                self.entries
            );
            return Err(io::Error::other(why));
        }
        if Instant::now() > self.until {
            return Err(io::Error::other(format!("no log is read for more than {MOST_HOURS} hours in one go")));
        }
        self.log.read(tile)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use oubliette_proof::Hash;
    use oubliette_proof::audit::{AuditError, audit, read_on};
    use oubliette_proof::tree::{TileError, TreeHead};

    use super::*;

    /// Has an entry at every place, and takes its time.
    struct Endless(Cell<usize>);

    impl TileReader for Endless {
        type Error = io::Error;

        fn read(&self, tile: Tile) -> io::Result<Vec<u8>> {
            self.0.set(self.0.get() + 1);
            std::thread::sleep(Duration::from_millis(20));
            Ok([0, 1, 7].repeat(usize::from(tile.width)))
        }
    }

    #[test]
    fn a_log_that_is_served_without_end_is_not_read_without_end() {
        let (older, newer) = (TreeHead::empty(), TreeHead { size: MOST_ENTRIES, root: Hash([7; 32]) });
        let log = Endless(Cell::default());
        for entries in [MOST_ENTRIES, MOST_ENTRIES + 1] {
            let (begun, before) = (Instant::now(), log.0.get());
            let limited = Limited { log: &log, entries, until: begun + Duration::from_millis(200) };
            let read = read_on(&limited, &older, &newer, |_, _| {});
            assert!(matches!(read, Err(AuditError::Tile(TileError::Read(..)))), "{read:?}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
            assert_eq!(log.0.get() > before, entries == MOST_ENTRIES, "as many as are allowed are begun with");
        }
        let limited = Limited { log: &log, entries: MOST_ENTRIES + 1, until: latest() };
        let words = audit(&limited, &older, &newer).map_err(|error| crate::audit::refused(error).summary);
        assert!(words.is_err_and(|words| words.contains("no more than 4294967296 are in one go")));
    }

    #[test]
    fn the_limits_are_those_that_the_help_tells() {
        let told = crate::args::HELP.replace(',', "").split_whitespace().collect::<Vec<_>>().join(" ");
        let limits =
            format!("no more than {MOST_ENTRIES} entries of a log are read for no longer than {MOST_HOURS} hours");
        assert!(told.contains(&limits), "{told}");
    }
}
