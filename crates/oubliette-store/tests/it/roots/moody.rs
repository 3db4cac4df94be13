//! A slot device that can be out of reach.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use keyforest::media::{SLOT_BYTES, SlotDevice, SlotError};

use super::conformance::Device;

/// Every block that was ever written.
pub type Memory = Arc<Mutex<Vec<Vec<u8>>>>;

/// A device with a switch, and a memory of everything it ever held.
pub struct Moody {
    inner: Device,
    away: Arc<AtomicBool>,
    held: Memory,
}

impl Moody {
    /// The device, its switch and its memory.
    pub fn over(inner: Device) -> (Device, Arc<AtomicBool>, Memory) {
        let (away, held) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let moody = Self { inner, away: Arc::clone(&away), held: Arc::clone(&held) };
        (Arc::new(moody), away, held)
    }

    /// The device with a switch that others have too.
    pub fn switched(inner: Device, away: Arc<AtomicBool>) -> Device {
        Arc::new(Self { inner, away, held: Arc::default() })
    }

    fn asked(&self) -> Result<(), SlotError> {
        let away = self.away.load(Ordering::SeqCst);
        if away { Err(SlotError::Again(io::ErrorKind::TimedOut.into())) } else { Ok(()) }
    }
}

impl SlotDevice for Moody {
    fn class(&self) -> Cow<'static, str> {
        self.inner.class()
    }
    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        self.asked()?;
        self.inner.read_slot(slot)
    }
    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        self.asked()?;
        self.held.lock().unwrap().push(block.to_vec());
        self.inner.write_slot(slot, block)
    }
    fn destroy_slot(&self, slot: usize) -> Result<(), SlotError> {
        self.asked()?;
        self.inner.destroy_slot(slot)
    }
}
