//! The seal, in the order that the whole promise rests on: build, append, flush, verify, new root durable, old root
//! destroyed, install. Before the old root is gone nobody uses anything of the new state.
//!
//! Up to the check nothing is lost that could not be had again, so this much may be done ahead, while the caller is still
//! making durable what the seal is for, and taken back if that fails. From the first word to the register on it cannot.
//!
//! A seal whose medium does not hold its pages yet is kept as it was written: tried again, it is flushed and checked once
//! more, not built once more. A place that is away for hours costs one build.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use crate::build::{Built, Frontiers, Plan, build};
use crate::media::{SlotError, is_not_done};
use crate::packs::{Packs, Written, unknown};
use crate::page::PageRef;
use crate::probe::{
    Broken, Probe, SEAL_BEGUN, SEAL_CLEANED, SEAL_INSTALLED, SEAL_NEW_ROOT_DURABLE, SEAL_OLD_ROOT_DESTROYED,
    SEAL_PAGES_DURABLE, SEAL_PAGES_WRITTEN, SEAL_VERIFIED, broken,
};
use crate::root::{Block, Slot};
use crate::state::Stored;
use crate::verify::Check;
use crate::{Change, Forest, ForestError, LeafSet, Pins, SealError, Sealed};

/// Largest attachment: it is one page.
const MAX_ATTACHMENT: usize = 16 << 20;

/// What only the one sealing needs.
pub(crate) struct Sealer {
    pub(crate) packs: Packs,
    /// Slot that holds the root in force.
    pub(crate) slot: usize,
    /// A seal is under way. Found set at the start of another one, a panic cut it short.
    pub(crate) under_way: bool,
    /// A seal whose pages are durable and checked: prepared, or its register did not answer.
    pub(crate) unfinished: Option<Unfinished>,
    /// A seal whose pages are written and that its medium did not hold yet.
    pub(crate) attempt: Option<Attempt>,
}

/// A seal that was built and written. Whoever tries it again goes on from here.
pub(crate) struct Attempt {
    built: Built,
    written: Written,
    puncture: LeafSet,
    provision: u64,
    /// Whether the change brought the attachment of `built`.
    attaches: bool,
    pins: Pins,
    closed_below: Option<u64>,
    journal_done: Option<u64>,
}

/// A seal from its check to its end. Only the register still has to be written.
pub(crate) struct Unfinished {
    built: Built,
    written: Written,
    puncture: LeafSet,
    old_hash: [u8; 32],
    due: Due,
    /// The register did not answer before.
    waited: bool,
}

/// What the register is still to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Everything: it has not heard of the new root.
    All,
    NewRoot,
    OldRoot,
}

pub(crate) fn seal(forest: &Forest, sealer: &mut Sealer, change: &Change) -> Result<Sealed, SealError> {
    let prepared = prepare(forest, sealer, change)?;
    finish(forest, sealer, prepared)
}

/// The part before the register. Of a seal that did not come about no pack stays behind but those that its next attempt goes on
/// with: it may be tried again for hours.
pub(crate) fn prepare(forest: &Forest, sealer: &mut Sealer, change: &Change) -> Result<Unfinished, SealError> {
    let prepared = attempt(forest, sealer, change);
    if matches!(prepared, Err(SealError::NotDone(_))) && sealer.attempt.is_none() {
        sealer.packs.sweep();
    }
    prepared
}

fn attempt(forest: &Forest, sealer: &mut Sealer, change: &Change) -> Result<Unfinished, SealError> {
    let probe = &*forest.stores.probe;
    probe.reached(SEAL_BEGUN);
    refuse_nonsense(forest, change).map_err(SealError::NotDone)?;
    sealer.packs.reserve.refill();
    let mut attempt = match sealer.attempt.take() {
        Some(before) if before.is_of(change) => before,
        before => {
            if before.is_some() {
                drop(before);
                // What it wrote is garbage from here on.
                sealer.packs.sweep();
            }
            write_out(forest, sealer, change)?
        }
    };
    probe.reached(SEAL_PAGES_WRITTEN);
    let due = if broken(probe, Broken::RootBeforePages) { Due::OldRoot } else { Due::All };
    if due == Due::OldRoot {
        commit(forest, &attempt.built, 1 - sealer.slot)
            .map_err(|error| unknown("writing the new root", error.into()))?;
    }
    let held = hold(sealer, &mut attempt, probe).and_then(|()| match due {
        Due::All => check(forest, &attempt, change),
        _ => Ok(()),
    });
    if let Err(error) = held {
        forest.wait_with(Vec::new());
        if let (SealError::NotDone(ForestError::Io { source, .. }), Due::All) = (&error, due)
            && is_not_done(source)
        {
            sealer.attempt = Some(attempt);
        }
        return Err(error);
    }
    let old_hash = forest.state_hash();
    let Attempt { built, written, puncture, .. } = attempt;
    Ok(Unfinished { built, written, puncture, old_hash, due, waited: false })
}

/// Builds the next state and writes its pages.
fn write_out(forest: &Forest, sealer: &mut Sealer, change: &Change) -> Result<Attempt, SealError> {
    let doomed: BTreeSet<u32> = sealer.packs.worst().into_iter().collect();
    // Nobody else writes the state, so this lock only keeps readers company.
    let state = forest.state_read();
    let plan = Plan {
        state: &state,
        change,
        frontiers: forest as &dyn Frontiers,
        doomed: &doomed,
        probe: &*forest.stores.probe,
        keep: forest.config.page_memory / 2,
        threads: threads(),
    };
    let mut writer = sealer.packs.writer();
    let built = build(&plan, &mut writer)?;
    Ok(Attempt {
        built,
        written: writer.finish(),
        puncture: change.puncture.clone(),
        provision: change.provision,
        attaches: change.attachment.is_some(),
        pins: change.pins,
        closed_below: change.closed_below,
        journal_done: change.journal_done,
    })
}

/// Makes the pages durable.
fn hold(sealer: &Sealer, attempt: &mut Attempt, probe: &dyn Probe) -> Result<(), SealError> {
    sealer.packs.flush(&mut attempt.written)?;
    probe.reached(SEAL_PAGES_DURABLE);
    Ok(())
}

/// Checks the pages as they are read back.
fn check(forest: &Forest, attempt: &Attempt, change: &Change) -> Result<(), SealError> {
    // Before they are checked: what is damaged later is not to be copied over another whole copy.
    forest.wait_with(attempt.pages());
    let written = attempt.changed_since(change);
    let (change, spans) = (written.as_ref().unwrap_or(change), Arc::new(attempt.written.spans()));
    let (medium, before) = (forest.stores.packs.clone(), forest.stores.packs.clone());
    let state = forest.state_read();
    Check { state: &state, change, medium, before, spans, threads: threads() }
        .run(&attempt.built.root, attempt.built.punctured)
        .map_err(SealError::NotDone)?;
    forest.stores.probe.reached(SEAL_VERIFIED);
    Ok(())
}

impl Attempt {
    /// Whether it does what a change asks for. What it pins may be older by commits and journal records that came since: that
    /// is what it would be, had it not had to wait. The log's head is not left behind: who appends to it may wait for its pin.
    fn is_of(&self, change: &Change) -> bool {
        let attachment = self.built.delta.attachment.as_deref().filter(|_| self.attaches);
        self.puncture == change.puncture
            && self.provision == change.provision
            && attachment.map(|bytes| bytes.as_slice()) == change.attachment.as_deref()
            && self.closed_below == change.closed_below
            && self.pins.instance == change.pins.instance
            && self.pins.log_head == change.pins.log_head
            && self.pins.commit_counter <= change.pins.commit_counter
            && self.journal_done <= change.journal_done
    }

    /// The change as it was written, with the canaries of now; `None` when that is the one of now.
    fn changed_since(&self, now: &Change) -> Option<Change> {
        let same = self.pins == now.pins && self.journal_done == now.journal_done;
        (!same).then(|| Change {
            puncture: now.puncture.clone(),
            provision: now.provision,
            attachment: now.attachment.clone(),
            pins: self.pins,
            canaries: now.canaries.clone(),
            closed_below: now.closed_below,
            journal_done: self.journal_done,
        })
    }

    /// The pages that it wrote.
    fn pages(&self) -> Vec<Stored> {
        self.built.delta.pages().filter(|page| self.written.holds(page.pack, page.offset)).collect()
    }
}

/// Takes back a seal that the register has not heard of; gives it back when it has. Its pages stay where they are, as those
/// of a crashed seal do: what was written once is not written over.
pub(crate) fn abandon(forest: &Forest, sealer: &mut Sealer, seal: Unfinished) -> Option<Unfinished> {
    if seal.due != Due::All {
        return Some(seal);
    }
    forest.wait_with(Vec::new());
    sealer.packs.abandoned(&seal.written);
    None
}

/// The register's part. When its store does not answer, what is left is kept for the next call: the same root goes to the
/// same slot again, so that it never matters whether the call before had arrived.
pub(crate) fn finish(forest: &Forest, sealer: &mut Sealer, mut seal: Unfinished) -> Result<Sealed, SealError> {
    let probe = &*forest.stores.probe;
    if seal.waited {
        // For hours, maybe: a place may have been lost meanwhile that no longer holds what it held.
        match sealer.packs.flush(&mut seal.written) {
            Err(SealError::NotDone(error)) => {
                sealer.unfinished = Some(seal);
                return Err(SealError::Stalled(error));
            }
            flushed => flushed?,
        }
    }
    if seal.due != Due::OldRoot {
        seal.due = Due::NewRoot;
        if let Err(error) = commit(forest, &seal.built, 1 - sealer.slot) {
            return put_off(sealer, seal, "writing the new root", error);
        }
        seal.due = Due::OldRoot;
    }
    probe.reached(SEAL_NEW_ROOT_DURABLE);
    if !broken(probe, Broken::OldSlotKept)
        && let Err(error) = forest.stores.register.destroy_slot(sealer.slot)
    {
        return put_off(sealer, seal, "destroying the old root", error);
    }
    probe.reached(SEAL_OLD_ROOT_DESTROYED);

    let Unfinished { built, written, puncture, old_hash, .. } = seal;
    let sealed = Sealed {
        epoch: built.delta.root.epoch,
        punctured: built.punctured,
        bytes_written: written.bytes + 2 * crate::media::SLOT_BYTES as u64,
        flushes: written.flushes + 2,
        state_hashes: [old_hash, built.delta.root_hash],
    };
    sealer.slot = 1 - sealer.slot;
    let journal_done = built.delta.root.journal_done;
    sealer.packs.committed(&written, &built.freed);
    forest.install(built, &puncture);
    // Only now: whoever asks in between finds the pages among those that wait, or in force.
    forest.wait_with(Vec::new());
    probe.reached(SEAL_INSTALLED);
    sealer.packs.sweep();
    forest.journal_lock().done(journal_done);
    probe.reached(SEAL_CLEANED);
    Ok(sealed)
}

fn put_off(
    sealer: &mut Sealer,
    seal: Unfinished,
    operation: &'static str,
    error: SlotError,
) -> Result<Sealed, SealError> {
    match error {
        SlotError::Again(source) => {
            sealer.unfinished = Some(Unfinished { waited: true, ..seal });
            Err(SealError::Stalled(ForestError::Io { operation, source }))
        }
        SlotError::End(source) => Err(unknown(operation, source)),
    }
}

/// The commit point: the new root, durable in the spare slot.
fn commit(forest: &Forest, built: &Built, spare: usize) -> Result<(), SlotError> {
    let root = &built.delta.root;
    let page = PageRef::clone(&built.root);
    let block = Block(Slot { epoch: root.epoch, page, buckets: root.buckets }.encode());
    forest.stores.register.write_slot(spare, &block.0)
}

fn refuse_nonsense(forest: &Forest, change: &Change) -> Result<(), ForestError> {
    let refuse = |reason: &'static str| Err(ForestError::Refused { reason });
    let high_water = forest.high_water().0;
    if change.puncture.as_slice().last().is_some_and(|last| *last >= high_water) {
        return refuse("a leaf to puncture was never issued");
    }
    if change.canaries.as_slice().last().is_some_and(|last| *last >= high_water) {
        return refuse("a canary was never issued");
    }
    if !change.canaries.is_disjoint(&change.puncture) {
        return refuse("a canary is to be punctured");
    }
    if change.closed_below.is_some_and(|leaf| leaf > high_water) {
        return refuse("leaves beyond the high-water mark cannot be closed");
    }
    if change.attachment.as_ref().is_some_and(|bytes| bytes.len() > MAX_ATTACHMENT) {
        return refuse("the attachment is too large");
    }
    if high_water.checked_add(change.provision.saturating_mul(crate::ggm::BUCKET)).is_none() {
        return refuse("leaf numbers are used up");
    }
    if change.journal_done.is_some_and(|position| position > forest.journal_lock().last()) {
        return refuse("the journal has no such record");
    }
    Ok(())
}

/// Threads for a large seal; a small one uses the caller's. Asked of the system once: the answer takes a dozen calls of it.
fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, |count| count.get().min(4)))
}
