//! Packs: files that pages are appended to.
//!
//! A pack begins with `"KFPACK01" | number u32 | 0 u32` and goes on with page frames, one seal after the other. Numbers are
//! never used again by a later state. What a crashed seal appended stays as garbage until its pack is rewritten. A pack of
//! which nothing is referenced any more is removed, always after the seal that took the last reference away is committed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::media::{Medium, is_not_done};
use crate::page::{PageRef, SealedPage};
use crate::probe::{PACK_CREATED, Probe};
use crate::{ForestConfig, ForestError, SealError};

const HEAD: u64 = 16;
/// Bytes gathered before they are handed to the medium.
const GATHER: usize = 8 << 20;
const RESERVE: &str = "reserve";

pub(crate) fn name(pack: u32) -> String {
    format!("pack-{pack:08}.kfp")
}

/// The number of the next pack. One can be the last only where somebody else put a file of such a name there.
fn after(number: u32) -> Result<u32, ForestError> {
    number.checked_add(1).ok_or(ForestError::Refused { reason: "no pack has so high a number" })
}

/// The number of a pack, by its name; `None` for any other file, also for one that writes the number in another way.
pub fn number(of: &str) -> Option<u32> {
    of.strip_prefix("pack-")?.strip_suffix(".kfp")?.parse().ok().filter(|number| name(*number) == of)
}

/// How much of a pack is in use.
#[derive(Clone, Copy, Default)]
struct Use {
    total: u64,
    live: u64,
}

/// The packs of one vault and the reserve beside them.
pub(crate) struct Packs {
    medium: Arc<dyn Medium>,
    probe: Arc<dyn Probe>,
    pack_bytes: u64,
    pub(crate) reserve: Arc<Reserve>,
    /// Number of the next new pack.
    next: u32,
    /// Pack that is appended to, and its end.
    active: Option<(u32, u64)>,
    uses: BTreeMap<u32, Use>,
}

impl Packs {
    pub(crate) fn new(medium: Arc<dyn Medium>, probe: Arc<dyn Probe>, config: &ForestConfig) -> Self {
        let reserve =
            Arc::new(Reserve { medium: medium.clone(), bytes: config.reserve_bytes, whole: AtomicBool::new(false) });
        Self { medium, probe, pack_bytes: config.pack_bytes, reserve, next: 1, active: None, uses: BTreeMap::new() }
    }

    /// Takes over the packs a recovery found: `live` bytes of each, as the state references them.
    pub(crate) fn adopt(&mut self, next: u32, live: &BTreeMap<u32, u64>) -> Result<(), ForestError> {
        let found = self.medium.list().map_err(io("listing the packs"))?;
        let lengths: BTreeMap<u32, u64> = found.into_iter().filter_map(|(n, len)| Some((number(&n)?, len))).collect();
        self.next = match lengths.keys().next_back() {
            Some(last) => next.max(after(*last)?),
            None => next,
        };
        self.uses = lengths
            .iter()
            .map(|(pack, total)| (*pack, Use { total: *total, live: live.get(pack).copied().unwrap_or(0) }))
            .collect();
        // Appending goes on in the newest pack that is in use. A newer one is what a crashed seal left.
        let newest = self.uses.iter().rev().find(|(_, usage)| usage.live > 0);
        self.active = newest.map(|(pack, usage)| (*pack, usage.total)).filter(|(_, end)| *end < self.pack_bytes);
        Ok(())
    }

    /// The pack that most deserves rewriting: closed and less than half in use.
    pub(crate) fn worst(&self) -> Option<u32> {
        let active = self.active.map(|(pack, _)| pack);
        let candidates = self.uses.iter().filter(|(pack, usage)| {
            Some(**pack) != active && usage.live > 0 && usage.live.saturating_mul(2) < usage.total
        });
        candidates.min_by_key(|(_, usage)| usage.live).map(|(pack, _)| *pack)
    }

    /// Removes packs of which nothing is referenced. What cannot be removed now is tried again after the next seal.
    pub(crate) fn sweep(&mut self) {
        let active = self.active.map(|(pack, _)| pack);
        let dead: Vec<u32> =
            self.uses.iter().filter(|(pack, u)| u.live == 0 && Some(**pack) != active).map(|(pack, _)| *pack).collect();
        for pack in dead {
            let removed = self.medium.remove(&name(pack));
            // A pack whose making failed was never there.
            if removed.is_ok() || removed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                self.uses.remove(&pack);
            }
        }
    }

    /// Begins a seal's writing.
    pub(crate) fn writer(&mut self) -> Writer<'_> {
        let (pack, end) = self.active.map_or((None, 0), |(pack, end)| (Some(pack), end));
        Writer {
            packs: self,
            pack,
            end,
            gathered: Vec::new(),
            start: None,
            touched: BTreeMap::new(),
            written: 0,
            flushes: 0,
        }
    }

    /// Makes every page of a seal durable.
    pub(crate) fn flush(&self, written: &mut Written) -> Result<(), SealError> {
        for pack in written.touched.keys() {
            self.medium.flush(&name(*pack)).map_err(|source| failed_flush("flushing pages", source))?;
            written.flushes += 1;
        }
        Ok(())
    }

    /// Makes the bookkeeping follow a seal that was taken back: what it wrote is garbage.
    pub(crate) fn abandoned(&mut self, receipt: &Written) {
        self.active = receipt.active;
        for (pack, span) in &receipt.touched {
            let usage = self.uses.entry(*pack).or_default();
            usage.total = usage.total.max(span.end);
        }
    }

    /// Makes the bookkeeping follow a committed seal.
    pub(crate) fn committed(&mut self, receipt: &Written, freed: &BTreeMap<u32, u64>) {
        self.active = receipt.active;
        for (pack, span) in &receipt.touched {
            let usage = self.uses.entry(*pack).or_default();
            usage.total = usage.total.max(span.end);
            usage.live += span.live;
        }
        for (pack, bytes) in freed {
            if let Some(usage) = self.uses.get_mut(pack) {
                usage.live = usage.live.saturating_sub(*bytes);
            }
        }
    }
}

/// What one seal wrote into one pack.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) end: u64,
    live: u64,
}

/// What one seal wrote.
pub(crate) struct Written {
    active: Option<(u32, u64)>,
    /// By pack, the range that holds this seal's pages.
    pub(crate) touched: BTreeMap<u32, Span>,
    pub(crate) bytes: u64,
    pub(crate) flushes: u32,
}

impl Written {
    /// By pack, where the seal's pages lie.
    pub(crate) fn spans(&self) -> BTreeMap<u32, (u64, u64)> {
        self.touched.iter().map(|(pack, span)| (*pack, (span.from, span.end))).collect()
    }

    /// Whether a page was written by this seal.
    pub(crate) fn holds(&self, pack: u32, offset: u64) -> bool {
        self.touched.get(&pack).is_some_and(|span| (span.from..span.end).contains(&offset))
    }
}

/// Appends the pages of one seal. Nothing is durable before [`Packs::flush`].
pub(crate) struct Writer<'a> {
    packs: &'a mut Packs,
    pack: Option<u32>,
    /// Where the next page goes.
    end: u64,
    gathered: Vec<u8>,
    start: Option<(u32, u64)>,
    touched: BTreeMap<u32, Span>,
    written: u64,
    flushes: u32,
}

impl Writer<'_> {
    /// Gives a sealed page its place.
    pub(crate) fn place(&mut self, page: &SealedPage) -> Result<PageRef, SealError> {
        let size = page.frame.len() as u64;
        let pack = self.room_for(size)?;
        let offset = self.end;
        self.gathered.extend_from_slice(&page.frame);
        self.end += size;
        self.written += size;
        self.start.get_or_insert((pack, offset));
        let span = self.touched.entry(pack).or_insert(Span { from: offset, end: offset, live: 0 });
        span.end = self.end;
        span.live += size;
        if self.gathered.len() >= GATHER {
            self.hand_over()?;
        }
        let len = (page.frame.len() - crate::page::FRAME_HEAD) as u32;
        Ok(PageRef { key: page.key.clone(), hash: page.hash, pack, len, offset })
    }

    /// Pack and offset of the seal's first page (where one of `size` bytes would go, when there is none yet).
    pub(crate) fn start(&mut self, size: u64) -> Result<(u32, u64), SealError> {
        if let Some(start) = self.start {
            return Ok(start);
        }
        let pack = self.room_for(size)?;
        Ok((pack, self.end))
    }

    pub(crate) fn next_pack(&self) -> u32 {
        self.packs.next
    }

    fn room_for(&mut self, size: u64) -> Result<u32, SealError> {
        match self.pack {
            Some(pack) if self.end + size <= self.packs.pack_bytes || self.end <= HEAD => Ok(pack),
            _ => self.roll(),
        }
    }

    fn roll(&mut self) -> Result<u32, SealError> {
        self.hand_over()?;
        let pack = self.packs.next;
        self.packs.next = after(pack).map_err(SealError::NotDone)?;
        // Known from here on, so that a later sweep removes it should this seal not come to pass.
        self.packs.uses.insert(pack, Use { total: HEAD, live: 0 });
        self.packs.reserve.create(&name(pack), 0)?;
        self.flushes += 1;
        self.packs.probe.reached(PACK_CREATED);
        self.pack = Some(pack);
        self.end = HEAD;
        self.written += HEAD;
        self.gathered.extend_from_slice(b"KFPACK01");
        self.gathered.extend_from_slice(&pack.to_le_bytes());
        self.gathered.extend_from_slice(&[0; 4]);
        Ok(pack)
    }

    /// Hands everything gathered to the medium.
    pub(crate) fn hand_over(&mut self) -> Result<(), SealError> {
        let Some(pack) = self.pack.filter(|_| !self.gathered.is_empty()) else { return Ok(()) };
        let at = self.end - self.gathered.len() as u64;
        let (medium, bytes) = (&self.packs.medium, &self.gathered);
        let done = self.packs.reserve.spend_if_full(|| medium.write_at(&name(pack), at, bytes));
        done.map_err(|source| SealError::NotDone(ForestError::Io { operation: "appending pages", source }))?;
        self.gathered.clear();
        Ok(())
    }

    pub(crate) fn finish(self) -> Written {
        Written {
            active: self.pack.map(|pack| (pack, self.end)),
            touched: self.touched,
            bytes: self.written,
            flushes: self.flushes,
        }
    }
}

/// Disk space held back, given up when the disk is full so that erasing goes on.
pub(crate) struct Reserve {
    medium: Arc<dyn Medium>,
    bytes: u64,
    whole: AtomicBool,
}

impl Reserve {
    /// Sets the space aside unless it is. Not having it is no reason to stop.
    pub(crate) fn refill(&self) {
        if self.bytes == 0 || self.whole.load(Ordering::Relaxed) {
            return;
        }
        let there = self.medium.list().is_ok_and(|files| files.iter().any(|(name, _)| name == RESERVE));
        let whole = there || self.medium.create(RESERVE, self.bytes).is_ok();
        self.whole.store(whole, Ordering::Relaxed);
        if !whole {
            // Half a reserve would look like a whole one to the next start.
            let _ = self.medium.remove(RESERVE);
        }
    }

    /// Runs `write`; when the disk is full, once more without the reserve.
    pub(crate) fn spend_if_full<T>(&self, write: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match write() {
            Err(error) if full(&error) && self.medium.remove(RESERVE).is_ok() => {
                self.whole.store(false, Ordering::Relaxed);
                write()
            }
            other => other,
        }
    }

    /// Creates a file durably.
    pub(crate) fn create(&self, name: &str, reserve: u64) -> Result<(), SealError> {
        self.spend_if_full(|| self.medium.create(name, reserve)).map_err(|source| {
            // The medium never gives these kinds for a failed flush, so nothing that matters can be half there.
            let certain = full(&source)
                || is_not_done(&source)
                || matches!(source.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied);
            let error = ForestError::Io { operation: "creating a file", source };
            if certain { SealError::NotDone(error) } else { SealError::Unknown(error) }
        })
    }
}

fn full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A flush that failed: unknown, unless the medium says that it may be tried again.
pub(crate) fn failed_flush(operation: &'static str, source: io::Error) -> SealError {
    let again = is_not_done(&source);
    let error = ForestError::Io { operation, source };
    if again { SealError::NotDone(error) } else { SealError::Unknown(error) }
}

pub(crate) fn unknown(operation: &'static str, source: io::Error) -> SealError {
    SealError::Unknown(ForestError::Io { operation, source })
}

pub(crate) fn io(operation: &'static str) -> impl FnOnce(io::Error) -> ForestError {
    move |source| ForestError::Io { operation, source }
}
