//! Verify before destroy: reads S_{e+1} back from the device and proves that it is S_e minus what was planned.
//!
//! Deliberately not the code that built it. It has parsers of its own, compares sets of leaves as bit maps, and walks down
//! from the new root only through bytes that were read back. Whatever it finds stops the seal while the old root is whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::ggm::{self, Frontier};
use crate::media::Medium;
use crate::page::{EntryView, LEVEL_ATTACHMENT, LEVEL_BUCKET, LEVEL_ROOT, PageRef, Take};
use crate::readback::{PageError, ReadBack, read};
use crate::root::RootPage;
use crate::secret::Key;
use crate::state::{State, height, pages_at};
use crate::{Change, ForestError, Leaf, LeafKey};

/// What is checked against what.
pub(crate) struct Check<'a> {
    pub(crate) state: &'a State,
    pub(crate) change: &'a Change,
    pub(crate) medium: Arc<dyn Medium>,
    /// Where the pages of the state before lie: the same, unless a state is carried over to other media.
    pub(crate) before: Arc<dyn Medium>,
    /// By pack, where the seal's pages lie.
    pub(crate) spans: Arc<BTreeMap<u32, (u64, u64)>>,
    pub(crate) threads: usize,
}

/// References that are not the ones before, by page number.
type Changed = BTreeMap<u64, Option<Arc<PageRef>>>;

/// Nodes on the longest path of a bucket: a path made this long never moves and leaves no copies behind.
const LONGEST: usize = 11;

type Result<T> = std::result::Result<T, ForestError>;

fn wrong(reason: &'static str) -> ForestError {
    ForestError::Verify { reason }
}

fn fetch(error: PageError) -> ForestError {
    match error {
        PageError::Io(source) => ForestError::Io { operation: "reading back pages", source },
        PageError::DoesNotOpen => wrong("a page read back does not open"),
    }
}

impl Check<'_> {
    /// Checks everything below `root`, and that `punctured` leaves died.
    pub(crate) fn run(&self, root: &PageRef, punctured: u64) -> Result<()> {
        let mut device = self.device();
        let page = self.root_page(&mut device, root)?;
        self.attachment(&mut device, &page)?;
        let changed = self.changed_pages(&mut device, &page)?;
        self.untouched_plan(&changed)?;
        if self.all_chunks(&mut device, &changed, page.buckets)? != punctured {
            return Err(wrong("another number of leaves died than was planned"));
        }
        self.canaries(&mut device, &page)
    }

    fn device(&self) -> ReadBack {
        ReadBack::new(self.medium.clone(), self.spans.clone())
    }

    fn root_page(&self, device: &mut ReadBack, root: &PageRef) -> Result<RootPage> {
        let (old, change) = (&self.state.root, self.change);
        let plain = device.page(root, LEVEL_ROOT, old.epoch + 1).map_err(fetch)?;
        let page = RootPage::read(&plain).ok_or(wrong("the state root page is malformed"))?;
        let agrees = page.epoch == old.epoch + 1
            && page.pins == change.pins
            && page.buckets == old.buckets + change.provision
            && page.closed_below == old.closed_below.max(change.closed_below.unwrap_or(0))
            && page.journal_done == old.journal_done.max(change.journal_done.unwrap_or(0))
            && page.previous == self.state.root_hash
            && page.height == height(page.buckets);
        if agrees { Ok(page) } else { Err(wrong("the state root page says something else")) }
    }

    fn attachment(&self, device: &mut ReadBack, page: &RootPage) -> Result<()> {
        let expected = self.change.attachment.as_deref().unwrap_or(&self.state.attachment);
        match &page.attachment {
            None if expected.is_empty() => Ok(()),
            same if *same == self.state.root.attachment && self.change.attachment.is_none() => Ok(()),
            Some(reference) => {
                let plain = device.page(reference, LEVEL_ATTACHMENT, 0).map_err(fetch)?;
                if plain[1..] == *expected { Ok(()) } else { Err(wrong("the attachment differs")) }
            }
            None => Err(wrong("the attachment is missing")),
        }
    }

    /// Level-1 pages whose reference is not the one before. What is not listed hangs on unchanged references.
    fn changed_pages(&self, device: &mut ReadBack, page: &RootPage) -> Result<Changed> {
        let mut here: Changed = BTreeMap::new();
        if page.height > 0 && self.state.reference(page.height, 0) != page.head.as_ref() {
            here.insert(0, page.head.clone().map(Arc::new));
        }
        for level in (2..=page.height).rev() {
            let mut below: Changed = BTreeMap::new();
            for (index, reference) in here {
                let first: u64 = index * 64;
                let count = pages_at(page.buckets, level - 1).saturating_sub(first).min(64);
                let children = match &reference {
                    None => (0..count).map(|_| None).collect(),
                    Some(reference) => references(&device.page(reference, level, index).map_err(fetch)?)?,
                };
                if children.len() as u64 != count {
                    return Err(wrong("a page has another number of children"));
                }
                for (child, reference) in (first..).zip(&children) {
                    if self.state.reference(level - 1, child) != reference.as_ref() {
                        below.insert(child, reference.clone().map(Arc::new));
                    }
                }
            }
            here = below;
        }
        Ok(here)
    }

    /// Planned leaves below unchanged references must have been dead before.
    fn untouched_plan(&self, changed: &Changed) -> Result<()> {
        let mut rest = self.change.puncture.as_slice();
        while let Some(first) = rest.first() {
            let bucket = first / 1024;
            let len = rest.partition_point(|leaf| leaf / 1024 == bucket);
            if !changed.contains_key(&(bucket / 64)) {
                let live = live_bits(&self.nodes_before(bucket)?)?;
                if rest[..len].iter().any(|leaf| live.has(leaf % 1024)) {
                    return Err(wrong("a planned leaf is still reached"));
                }
            }
            rest = &rest[len..];
        }
        Ok(())
    }

    fn all_chunks(&self, device: &mut ReadBack, changed: &Changed, buckets: u64) -> Result<u64> {
        let pages: Vec<(u64, Option<&PageRef>)> = changed.iter().map(|(page, r)| (*page, r.as_deref())).collect();
        let run = |device: &mut ReadBack, part: &[(u64, Option<&PageRef>)]| -> Result<u64> {
            part.iter().map(|(page, reference)| self.chunk(device, *page, *reference, buckets)).sum()
        };
        let small = self.change.puncture.len() + pages.len() < 512;
        let threads = if small { 1 } else { self.threads.clamp(1, pages.len().max(1)) };
        if threads == 1 {
            // What the device gave for the pages above usually holds these too: a small seal is read back once.
            return run(device, &pages);
        }
        std::thread::scope(|scope| {
            let run = &run;
            let parts: Vec<_> = pages
                .chunks(pages.len().div_ceil(threads))
                .map(|part| scope.spawn(move || run(&mut self.device(), part)))
                .collect();
            parts.into_iter().try_fold(0, |sum, part| match part.join() {
                Ok(died) => Ok(sum + died?),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    /// Checks one level-1 page and the bucket pages below it; gives the number of leaves that died.
    fn chunk(&self, device: &mut ReadBack, page: u64, reference: Option<&PageRef>, buckets: u64) -> Result<u64> {
        let first = page * 64;
        let count = buckets.saturating_sub(first).min(64);
        let entries = match reference {
            None => (0..count).map(|_| Written::Empty).collect(),
            Some(reference) => entries(&device.page(reference, 1, page).map_err(fetch)?)?,
        };
        if entries.len() as u64 != count {
            return Err(wrong("a page has another number of buckets"));
        }
        let plan = self.change.puncture.as_slice();
        let mut died = 0;
        for (bucket, entry) in (first..).zip(&entries) {
            let from = plan.partition_point(|leaf| *leaf < bucket * 1024);
            let to = from + plan[from..].partition_point(|leaf| *leaf < (bucket + 1) * 1024);
            died += self.bucket(device, bucket, entry, &plan[from..to])?;
        }
        Ok(died)
    }

    fn bucket(&self, device: &mut ReadBack, bucket: u64, new: &Written, planned: &[u64]) -> Result<u64> {
        if bucket >= self.state.buckets() {
            return match new {
                Written::Seed(seed) if planned.is_empty() && seed.0 != [0; 32] => Ok(0),
                _ => Err(wrong("a new bucket is not whole")),
            };
        }
        let unchanged = match (self.state.entry(bucket), new) {
            (EntryView::Empty, Written::Empty) => return Ok(0),
            (EntryView::Seed(before), Written::Seed(after)) => before == after,
            (EntryView::Page(before), Written::Page(after)) => before == after,
            _ => false,
        };
        if unchanged && planned.is_empty() {
            return Ok(0);
        }
        let before = self.nodes_before(bucket)?;
        let after = match new {
            Written::Empty => Vec::new(),
            Written::Seed(seed) => vec![(1, seed.clone())],
            Written::Page(_) if unchanged => self.nodes_before(bucket)?,
            Written::Page(reference) => nodes(&device.page(reference, LEVEL_BUCKET, bucket).map_err(fetch)?)?,
        };
        let mut plan = Bits::default();
        planned.iter().for_each(|leaf| plan.set(leaf % 1024));
        compare(&before, &plan, &after)
    }

    fn nodes_before(&self, bucket: u64) -> Result<Vec<(u16, Key)>> {
        match self.state.entry(bucket) {
            EntryView::Empty => Ok(Vec::new()),
            EntryView::Seed(seed) => Ok(vec![(1, seed.clone())]),
            EntryView::Page(reference) => nodes(&read(&*self.before, reference, LEVEL_BUCKET, bucket).map_err(fetch)?),
        }
    }

    /// Each canary must open before, and from the written bytes with the same key. They come sorted, and neighbours as a rule:
    /// a bucket is opened once for all of its canaries.
    fn canaries(&self, device: &mut ReadBack, page: &RootPage) -> Result<()> {
        let mut opened: Option<OpenedBucket> = None;
        for leaf in self.change.canaries.iter() {
            let number = leaf.0 / 1024;
            let bucket = match opened.take_if(|bucket| bucket.number == number) {
                Some(same) => opened.insert(same),
                None => opened.insert(OpenedBucket {
                    number,
                    before: self.frontier_before(number)?,
                    after: self.nodes_after(device, page, number)?,
                }),
            };
            let before = bucket.before.leaf(leaf.0 % 1024).ok_or(wrong("a canary does not open before the seal"))?;
            if before.expose() != key_after(&bucket.after, leaf)?.expose() {
                return Err(wrong("a canary opens with another key"));
            }
        }
        Ok(())
    }

    fn frontier_before(&self, bucket: u64) -> Result<Frontier> {
        let frontier = match self.state.entry(bucket) {
            EntryView::Empty => None,
            EntryView::Seed(seed) => Some(Frontier::whole(&seed.0)),
            EntryView::Page(reference) => {
                let plain = read(&*self.before, reference, LEVEL_BUCKET, bucket).map_err(fetch)?;
                crate::page::read_bucket(&plain)
            }
        };
        frontier.ok_or(wrong("a canary does not open before the seal"))
    }

    /// The nodes of a bucket, reached from the new root alone.
    fn nodes_after(&self, device: &mut ReadBack, page: &RootPage, bucket: u64) -> Result<Vec<(u16, Key)>> {
        let mut reference = page.head.clone().ok_or_else(lost)?;
        for level in (2..=page.height).rev() {
            let index = bucket >> (6 * u32::from(level));
            let place = (bucket >> (6 * u32::from(level - 1)) & 63) as usize;
            let children = references(&device.page(&reference, level, index).map_err(fetch)?)?;
            reference = children.get(place).and_then(Option::clone).ok_or_else(lost)?;
        }
        let entries = entries(&device.page(&reference, 1, bucket >> 6).map_err(fetch)?)?;
        match entries.get((bucket & 63) as usize).ok_or_else(lost)? {
            Written::Empty => Err(lost()),
            Written::Seed(seed) => Ok(vec![(1, seed.clone())]),
            Written::Page(reference) => nodes(&device.page(reference, LEVEL_BUCKET, bucket).map_err(fetch)?),
        }
    }
}

/// A bucket with canaries in it.
struct OpenedBucket {
    number: u64,
    before: Frontier,
    after: Vec<(u16, Key)>,
}

fn lost() -> ForestError {
    wrong("a canary is not reached from the new root")
}

fn key_after(nodes: &[(u16, Key)], leaf: Leaf) -> Result<LeafKey> {
    let target = 1024 + (leaf.0 % 1024) as u16;
    let over = nodes.iter().find(|(index, _)| above(*index, target)).ok_or_else(lost)?;
    let mut path = Vec::with_capacity(LONGEST);
    path.push(over.clone());
    descend(&mut path, target);
    path.last().map(|(_, seed)| ggm::leaf_key(&seed.0)).ok_or_else(lost)
}

/// An entry as it was written.
enum Written {
    Empty,
    Seed(Key),
    Page(PageRef),
}

fn entries(plain: &Zeroizing<Vec<u8>>) -> Result<Vec<Written>> {
    let malformed = || wrong("a page of bucket entries is malformed");
    let mut from = Take(plain);
    if from.u8() != Some(1) {
        return Err(malformed());
    }
    let mut entries = Vec::with_capacity(64);
    for _ in 0..from.u8().ok_or_else(malformed)? {
        let entry = match from.u8() {
            Some(0) => Written::Empty,
            Some(1) => Written::Seed(Key(from.array().ok_or_else(malformed)?)),
            Some(2) => Written::Page(PageRef::take(&mut from).ok_or_else(malformed)?),
            _ => return Err(malformed()),
        };
        entries.push(entry);
    }
    if from.done() { Ok(entries) } else { Err(malformed()) }
}

fn references(plain: &Zeroizing<Vec<u8>>) -> Result<Vec<Option<PageRef>>> {
    let mut children = Vec::with_capacity(64);
    for entry in &entries(plain)? {
        children.push(match entry {
            Written::Empty => None,
            Written::Page(reference) => Some(reference.clone()),
            Written::Seed(_) => return Err(wrong("a page of references holds a seed")),
        });
    }
    Ok(children)
}

fn nodes(plain: &Zeroizing<Vec<u8>>) -> Result<Vec<(u16, Key)>> {
    let (head, rest) = plain.split_at_checked(3).ok_or(wrong("a bucket page is malformed"))?;
    let count = usize::from(u16::from_le_bytes([head[1], head[2]]));
    if head[0] != 1 || count == 0 || rest.len() != count * 34 {
        return Err(wrong("a bucket page is malformed"));
    }
    let mut nodes = Vec::with_capacity(count);
    for node in rest.chunks_exact(34) {
        let mut seed = Key([0; 32]);
        seed.0.copy_from_slice(&node[2..]);
        nodes.push((u16::from_le_bytes([node[0], node[1]]), seed));
    }
    Ok(nodes)
}

/// A set of a bucket's leaves.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Bits([u64; 16]);

impl Bits {
    fn has(&self, slot: u64) -> bool {
        self.0[(slot / 64) as usize] >> (slot % 64) & 1 == 1
    }

    fn set(&mut self, slot: u64) {
        self.0[(slot / 64) as usize] |= 1 << (slot % 64);
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

fn live_bits(nodes: &[(u16, Key)]) -> Result<Bits> {
    let mut live = Bits::default();
    for (index, _) in nodes {
        if !(1..2048).contains(index) {
            return Err(wrong("a bucket page names a node that does not exist"));
        }
        let (mut from, mut to) = (u32::from(*index), u32::from(*index));
        while from < 1024 {
            from *= 2;
            to = to * 2 + 1;
        }
        for leaf in from..=to {
            if live.has(u64::from(leaf - 1024)) {
                return Err(wrong("two nodes reach one leaf"));
            }
            live.set(u64::from(leaf - 1024));
        }
    }
    Ok(live)
}

/// Whether `node` is `target` or one of its ancestors.
fn above(node: u16, target: u16) -> bool {
    let (mut at, node) = (target, node);
    while at > node {
        at /= 2;
    }
    at == node
}

/// Moves the end of `path` to `target`, deriving only what the path does not hold. The first element stays.
fn descend(path: &mut Vec<(u16, Key)>, target: u16) {
    while path.len() > 1 && !path.last().is_some_and(|(node, _)| above(*node, target)) {
        path.pop();
    }
    let Some((top, _)) = path.last() else { return };
    let steps = target.ilog2().saturating_sub(top.ilog2());
    for step in (0..steps).rev() {
        let node = target >> step;
        if let Some((_, seed)) = path.last() {
            let seed = ggm::child(&seed.0, (node & 1) as u8);
            path.push((node, seed));
        }
    }
}

/// Proves `after` = `before` minus `plan`, leaf by leaf and seed by seed; gives the number of leaves that died.
fn compare(before: &[(u16, Key)], plan: &Bits, after: &[(u16, Key)]) -> Result<u64> {
    let (old, new) = (live_bits(before)?, live_bits(after)?);
    let mut expected = old;
    expected.0.iter_mut().zip(plan.0).for_each(|(word, planned)| *word &= !planned);
    if new != expected {
        return Err(wrong("a bucket does not reach exactly its live leaves"));
    }
    let mut sources = before.iter();
    let mut path: Vec<(u16, Key)> = Vec::with_capacity(LONGEST);
    for (index, seed) in after {
        while !path.first().is_some_and(|(source, _)| above(*source, *index)) {
            path.clear();
            path.push(sources.next().ok_or(wrong("a node does not stem from the bucket"))?.clone());
        }
        descend(&mut path, *index);
        if path.last().is_none_or(|(_, derived)| derived != seed) {
            return Err(wrong("a node holds another seed"));
        }
    }
    Ok(old.count() - new.count())
}
