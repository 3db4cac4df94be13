//! A register that asks the fence before it writes.

use std::io;
use std::sync::Arc;

use keyforest::media::{SLOT_BYTES, SlotDevice};

use super::KeyDatabase;

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
}

impl SlotDevice for FencedRegister {
    fn class(&self) -> &'static str {
        self.register.class()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        self.register.read_slot(slot)
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> io::Result<()> {
        self.database.confirm()?;
        self.register.write_slot(slot, block)
    }
}
