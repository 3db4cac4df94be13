//! A root store whose answers are counted and timed.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use keyforest::media::{SLOT_BYTES, SlotDevice, SlotError};

/// Passes every call on and notes how it went. Nothing of a slot's content is looked at.
pub struct WatchedRegister {
    inner: Arc<dyn SlotDevice>,
}

impl WatchedRegister {
    /// Around a root store.
    pub fn new(inner: Arc<dyn SlotDevice>) -> Self {
        Self { inner }
    }

    fn noting<T, E>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&dyn SlotDevice) -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let answer = call(&*self.inner);
        metrics::histogram!("oubliette_root_store_seconds", "operation" => operation)
            .record(begun.elapsed().as_secs_f64());
        metrics::gauge!("oubliette_root_store_reachable").set(if answer.is_ok() { 1.0 } else { 0.0 });
        if answer.is_err() {
            metrics::counter!("oubliette_root_store_errors_total").increment(1);
        }
        answer
    }
}

impl SlotDevice for WatchedRegister {
    fn class(&self) -> Cow<'static, str> {
        self.inner.class()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        self.noting("read", |register| register.read_slot(slot))
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.noting("write", |register| register.write_slot(slot, block))
    }

    fn rewrite_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.noting("write", |register| register.rewrite_slot(slot, block))
    }

    fn destroy_slot(&self, slot: usize) -> Result<(), SlotError> {
        self.noting("destroy", |register| register.destroy_slot(slot))
    }
}
