//! Making a state, and recovering one: which root is in force is decided from what is really on the device.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::build::{Frontiers, Plan, build};
use crate::ggm::Frontier;
use crate::journal::Journal;
use crate::media::{Medium, SLOT_BYTES, SlotDevice, SlotError};
use crate::packs::{Packs, io};
use crate::page::{
    EntryView, FAN_OUT, LEVEL_ATTACHMENT, LEVEL_BUCKET, LEVEL_ROOT, PageRef, read_bucket, read_entries, read_references,
};
use crate::probe::{
    Broken, CREATE_PAGES_DURABLE, CREATE_ROOT_DURABLE, RECOVER_CLEANED, RECOVER_OTHER_DESTROYED, RECOVER_PAGES_OPENED,
    RECOVER_ROOT_REWRITTEN, broken,
};
use crate::readback::{PageError, ReadBack, read};
use crate::root::{Block, RootPage, Slot};
use crate::state::{Chunk, Group, State, Stored, height, pages_at};
use crate::verify::Check;
use crate::{Change, ForestConfig, ForestError, OpenReport, Pins, SealError, Stores, packs};

/// Exists while a first state is being made: its packs may be thrown away, for no root ever opened them.
pub(crate) const CREATING: &str = "creating";

/// What opening gives.
pub(crate) struct Opened {
    pub(crate) state: State,
    /// Slot that holds the root in force.
    pub(crate) slot: usize,
    pub(crate) packs: Packs,
    pub(crate) journal: Journal,
    pub(crate) report: OpenReport,
}

/// Writes epoch 1 with the first supply of buckets.
pub(crate) fn create(
    stores: &Stores,
    config: &ForestConfig,
    attachment: &[u8],
    pins: Pins,
) -> Result<Opened, ForestError> {
    for slot in 0..2 {
        if Slot::decode(&read_slot(&*stores.register, slot)?.0).is_some() {
            return Err(ForestError::Exists);
        }
    }
    let files = stores.packs.list().map_err(io("listing the packs"))?;
    let packs_found: Vec<&String> = files.iter().map(|(n, _)| n).filter(|n| packs::number(n).is_some()).collect();
    let unfinished = files.iter().any(|(name, _)| name == CREATING);
    if !packs_found.is_empty() && !unfinished {
        // Packs without a root: a lost register, not a fresh folder.
        return Err(ForestError::Exists);
    }
    if !unfinished {
        stores.packs.create(CREATING, 0).map_err(io("creating the key state"))?;
    }
    for name in packs_found {
        stores.packs.remove(name).map_err(io("removing an unfinished key state"))?;
    }

    // Epoch 1 is built like any other, from an epoch 0 in which there is nothing.
    let mut state = State::nothing();
    let change = Change {
        provision: config.provision_buckets,
        attachment: Some(attachment.to_vec()),
        pins,
        ..Change::default()
    };
    let mut packs = Packs::new(stores.packs.clone(), stores.probe.clone(), config);
    let mut writer = packs.writer();
    let plan = Plan {
        state: &state,
        change: &change,
        frontiers: &NoFrontiers,
        doomed: &BTreeSet::new(),
        probe: &*stores.probe,
        keep: 0,
        threads: 1,
    };
    let built = build(&plan, &mut writer).map_err(cause)?;
    let mut written = writer.finish();
    packs.flush(&mut written).map_err(cause)?;
    stores.probe.reached(CREATE_PAGES_DURABLE);
    let spans = Arc::new(written.spans());
    let (medium, before) = (stores.packs.clone(), stores.packs.clone());
    Check { state: &state, change: &change, medium, before, spans, threads: 1 }.run(&built.root, 0)?;
    packs.committed(&written, &BTreeMap::new());
    let slot = Slot { epoch: 1, page: PageRef::clone(&built.root), buckets: built.delta.root.buckets };
    let block = Block(slot.encode());
    stores.register.write_slot(0, &block.0).map_err(slot_error("writing the first root"))?;
    stores.register.destroy_slot(1).map_err(slot_error("destroying a slot"))?;
    stores.probe.reached(CREATE_ROOT_DURABLE);
    stores.packs.remove(CREATING).map_err(io("finishing the key state"))?;
    drop(state.install(built.delta));

    let mut journal = Journal::new(stores.packs.clone(), stores.probe.clone(), packs.reserve.clone());
    journal.open(0)?;
    packs.reserve.refill();
    let report = OpenReport { epoch: 1, overwrote_slot: false };
    Ok(Opened { state, slot: 0, packs, journal, report })
}

/// A new state has no punctured bucket.
struct NoFrontiers;

impl Frontiers for NoFrontiers {
    fn frontier(&self, _bucket: u64, _reference: &PageRef) -> Result<Arc<Frontier>, ForestError> {
        Err(ForestError::Refused { reason: "a new state has no punctured bucket" })
    }
}

/// Recovers: the highest valid slot wins, or nothing is touched.
pub(crate) fn open(stores: &Stores, config: &ForestConfig) -> Result<Opened, ForestError> {
    let blocks = [read_slot(&*stores.register, 0)?, read_slot(&*stores.register, 1)?];
    let slots = [Slot::decode(&blocks[0].0), Slot::decode(&blocks[1].0)];
    let mut chosen = match &slots {
        [None, None] => return Err(ForestError::NoRoot),
        [Some(_), None] => 0,
        [None, Some(_)] => 1,
        [Some(zero), Some(one)] if zero.epoch == one.epoch && zero != one => {
            return Err(ForestError::PagesDoNotOpen { epoch: one.epoch, reason: "two roots claim this epoch" });
        }
        [Some(zero), Some(one)] => usize::from(one.epoch > zero.epoch),
    };
    let mut loaded = load(&stores.packs, slots[chosen].as_ref());
    if loaded.is_err() && slots[1 - chosen].is_some() && broken(&*stores.probe, Broken::RollBack) {
        chosen = 1 - chosen;
        loaded = load(&stores.packs, slots[chosen].as_ref());
    }
    let state = loaded?;
    stores.probe.reached(RECOVER_PAGES_OPENED);

    // The root is whole and everything below it is on the device. Only from here on is anything written.
    let again = read_slot(&*stores.register, chosen)?;
    if again.0 != blocks[chosen].0 {
        return Err(ForestError::PagesDoNotOpen { epoch: state.root.epoch, reason: "the slot changed while reading" });
    }
    if !broken(&*stores.probe, Broken::RecoveryBelieves) {
        stores.register.rewrite_slot(chosen, &again.0).map_err(slot_error("rewriting the root in force"))?;
    }
    stores.probe.reached(RECOVER_ROOT_REWRITTEN);
    if !broken(&*stores.probe, Broken::RecoveryKeepsOther) {
        stores.register.destroy_slot(1 - chosen).map_err(slot_error("destroying the other slot"))?;
    }
    stores.probe.reached(RECOVER_OTHER_DESTROYED);

    let mut packs = Packs::new(stores.packs.clone(), stores.probe.clone(), config);
    packs.adopt(state.root.next_pack, &state.live_bytes())?;
    packs.sweep();
    let mut journal = Journal::new(stores.packs.clone(), stores.probe.clone(), packs.reserve.clone());
    journal.open(state.root.journal_done)?;
    packs.reserve.refill();
    let _ = stores.packs.remove(CREATING);
    stores.probe.reached(RECOVER_CLEANED);
    let report = OpenReport { epoch: state.root.epoch, overwrote_slot: slots[1 - chosen].is_some() };
    Ok(Opened { state, slot: chosen, packs, journal, report })
}

/// A root page is far shorter; a record that says more was not written by a seal.
const MOST_ROOT_PAGE: u32 = 4096;

/// Whether key pages open under the root that a register's block holds, and of which instance they are then. Reads only, all
/// pages above those of buckets. For who was given a root and does not know whether to believe it: without a key that opens a page
/// of its hash nothing passes.
///
/// # Errors
/// [`ForestError::PagesDoNotOpen`] when they do not, [`ForestError::NoRoot`] when the block holds none, the medium's.
pub fn opens(medium: &Arc<dyn Medium>, block: &[u8; SLOT_BYTES]) -> Result<[u8; 16], ForestError> {
    let slot = Slot::decode(block).ok_or(ForestError::NoRoot)?;
    // Nothing is asked of the medium that it would stumble over: the record may be made to have it do so.
    let (pack, end) = (packs::name(slot.page.pack), slot.page.offset.checked_add(slot.page.stored()));
    let files = medium.list().map_err(io("listing the packs"))?;
    let there = files.iter().any(|(name, len)| *name == pack && end.is_some_and(|end| end <= *len));
    if slot.page.len > MOST_ROOT_PAGE || !there {
        return Err(ForestError::PagesDoNotOpen { epoch: slot.epoch, reason: "the state root page is not there" });
    }
    Ok(load(medium, Some(&slot))?.root.pins.instance)
}

pub(crate) fn cause(error: SealError) -> ForestError {
    match error {
        SealError::NotDone(error) | SealError::Stalled(error) | SealError::Unknown(error) => error,
    }
}

/// While opening, the caller starts again from the beginning whatever the kind.
pub(crate) fn slot_error(operation: &'static str) -> impl FnOnce(SlotError) -> ForestError {
    move |error| ForestError::Io { operation, source: error.into() }
}

pub(crate) fn read_slot(register: &dyn SlotDevice, slot: usize) -> Result<Block, ForestError> {
    register.read_slot(slot).map(Block).map_err(io("reading the register"))
}

/// Loads every page above the bucket pages. What the last seal wrote is read from the device, bucket pages included. Older
/// bucket pages are not read, but their packs are there and long enough to hold them.
fn load(medium: &Arc<dyn Medium>, slot: Option<&Slot>) -> Result<State, ForestError> {
    let Some(slot) = slot else { return Err(ForestError::NoRoot) };
    let epoch = slot.epoch;
    let stop = |reason: &'static str| ForestError::PagesDoNotOpen { epoch, reason };
    let fetch = |what: &'static str| {
        move |error: PageError| match error {
            PageError::Io(source) if source.kind() == std::io::ErrorKind::NotFound => stop("a pack is missing"),
            PageError::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => stop("a pack is cut short"),
            PageError::Io(source) => ForestError::Io { operation: "reading pages", source },
            PageError::DoesNotOpen => stop(what),
        }
    };

    let mut device = ReadBack::new(medium.clone(), Arc::default());
    let plain = device.page(&slot.page, LEVEL_ROOT, epoch).map_err(fetch("the state root page"))?;
    let root = Box::new(RootPage::read(&plain).ok_or_else(|| stop("the state root page is malformed"))?);
    drop(plain);
    read(&**medium, &slot.page, LEVEL_ROOT, epoch).map_err(fetch("the state root page"))?;
    if root.epoch != epoch || root.buckets != slot.buckets || root.height != height(root.buckets) {
        return Err(stop("the state root page contradicts the register"));
    }

    // From where the last seal began: that is what a flush that lied could have lost.
    let found = medium.list().map_err(io("listing the packs"))?;
    let lengths: BTreeMap<u32, u64> =
        found.into_iter().filter_map(|(name, len)| Some((packs::number(&name)?, len))).collect();
    let spans = lengths.iter().filter_map(|(&pack, &len)| match pack.cmp(&root.from_pack) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some((pack, (root.from_offset.min(len), len))),
        std::cmp::Ordering::Greater => Some((pack, (0, len))),
    });
    let mut device = ReadBack::new(medium.clone(), Arc::new(spans.collect()));
    let mut page = |reference: &PageRef, level: u8, index: u64, what: &'static str| {
        if device.spans(reference) {
            device.page(reference, level, index).map_err(fetch(what))?;
        }
        // Also where later reads come from: a medium of two places must not hold another page there.
        read(&**medium, reference, level, index).map_err(fetch(what))
    };

    let mut groups: Vec<Vec<Arc<Group>>> = (0..root.height).map(|_| Vec::new()).collect();
    if let Some(top) = groups.last_mut() {
        top.push(Arc::new(Group { refs: vec![root.head.clone()] }));
    }
    for level in (2..=root.height).rev() {
        let below = pages_at(root.buckets, level - 1);
        let mut built = Vec::new();
        for index in 0..pages_at(root.buckets, level) {
            let count = (below - index * FAN_OUT).min(FAN_OUT) as usize;
            let refs = match find(&groups, level, index) {
                None => (0..count).map(|_| None).collect(),
                Some(reference) => read_references(&page(reference, level, index, "a page of references")?)
                    .ok_or_else(|| stop("a page of references is malformed"))?,
            };
            if refs.len() != count {
                return Err(stop("a page has another number of children"));
            }
            built.push(Arc::new(Group { refs }));
        }
        groups[usize::from(level) - 2] = built;
    }
    let mut chunks = Vec::new();
    for index in 0..pages_at(root.buckets, 1) {
        let Some(reference) = find(&groups, 1, index) else {
            chunks.push(None);
            continue;
        };
        let entries = read_entries(&page(reference, 1, index, "a page of buckets")?)
            .ok_or_else(|| stop("a page of buckets is malformed"))?;
        if entries.len() as u64 != (root.buckets - index * FAN_OUT).min(FAN_OUT) {
            return Err(stop("a page has another number of buckets"));
        }
        let chunk = Chunk::new(&entries);
        for place in 0..chunk.len() {
            if let EntryView::Page(reference) = chunk.view(place) {
                let newest = match reference.pack.cmp(&root.from_pack) {
                    std::cmp::Ordering::Less => false,
                    std::cmp::Ordering::Equal => reference.offset >= root.from_offset,
                    std::cmp::Ordering::Greater => true,
                };
                if newest {
                    let bucket = index * FAN_OUT + place as u64;
                    read_bucket(&page(reference, LEVEL_BUCKET, bucket, "a bucket page")?)
                        .ok_or_else(|| stop("a bucket page is malformed"))?;
                }
            }
        }
        chunks.push(Some(Arc::new(chunk)));
    }
    let attachment = match &root.attachment {
        None => Vec::new(),
        Some(reference) => page(reference, LEVEL_ATTACHMENT, 0, "the attachment")?[1..].to_vec(),
    };
    let state = State {
        root_hash: slot.page.hash,
        root_at: Stored::from(&slot.page),
        root,
        attachment: Arc::new(Zeroizing::new(attachment)),
        chunks,
        groups,
    };
    // Whoever serves without them seals without them, and then every other copy of them is let go as well.
    for page in state.pages() {
        match lengths.get(&page.pack) {
            None => return Err(stop("a pack is missing")),
            Some(len) if *len < page.end() => return Err(stop("a pack is cut short")),
            Some(_) => {}
        }
    }
    Ok(state)
}

fn find(groups: &[Vec<Arc<Group>>], level: u8, index: u64) -> Option<&PageRef> {
    let group = groups.get(usize::from(level) - 1)?.get((index / FAN_OUT) as usize)?;
    group.refs.get((index % FAN_OUT) as usize)?.as_ref()
}
