//! A register that asks the fence before it writes.

use std::io;
use std::sync::Arc;

use keyforest::media::{SLOT_BYTES, SlotDevice, SlotError};

use super::{KeyDatabase, is_superseded};

/// A register behind a key database's fence: a process that was passed over between its flush and its root writes no root and
/// destroys none.
///
/// Asking and writing are two steps, so a process that is paused exactly between them still writes. Registers that several
/// processes share need a fence of their own on top.
pub struct FencedRegister {
    register: Arc<dyn SlotDevice>,
    database: KeyDatabase,
}

impl FencedRegister {
    /// Puts `register` behind the fence.
    pub fn new(register: Arc<dyn SlotDevice>, database: KeyDatabase) -> Self {
        Self { register, database }
    }

    /// A process that was passed over must end; while the fence cannot be asked nothing was done.
    fn ask(&self) -> Result<(), SlotError> {
        self.database.confirm().map_err(|error| match is_superseded(&error) {
            true => SlotError::End(error),
            false => SlotError::Again(error),
        })
    }
}

impl SlotDevice for FencedRegister {
    fn class(&self) -> std::borrow::Cow<'static, str> {
        self.register.class()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        self.register.read_slot(slot)
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.ask()?;
        self.register.write_slot(slot, block)
    }

    fn rewrite_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.ask()?;
        self.register.rewrite_slot(slot, block)
    }

    fn destroy_slot(&self, slot: usize) -> Result<(), SlotError> {
        self.ask()?;
        self.register.destroy_slot(slot)
    }
}
