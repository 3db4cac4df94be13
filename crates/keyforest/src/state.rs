//! The state in force, as it lies in memory: every page above the bucket pages.
//!
//! An unpunctured bucket takes 33 bytes, its share of the pages above one or two more. Pages are shared and never changed:
//! a seal builds new ones aside and puts them in place when the old root is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::Pins;
use crate::ggm::BUCKET;
use crate::page::{Entry, EntryView, FAN_OUT, FRAME_HEAD, PageRef};
use crate::root::RootPage;
use crate::secret::Key;

/// Number of pages of `level` (1 and above) over `buckets` buckets.
pub(crate) fn pages_at(buckets: u64, level: u8) -> u64 {
    (0..level).fold(buckets, |below, _| below.div_ceil(FAN_OUT))
}

/// Level of the tree head over `buckets` buckets; 0 when there are none.
pub(crate) fn height(buckets: u64) -> u8 {
    if buckets == 0 { 0 } else { (1..).find(|level| pages_at(buckets, *level) == 1).unwrap_or(0) }
}

enum Packed {
    Empty,
    Seed(Key),
    /// Place in `Chunk::pages`: a reference here would more than double the size of every entry.
    Page(u8),
}

/// The contents of one level-1 page.
pub(crate) struct Chunk {
    entries: Vec<Packed>,
    pages: Vec<PageRef>,
}

impl Chunk {
    /// Copies the entries; the caller's are wiped as they are dropped.
    pub(crate) fn new(entries: &[Entry]) -> Self {
        let paged = entries.iter().filter(|entry| matches!(entry, Entry::Page(_))).count();
        let mut chunk = Self { entries: Vec::with_capacity(entries.len()), pages: Vec::with_capacity(paged) };
        for entry in entries {
            chunk.entries.push(match entry {
                Entry::Empty => Packed::Empty,
                Entry::Seed(seed) => Packed::Seed(seed.clone()),
                Entry::Page(reference) => {
                    chunk.pages.push(reference.clone());
                    Packed::Page((chunk.pages.len() - 1) as u8)
                }
            });
        }
        chunk
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn view(&self, place: usize) -> EntryView<'_> {
        match self.entries.get(place) {
            None | Some(Packed::Empty) => EntryView::Empty,
            Some(Packed::Seed(seed)) => EntryView::Seed(seed),
            Some(Packed::Page(at)) => EntryView::Page(&self.pages[usize::from(*at)]),
        }
    }

    /// References to the bucket pages.
    pub(crate) fn pages(&self) -> &[PageRef] {
        &self.pages
    }
}

/// The contents of one page of level 2 or above, or the tree head alone.
pub(crate) struct Group {
    pub(crate) refs: Vec<Option<PageRef>>,
}

/// Where a page lies and what its ciphertext must hash to, without its key.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stored {
    pub(crate) pack: u32,
    /// Length of the ciphertext.
    pub(crate) len: u32,
    /// Offset of the frame.
    pub(crate) offset: u64,
    pub(crate) hash: [u8; 32],
}

impl Stored {
    /// Bytes the page takes in its pack.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.len) + FRAME_HEAD as u64
    }

    /// Where the page ends in its pack.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes())
    }
}

impl From<&PageRef> for Stored {
    fn from(page: &PageRef) -> Self {
        Self { pack: page.pack, len: page.len, offset: page.offset, hash: page.hash }
    }
}

/// Everything a seal changes, built aside.
pub(crate) struct Delta {
    /// In a place of its own, as in [`State`]: what is moved leaves a copy behind, and this holds keys.
    pub(crate) root: Box<RootPage>,
    pub(crate) root_hash: [u8; 32],
    pub(crate) root_at: Stored,
    pub(crate) attachment: Option<Arc<Zeroizing<Vec<u8>>>>,
    /// By page number of level 1; `None`: nothing is left of it.
    pub(crate) chunks: Vec<(usize, Option<Arc<Chunk>>)>,
    /// By height: groups of references to pages of level `place + 1`.
    pub(crate) groups: Vec<Vec<(usize, Arc<Group>)>>,
}

impl Delta {
    /// Where the pages lie that the changed parts of the state refer to, the root page among them.
    pub(crate) fn pages(&self) -> impl Iterator<Item = Stored> + '_ {
        let groups = self.groups.iter().flatten().flat_map(|(_, group)| group.refs.iter().flatten());
        let buckets = self.chunks.iter().filter_map(|(_, chunk)| chunk.as_ref()).flat_map(|chunk| chunk.pages());
        let below = groups.chain(buckets).chain(&self.root.attachment);
        std::iter::once(self.root_at).chain(below.map(Stored::from))
    }
}

/// What an installed delta pushed out: dropped, and so wiped, when nobody waits any more.
#[derive(Default)]
pub(crate) struct Retired {
    _chunks: Vec<Arc<Chunk>>,
    _groups: Vec<Arc<Group>>,
    _attachment: Option<Arc<Zeroizing<Vec<u8>>>>,
    _root: Option<Box<RootPage>>,
}

/// The state of one epoch.
pub(crate) struct State {
    pub(crate) root: Box<RootPage>,
    pub(crate) root_hash: [u8; 32],
    /// Where the root page lies.
    pub(crate) root_at: Stored,
    pub(crate) attachment: Arc<Zeroizing<Vec<u8>>>,
    pub(crate) chunks: Vec<Option<Arc<Chunk>>>,
    /// `groups[h]` refers to the pages of level `h + 1`, 64 to a group; the last one holds the tree head alone.
    pub(crate) groups: Vec<Vec<Arc<Group>>>,
}

impl State {
    /// Epoch 0: what the first state is built from.
    pub(crate) fn nothing() -> Self {
        let root = Box::new(RootPage {
            epoch: 0,
            pins: Pins::default(),
            buckets: 0,
            closed_below: 0,
            journal_done: 0,
            next_pack: 0,
            from_pack: 0,
            from_offset: 0,
            previous: [0; 32],
            height: 0,
            head: None,
            attachment: None,
        });
        Self {
            root,
            root_hash: [0; 32],
            root_at: Stored::default(),
            attachment: Arc::default(),
            chunks: Vec::new(),
            groups: Vec::new(),
        }
    }

    pub(crate) fn buckets(&self) -> u64 {
        self.root.buckets
    }

    pub(crate) fn high_water(&self) -> u64 {
        self.root.buckets * BUCKET
    }

    /// What is left of a bucket below the high-water mark.
    pub(crate) fn entry(&self, bucket: u64) -> EntryView<'_> {
        let (page, place) = ((bucket / FAN_OUT) as usize, (bucket % FAN_OUT) as usize);
        match self.chunks.get(page) {
            Some(Some(chunk)) => chunk.view(place),
            _ => EntryView::Empty,
        }
    }

    /// The reference to page `index` of `level` (1 and above).
    pub(crate) fn reference(&self, level: u8, index: u64) -> Option<&PageRef> {
        let group = self.groups.get(usize::from(level) - 1)?.get((index / FAN_OUT) as usize)?;
        group.refs.get((index % FAN_OUT) as usize)?.as_ref()
    }

    /// Where every page lies that this state needs, its root page among them.
    pub(crate) fn pages(&self) -> impl Iterator<Item = Stored> + '_ {
        let groups = self.groups.iter().flatten().flat_map(|group| group.refs.iter().flatten());
        let buckets = self.chunks.iter().flatten().flat_map(|chunk| chunk.pages());
        let below = groups.chain(buckets).chain(&self.root.attachment);
        std::iter::once(self.root_at).chain(below.map(Stored::from))
    }

    /// Bytes in use by pack.
    pub(crate) fn live_bytes(&self) -> BTreeMap<u32, u64> {
        let mut live = BTreeMap::new();
        for page in self.pages() {
            *live.entry(page.pack).or_default() += page.bytes();
        }
        live
    }

    /// Puts a sealed delta in force.
    pub(crate) fn install(&mut self, delta: Delta) -> Retired {
        let mut retired = Retired::default();
        for (page, chunk) in delta.chunks {
            if page >= self.chunks.len() {
                self.chunks.resize_with(page + 1, || None);
            }
            retired._chunks.extend(std::mem::replace(&mut self.chunks[page], chunk));
        }
        for (height, groups) in delta.groups.into_iter().enumerate() {
            if height == self.groups.len() {
                self.groups.push(Vec::new());
            }
            for (at, group) in groups {
                if at < self.groups[height].len() {
                    retired._groups.push(std::mem::replace(&mut self.groups[height][at], group));
                } else {
                    // Groups come in order and without gaps: `build` makes every one that does not exist yet.
                    self.groups[height].push(group);
                }
            }
        }
        if let Some(attachment) = delta.attachment {
            retired._attachment = Some(std::mem::replace(&mut self.attachment, attachment));
        }
        retired._root = Some(std::mem::replace(&mut self.root, delta.root));
        self.root_hash = delta.root_hash;
        self.root_at = delta.root_at;
        retired
    }
}
