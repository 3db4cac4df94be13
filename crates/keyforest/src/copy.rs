//! Carrying a state over to other media, under a root of its own.
//!
//! Leaf keys stay what they are; every page is sealed anew under a fresh key, up to a fresh root. So the root here opens
//! nothing of the copy, and the copy's root nothing here. What was written is checked against the state in memory before the
//! copy's register gets its root. Both states live until somebody destroys one: which, and when, is the caller's to decide.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::build::{Frontiers, Plan, build};
use crate::media::{Medium, SlotDevice, SlotError};
use crate::open::{CREATING, cause, read_slot, slot_error};
use crate::packs::{self, Packs, io as failed};
use crate::page::PageRef;
use crate::root::{Block, Slot};
use crate::verify::Check;
use crate::{Change, Forest, ForestConfig, ForestError, Pins, Stores};

/// Where a slot's record has the root's key.
const KEY: std::ops::Range<usize> = 16..48;

/// Whether a register holds a root in either slot. Reads only.
///
/// # Errors
/// What the register's store says when it cannot be read.
pub fn holds_root(register: &dyn SlotDevice) -> Result<bool, ForestError> {
    for slot in 0..2 {
        if Slot::decode(&read_slot(register, slot)?.0).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether there is any pack of key pages. Reads names only.
///
/// # Errors
/// What the medium says when it cannot be listed.
pub fn holds_pages(pages: &dyn Medium) -> io::Result<bool> {
    Ok(pages.list()?.iter().any(|(name, _)| packs::number(name).is_some()))
}

/// The highest epoch of which a register holds a root; `None` where it holds none. Reads only. For who has to know, before a
/// forest is opened, whether old roots came back.
///
/// # Errors
/// What the register's store says when it cannot be read.
pub fn newest_epoch(register: &dyn SlotDevice) -> Result<Option<u64>, ForestError> {
    let mut newest = None;
    for slot in 0..2 {
        let found = Slot::decode(&read_slot(register, slot)?.0).map(|slot| slot.epoch);
        newest = newest.max(found);
    }
    Ok(newest)
}

/// Makes both slots of a register unreadable for ever, and reads back that they are. From then on nothing opens the state
/// whose root lay there, nor any copy of its pages.
///
/// # Errors
/// As [`SlotDevice::write_slot`]: after [`SlotError::Again`] call it again until it is done.
pub fn destroy_roots(register: &dyn SlotDevice) -> Result<(), SlotError> {
    for slot in 0..2 {
        let before = Block(register.read_slot(slot).map_err(SlotError::Again)?);
        register.destroy_slot(slot)?;
        let after = Block(register.read_slot(slot).map_err(SlotError::Again)?);
        let same = Slot::decode(&before.0).is_some() && after.0[KEY] == before.0[KEY];
        if same || Slot::decode(&after.0).is_some() {
            return Err(SlotError::End(io::Error::other("a destroyed slot still holds a root")));
        }
    }
    Ok(())
}

/// Puts the root that one register holds (in memory, say) into another, where it is durable on `Ok`. The other slot there is
/// made unreadable.
///
/// # Errors
/// As [`SlotDevice::write_slot`]: after [`SlotError::Again`] call it again until it is done.
pub fn hand_root_over(from: &dyn SlotDevice, to: &dyn SlotDevice) -> Result<(), SlotError> {
    for slot in 0..2 {
        let block = Block(from.read_slot(slot).map_err(SlotError::Again)?);
        if Slot::decode(&block.0).is_none() {
            continue;
        }
        to.write_slot(0, &block.0)?;
        to.destroy_slot(1)?;
        let back = Block(to.read_slot(0).map_err(SlotError::Again)?);
        let whole = Slot::decode(&back.0) == Slot::decode(&block.0);
        return if whole { Ok(()) } else { Err(SlotError::End(io::Error::other("the root does not read back"))) };
    }
    Err(SlotError::End(io::Error::other("there is no root to hand over")))
}

impl Forest {
    /// Writes the state in force to other media as their first one, one epoch on, under fresh page keys and a fresh root;
    /// gives that epoch. Journal records are not carried over: whoever calls has brought what they stand for to its end.
    /// Positions go on where they were. Blocks.
    ///
    /// # Errors
    /// [`ForestError::Exists`] when the media hold a root or packs. After any error the new packs are of no use; this state
    /// is untouched by all of them.
    pub fn copy_to(&self, stores: &Stores, config: &ForestConfig, pins: Pins) -> Result<u64, ForestError> {
        if holds_root(&*stores.register)? {
            return Err(ForestError::Exists);
        }
        let files = stores.packs.list().map_err(failed("listing the packs"))?;
        if files.iter().any(|(name, _)| packs::number(name).is_some()) {
            return Err(ForestError::Exists);
        }
        if !files.iter().any(|(name, _)| name == CREATING) {
            stores.packs.create(CREATING, 0).map_err(failed("creating the key state"))?;
        }
        let journal_done = Some(self.journal_lock().last());
        let change = Change { pins, journal_done, ..Change::default() };
        let state = self.state_read();
        // Every pack here is as good as gone for the copy, so every page moves, and each gets a fresh key by that.
        let doomed: BTreeSet<u32> = state.live_bytes().into_keys().collect();
        let mut packs = Packs::new(stores.packs.clone(), stores.probe.clone(), config);
        let mut writer = packs.writer();
        let plan = Plan {
            state: &state,
            change: &change,
            frontiers: self as &dyn Frontiers,
            doomed: &doomed,
            probe: &*stores.probe,
            keep: 0,
            threads: 1,
        };
        let built = build(&plan, &mut writer).map_err(cause)?;
        let mut written = writer.finish();
        packs.flush(&mut written).map_err(cause)?;
        let spans = Arc::new(written.spans());
        let (medium, before) = (stores.packs.clone(), self.stores.packs.clone());
        Check { state: &state, change: &change, medium, before, spans, threads: 1 }.run(&built.root, 0)?;
        let epoch = built.delta.root.epoch;
        let block =
            Block(Slot { epoch, page: PageRef::clone(&built.root), buckets: built.delta.root.buckets }.encode());
        stores.register.write_slot(0, &block.0).map_err(slot_error("writing the first root"))?;
        stores.register.destroy_slot(1).map_err(slot_error("destroying a slot"))?;
        let _ = stores.packs.remove(CREATING);
        Ok(epoch)
    }
}
