//! Builds S_{e+1} beside S_e: punctures copies of the dirty buckets, seals every page on the way up under a fresh key and
//! appends it. Touches nothing that readers see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::ggm::{BUCKET, Frontier};
use crate::packs::Writer;
use crate::page::{
    Entry, EntryView, FAN_OUT, LEVEL_ATTACHMENT, LEVEL_BUCKET, PAGE_VERSION, PageRef, SealedPage, read_bucket,
    seal_bucket, seal_entries, seal_page, seal_references,
};
use crate::probe::{Broken, Probe, broken};
use crate::readback::{self, PageError};
use crate::root::RootPage;
use crate::secret::{Key, KeySource};
use crate::state::{Chunk, Delta, Group, State, Stored, height, pages_at};
use crate::{Change, ForestError, SealError};

/// Bits of a leaf number below the number of its level-1 page.
const CHUNK_LEAVES: u64 = BUCKET * FAN_OUT;
/// Level-1 pages rebuilt before their bytes are handed on: bounds the memory of a large seal.
const BATCH: usize = 256;

/// Finds the frontier of a paged bucket.
pub(crate) trait Frontiers: Sync {
    fn frontier(&self, bucket: u64, reference: &PageRef) -> Result<Arc<Frontier>, ForestError>;
}

/// What building gave.
pub(crate) struct Built {
    pub(crate) delta: Delta,
    /// Reference to the new root page: what the register gets. In a place of its own, so that a seal that waits can be handed
    /// about without a copy of the root key being left behind.
    pub(crate) root: Box<PageRef>,
    /// Leaves live before and punctured now.
    pub(crate) punctured: u64,
    /// Bytes by pack that S_{e+1} no longer refers to.
    pub(crate) freed: BTreeMap<u32, u64>,
    /// Buckets whose page changed, with the new frontier where it is worth keeping.
    pub(crate) rebuilt: Vec<(u64, Option<Arc<Frontier>>)>,
}

/// What one seal starts from.
pub(crate) struct Plan<'a> {
    pub(crate) state: &'a State,
    pub(crate) change: &'a Change,
    pub(crate) frontiers: &'a dyn Frontiers,
    /// Packs whose live pages move.
    pub(crate) doomed: &'a BTreeSet<u32>,
    pub(crate) probe: &'a dyn Probe,
    /// Bytes of new frontiers that may be kept for the cache.
    pub(crate) keep: usize,
    pub(crate) threads: usize,
}

/// One level-1 page on its way.
struct Draft {
    page: usize,
    entries: Vec<DraftEntry>,
    punctured: u64,
    freed: Vec<(u32, u64)>,
    rebuilt: Vec<(u64, Option<Arc<Frontier>>)>,
}

enum DraftEntry {
    Placed(Entry),
    Sealed(SealedPage),
}

/// Builds the next state and appends its pages.
pub(crate) fn build(plan: &Plan<'_>, writer: &mut Writer<'_>) -> Result<Built, SealError> {
    let mut keys = KeySource::new();
    let state = plan.state;
    let buckets = state.buckets() + plan.change.provision;
    let mut freed = BTreeMap::new();
    let mut free = |pack: u32, bytes: u64| *freed.entry(pack).or_default() += bytes;
    let mut chunks = Vec::new();
    let mut moved: Moved = BTreeMap::new();
    let mut punctured = 0;
    let mut rebuilt = Vec::new();
    let mut kept = 0;

    let start = writer.start(0)?;
    for batch in dirty(plan, buckets).chunks(BATCH) {
        for draft in rebuild_all(plan, buckets, batch)? {
            let page = draft.page as u64;
            let old = state.reference(1, page);
            punctured += draft.punctured;
            draft.freed.iter().for_each(|(pack, bytes)| free(*pack, *bytes));
            for (bucket, frontier) in draft.rebuilt {
                kept += frontier.as_ref().map_or(0, |frontier| size_of_val(frontier.nodes()));
                rebuilt.push((bucket, frontier.filter(|_| kept <= plan.keep)));
            }
            // Copied, not moved out: what is moved out of a vector stays in its freed memory, what is dropped is wiped.
            let mut entries = Vec::with_capacity(draft.entries.len());
            for entry in &draft.entries {
                entries.push(match entry {
                    DraftEntry::Placed(entry) => entry.clone(),
                    DraftEntry::Sealed(page) => Entry::Page(writer.place(page)?),
                });
            }
            let gone = entries.iter().all(|entry| matches!(entry, Entry::Empty));
            let chunk = (!gone).then(|| Arc::new(Chunk::new(&entries)));
            let reference = match &chunk {
                None => None,
                Some(chunk) => {
                    let key = match old {
                        Some(old) if broken(plan.probe, Broken::PageKeyReused) => old.key.clone(),
                        _ => keys.fresh().map_err(SealError::NotDone)?,
                    };
                    let views = (0..chunk.len()).map(|place| chunk.view(place));
                    Some(Arc::new(writer.place(&seal_entries(key, page, views))?))
                }
            };
            if let Some(old) = old {
                free(old.pack, old.stored());
            }
            moved.insert(page, reference);
            chunks.push((draft.page, chunk));
        }
    }

    let groups = climb(plan, buckets, moved, writer, &mut keys, &mut free)?;
    let (attachment_ref, attachment) = attach(plan, writer, &mut keys, &mut free)?;
    let head = groups_head(state, &groups, height(buckets));
    free(state.root_at.pack, state.root_at.bytes());
    let root = Box::new(RootPage {
        epoch: state.root.epoch + 1,
        pins: plan.change.pins,
        buckets,
        closed_below: plan.change.closed_below.unwrap_or(0).max(state.root.closed_below),
        journal_done: plan.change.journal_done.unwrap_or(0).max(state.root.journal_done),
        next_pack: writer.next_pack(),
        from_pack: start.0,
        from_offset: start.1,
        previous: state.root_hash,
        height: height(buckets),
        head,
        attachment: attachment_ref,
    });
    let root_ref = Box::new(writer.place(&root.seal(keys.fresh().map_err(SealError::NotDone)?))?);
    writer.hand_over()?;
    let delta = Delta { root, root_hash: root_ref.hash, root_at: Stored::from(&*root_ref), attachment, chunks, groups };
    Ok(Built { delta, root: root_ref, punctured, freed, rebuilt })
}

/// Level-1 pages to rebuild, each with its leaves to puncture.
fn dirty<'a>(plan: &Plan<'a>, buckets: u64) -> Vec<(usize, &'a [u64])> {
    let mut found: BTreeMap<usize, &[u64]> = BTreeMap::new();
    let mut rest = plan.change.puncture.as_slice();
    if broken(plan.probe, Broken::LeafForgotten) && !rest.is_empty() {
        rest = &rest[..rest.len() - 1];
    }
    while let Some(first) = rest.first() {
        let page = first / CHUNK_LEAVES;
        let len = rest.partition_point(|leaf| leaf / CHUNK_LEAVES == page);
        found.insert(page as usize, &rest[..len]);
        rest = &rest[len..];
    }
    if buckets > plan.state.buckets() {
        for page in plan.state.buckets() / FAN_OUT..pages_at(buckets, 1) {
            found.entry(page as usize).or_default();
        }
    }
    if !plan.doomed.is_empty() {
        for (page, chunk) in plan.state.chunks.iter().enumerate() {
            let Some(chunk) = chunk else { continue };
            let own = plan.state.reference(1, page as u64).into_iter();
            if chunk.pages().iter().chain(own).any(|reference| plan.doomed.contains(&reference.pack)) {
                found.entry(page).or_default();
            }
        }
    }
    found.into_iter().collect()
}

/// Rebuilds a batch, spread over threads when it is worth it. Unchanged pages are left out.
fn rebuild_all(plan: &Plan<'_>, buckets: u64, batch: &[(usize, &[u64])]) -> Result<Vec<Draft>, SealError> {
    let work: usize = batch.iter().map(|(_, leaves)| leaves.len()).sum::<usize>() + batch.len();
    let threads = if work < 512 { 1 } else { plan.threads.clamp(1, batch.len()) };
    let run = |part: &[(usize, &[u64])]| -> Result<Vec<Draft>, ForestError> {
        let mut keys = KeySource::new();
        part.iter().filter_map(|(page, leaves)| rebuild(plan, buckets, *page, leaves, &mut keys).transpose()).collect()
    };
    if threads == 1 {
        return run(batch).map_err(SealError::NotDone);
    }
    let mut drafts = Vec::with_capacity(batch.len());
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            batch.chunks(batch.len().div_ceil(threads)).map(|part| scope.spawn(move || run(part))).collect();
        for part in parts {
            match part.join() {
                Ok(built) => drafts.extend(built.map_err(SealError::NotDone)?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(drafts)
    })
}

fn rebuild(
    plan: &Plan<'_>,
    buckets: u64,
    page: usize,
    mut leaves: &[u64],
    keys: &mut KeySource,
) -> Result<Option<Draft>, ForestError> {
    let state = plan.state;
    let first = page as u64 * FAN_OUT;
    let count = FAN_OUT.min(buckets - first);
    let mut draft = Draft {
        page,
        entries: Vec::with_capacity(count as usize),
        punctured: 0,
        freed: Vec::new(),
        rebuilt: Vec::new(),
    };
    let old_page = state.reference(1, page as u64);
    let mut changed = old_page.is_some_and(|old| plan.doomed.contains(&old.pack));
    let mut slots = Vec::new();
    for bucket in first..first + count {
        let len = leaves.partition_point(|leaf| *leaf < (bucket + 1) * BUCKET);
        slots.clear();
        slots.extend(leaves[..len].iter().map(|leaf| leaf - bucket * BUCKET));
        leaves = &leaves[len..];
        if bucket >= state.buckets() {
            draft.entries.push(DraftEntry::Placed(Entry::Seed(keys.fresh()?)));
            changed = true;
            continue;
        }
        let (old, doomed) = match state.entry(bucket) {
            EntryView::Empty => {
                draft.entries.push(DraftEntry::Placed(Entry::Empty));
                continue;
            }
            EntryView::Seed(seed) if slots.is_empty() => {
                draft.entries.push(DraftEntry::Placed(Entry::Seed(seed.clone())));
                continue;
            }
            EntryView::Seed(seed) => (Arc::new(Frontier::whole(&seed.0)), None),
            EntryView::Page(reference) => {
                let doomed = plan.doomed.contains(&reference.pack);
                if slots.is_empty() && !doomed {
                    draft.entries.push(DraftEntry::Placed(Entry::Page(reference.clone())));
                    continue;
                }
                let frontier = plan.frontiers.frontier(bucket, reference)?;
                let touched = slots.iter().any(|slot| frontier.covers(*slot));
                if !touched && !doomed {
                    draft.entries.push(DraftEntry::Placed(Entry::Page(reference.clone())));
                    continue;
                }
                draft.freed.push((reference.pack, reference.stored()));
                (frontier, Some(reference))
            }
        };
        let mut new = old.puncture(&slots);
        if broken(plan.probe, Broken::BucketLost) {
            new = Frontier::from_nodes(Vec::new()).unwrap_or(new);
        }
        changed = true;
        draft.punctured += old.live() - new.live();
        if new.is_empty() {
            draft.rebuilt.push((bucket, None));
            draft.entries.push(DraftEntry::Placed(Entry::Empty));
            continue;
        }
        let key = match doomed {
            Some(old) if broken(plan.probe, Broken::PageKeyReused) => old.key.clone(),
            _ => keys.fresh()?,
        };
        draft.entries.push(DraftEntry::Sealed(seal_bucket(key, bucket, &new)));
        draft.rebuilt.push((bucket, Some(Arc::new(new))));
    }
    Ok(changed.then_some(draft))
}

/// New references by page number. Behind a pointer each: a map that moves its elements about would leave keys in freed memory.
type Moved = BTreeMap<u64, Option<Arc<PageRef>>>;

/// Groups of one height with their places.
type Placed = Vec<(usize, Arc<Group>)>;

/// Rewrites the references to moved pages, level by level, up to the tree head.
fn climb(
    plan: &Plan<'_>,
    buckets: u64,
    mut moved: Moved,
    writer: &mut Writer<'_>,
    keys: &mut KeySource,
    free: &mut impl FnMut(u32, u64),
) -> Result<Vec<Placed>, SealError> {
    let state = plan.state;
    let mut built = Vec::new();
    for level in 1..=height(buckets) {
        let count = pages_at(buckets, level);
        let mut groups = Vec::new();
        let mut above = BTreeMap::new();
        let touched: BTreeSet<u64> = moved
            .keys()
            .map(|page| page / FAN_OUT)
            // A tree that grows a level gets a new first page over the old head.
            .chain((level > height(state.buckets())).then_some(0))
            .chain(relocated(plan, level + 1))
            .collect();
        for at in touched {
            let first = at * FAN_OUT;
            let last = count.min(first + FAN_OUT);
            let mut refs = Vec::with_capacity((last - first) as usize);
            for page in first..last {
                refs.push(match moved.get(&page) {
                    Some(reference) => reference.as_deref().cloned(),
                    None => state.reference(level, page).cloned(),
                });
            }
            if count > 1 {
                let reference = if refs.iter().all(Option::is_none) {
                    None
                } else {
                    let key = match state.reference(level + 1, at) {
                        Some(old) if broken(plan.probe, Broken::PageKeyReused) => old.key.clone(),
                        _ => keys.fresh().map_err(SealError::NotDone)?,
                    };
                    Some(Arc::new(writer.place(&seal_references(key, level + 1, at, &refs))?))
                };
                if let Some(old) = state.reference(level + 1, at) {
                    free(old.pack, old.stored());
                }
                above.insert(at, reference);
            }
            groups.push((at as usize, Arc::new(Group { refs })));
        }
        built.push(groups);
        moved = above;
    }
    Ok(built)
}

/// Pages of `level` that lie in a doomed pack.
fn relocated<'a>(plan: &'a Plan<'a>, level: u8) -> impl Iterator<Item = u64> + 'a {
    let groups = if plan.doomed.is_empty() { None } else { plan.state.groups.get(usize::from(level) - 1) };
    groups.into_iter().flatten().flat_map(|group| &group.refs).enumerate().filter_map(|(page, reference)| {
        reference.as_ref().is_some_and(|reference| plan.doomed.contains(&reference.pack)).then_some(page as u64)
    })
}

fn groups_head(state: &State, built: &[Placed], height: u8) -> Option<PageRef> {
    let top = built.get(usize::from(height).checked_sub(1)?)?;
    match top.first() {
        Some((_, group)) => group.refs.first().cloned().flatten(),
        None => state.reference(height, 0).cloned(),
    }
}

type Attached = (Option<PageRef>, Option<Arc<Zeroizing<Vec<u8>>>>);

/// The attachment has a page of its own, so that a seal that does not change it does not write it again.
fn attach(
    plan: &Plan<'_>,
    writer: &mut Writer<'_>,
    keys: &mut KeySource,
    free: &mut impl FnMut(u32, u64),
) -> Result<Attached, SealError> {
    let old = plan.state.root.attachment.as_ref();
    let moving = old.is_some_and(|old| plan.doomed.contains(&old.pack));
    let bytes = match &plan.change.attachment {
        Some(new) => Arc::new(Zeroizing::new(new.clone())),
        None if moving => plan.state.attachment.clone(),
        None => return Ok((old.cloned(), None)),
    };
    if let Some(old) = old {
        free(old.pack, old.stored());
    }
    if bytes.is_empty() {
        return Ok((None, Some(bytes)));
    }
    let key = keys.fresh().map_err(SealError::NotDone)?;
    Ok((Some(writer.place(&seal_attachment(key, &bytes))?), Some(bytes)))
}

pub(crate) fn seal_attachment(key: Key, bytes: &[u8]) -> SealedPage {
    seal_page(key, LEVEL_ATTACHMENT, 0, 1 + bytes.len(), |out| {
        out.push(PAGE_VERSION);
        out.extend_from_slice(bytes);
    })
}

/// Reads the frontier of a bucket from its page.
pub(crate) fn load_frontier(
    medium: &dyn crate::media::Medium,
    epoch: u64,
    bucket: u64,
    reference: &PageRef,
) -> Result<Frontier, ForestError> {
    match readback::read(medium, reference, LEVEL_BUCKET, bucket) {
        Ok(plain) => {
            read_bucket(&plain).ok_or(ForestError::PagesDoNotOpen { epoch, reason: "a bucket page is malformed" })
        }
        Err(PageError::Io(source)) => Err(ForestError::Io { operation: "reading a bucket page", source }),
        Err(PageError::DoesNotOpen) => Err(ForestError::PagesDoNotOpen { epoch, reason: "a bucket page" }),
    }
}
