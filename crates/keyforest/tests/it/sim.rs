//! A simulated disk: what is written lies in a cache until it is flushed; a power cut keeps any of its 512-byte sectors.
//!
//! Every byte ever handed to the disk is archived for the attacker, whether it reached the disk or not.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use keyforest::media::{Medium, SLOT_BYTES, SlotDevice, SlotError, not_done};
use keyforest::{Broken, Probe, Stores};

const SECTOR: usize = 512;

/// A small deterministic generator (xorshift).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

#[derive(Clone, Default)]
struct SimFile {
    /// What a read sees.
    cache: Vec<u8>,
    /// What a power cut leaves.
    disk: Vec<u8>,
    /// Unflushed writes, in order.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, SimFile>,
    slots: [Vec<u8>; 2],
    /// What a register read through the cache would say.
    slot_cache: [Vec<u8>; 2],
    /// Everything ever written to files.
    archive: Vec<Vec<u8>>,
    /// Everything the register ever held.
    register_archive: Vec<Vec<u8>>,
    effects: u64,
    /// Power goes at this effect (a write, flush, creation, removal or slot write).
    cut_at: Option<u64>,
    cut_at_point: Option<&'static str>,
    dead: bool,
    /// The flush (of a file or a slot) with this number fails and leaves clean cache behind.
    fail_flush: Option<u64>,
    flushes: u64,
    capacity: Option<usize>,
    /// Calls of the register that go unanswered from now on; any of them may have had its effect.
    unanswered: u32,
    /// This many flushes and creations from now on are put off: nothing is lost, nothing is durable.
    stalls: u32,
    points: BTreeSet<&'static str>,
}

/// Makes a medium of the disk.
pub type Upon = fn(&Sim) -> io::Result<Arc<dyn Medium>>;

/// The machine: files, register and probe in one.
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Mutex<Inner>>,
    dice: Arc<Mutex<Dice>>,
    pub broken: Option<Broken>,
    /// The register is read through the page cache.
    pub cached_register: bool,
    /// What the forest's files stand on, when that is not the disk itself.
    pub upon: Option<Upon>,
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            slots: [vec![0; SLOT_BYTES], vec![0; SLOT_BYTES]],
            slot_cache: [vec![0; SLOT_BYTES], vec![0; SLOT_BYTES]],
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            dice: Arc::new(Mutex::new(Dice::new(seed))),
            broken: None,
            cached_register: false,
            upon: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn stores(&self) -> Stores {
        let sim = Arc::new(self.clone());
        let upon = self.upon.map(|upon| upon(self));
        // A disk that died meanwhile says so at the first call.
        let packs = upon.and_then(Result::ok).unwrap_or_else(|| sim.clone());
        Stores { packs, register: sim.clone(), probe: sim }
    }

    /// The next flushes and creations are put off.
    pub fn stall(&self, count: u32) {
        self.lock().stalls = count;
    }

    fn stalls(inner: &mut Inner) -> io::Result<()> {
        match inner.stalls.checked_sub(1) {
            None => Ok(()),
            Some(left) => {
                inner.stalls = left;
                Err(not_done("the simulated disk is busy"))
            }
        }
    }

    /// Power will go after `effects` more effects.
    pub fn cut_after(&self, effects: u64) {
        let mut inner = self.lock();
        inner.cut_at = Some(inner.effects + effects);
    }

    pub fn cut_at_point(&self, point: &'static str) {
        self.lock().cut_at_point = Some(point);
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// The flush that comes after `flushes` others fails.
    pub fn fail_flush_after(&self, flushes: u64) {
        let mut inner = self.lock();
        inner.fail_flush = Some(inner.flushes + flushes);
    }

    pub fn flushes(&self) -> u64 {
        self.lock().flushes
    }

    /// The register's store is out of reach for as many calls.
    pub fn register_unanswered(&self, calls: u32) {
        self.lock().unanswered = calls;
    }

    pub fn limit(&self, capacity: Option<usize>) {
        self.lock().capacity = capacity;
    }

    pub fn points(&self) -> BTreeSet<&'static str> {
        self.lock().points.clone()
    }

    /// The machine comes back: any sectors of what was not flushed have reached the disk.
    pub fn power_cycle(&self) {
        let mut inner = self.lock();
        let mut dice = self.dice.lock().unwrap();
        for file in inner.files.values_mut() {
            for (at, bytes) in std::mem::take(&mut file.pending) {
                let style = dice.roll(4);
                for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                    let keep = match style {
                        0 => false,
                        1 => true,
                        _ => dice.one_in(2),
                    };
                    if keep {
                        put(&mut file.disk, at + n * SECTOR, sector);
                    }
                }
            }
            file.cache = file.disk.clone();
        }
        inner.slot_cache = inner.slots.clone();
        inner.dead = false;
        inner.cut_at = None;
        inner.cut_at_point = None;
        inner.fail_flush = None;
        inner.unanswered = 0;
        inner.stalls = 0;
    }

    /// The process ends, the machine stays up: caches live on, and what is in them may be written at leisure.
    pub fn process_ends(&self) {
        let mut inner = self.lock();
        inner.dead = false;
        inner.cut_at = None;
        inner.cut_at_point = None;
        inner.fail_flush = None;
        inner.unanswered = 0;
    }

    pub fn archive(&self) -> Vec<Vec<u8>> {
        self.lock().archive.clone()
    }

    /// The register as it really is.
    pub fn register(&self) -> Vec<u8> {
        self.lock().slots.concat()
    }

    /// Everything the register held before.
    pub fn register_archive(&self) -> Vec<Vec<u8>> {
        self.lock().register_archive.clone()
    }

    /// Spoils the newest `bytes` of the newest pack, on the disk and in the cache.
    pub fn spoil_pack_end(&self, bytes: usize) {
        let mut inner = self.lock();
        let pack = inner.files.iter_mut().rfind(|(name, _)| name.starts_with("pack-")).map(|(_, file)| file).unwrap();
        for copy in [&mut pack.disk, &mut pack.cache] {
            let from = copy.len() - bytes;
            copy[from..].fill(0xee);
        }
    }

    pub fn files(&self) -> Vec<(String, u64)> {
        self.list().unwrap()
    }

    /// Counts an effect; at the chosen one the power goes, and the effect may have happened in part.
    fn effect(inner: &mut Inner) -> io::Result<bool> {
        if inner.dead {
            return Err(gone());
        }
        inner.effects += 1;
        if inner.cut_at == Some(inner.effects) {
            inner.dead = true;
        }
        Ok(inner.dead)
    }

    fn flush_fails(inner: &mut Inner) -> bool {
        inner.flushes += 1;
        inner.fail_flush == Some(inner.flushes - 1)
    }
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

fn cut(bytes: &[u8], offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let at = offset as usize;
    bytes.get(at..at + len).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Medium for Sim {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        let mut inner = self.lock();
        let cut = Self::effect(&mut inner)?;
        Self::stalls(&mut inner)?;
        if inner.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let used: usize = inner.files.values().map(|file| file.cache.len()).sum();
        if inner.capacity.is_some_and(|capacity| used + reserve as usize > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if cut && self.dice.lock().unwrap().one_in(2) {
            return Err(gone());
        }
        // The reserve takes real space; other files are made empty.
        let bytes = if name == "reserve" { vec![0; reserve as usize] } else { Vec::new() };
        let file = SimFile { cache: bytes.clone(), disk: bytes, pending: Vec::new() };
        inner.files.insert(name.to_owned(), file);
        if cut { Err(gone()) } else { Ok(()) }
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let cut = Self::effect(&mut inner)?;
        let used: usize = inner.files.values().map(|file| file.cache.len()).sum();
        if inner.capacity.is_some_and(|capacity| used + bytes.len() > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.archive.push(bytes.to_vec());
        let file = inner.files.get_mut(name).ok_or_else(missing)?;
        put(&mut file.cache, offset as usize, bytes);
        file.pending.push((offset as usize, bytes.to_vec()));
        if cut { Err(gone()) } else { Ok(()) }
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let cut = Self::effect(&mut inner)?;
        Self::stalls(&mut inner)?;
        let fails = Self::flush_fails(&mut inner);
        let file = inner.files.get_mut(name).ok_or_else(missing)?;
        if cut && self.dice.lock().unwrap().one_in(2) {
            return Err(gone());
        }
        let pending = std::mem::take(&mut file.pending);
        if fails {
            // The cache is clean now and says what the disk never got.
            return Err(io::Error::other("input/output error"));
        }
        for (at, bytes) in pending {
            put(&mut file.disk, at, &bytes);
        }
        if cut { Err(gone()) } else { Ok(()) }
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let inner = self.lock();
        if inner.dead {
            return Err(gone());
        }
        cut(&inner.files.get(name).ok_or_else(missing)?.cache, offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(gone());
        }
        // A direct read writes dirty pages out first; it does not flush the device, so they stay pending too.
        let file = inner.files.get_mut(name).ok_or_else(missing)?;
        let mut seen = file.disk.clone();
        for (at, bytes) in &file.pending {
            put(&mut seen, *at, bytes);
        }
        let end = offset as usize + len;
        if seen.len() < end && file.cache.len() >= end {
            seen.resize(end, 0);
        }
        cut(&seen, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.lock();
        Self::effect(&mut inner)?;
        inner.files.get_mut(name).ok_or_else(missing)?.cache.truncate(len as usize);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let inner = self.lock();
        if inner.dead {
            return Err(gone());
        }
        Ok(inner.files.iter().map(|(name, file)| (name.clone(), file.cache.len() as u64)).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let cut = Self::effect(&mut inner)?;
        if cut && self.dice.lock().unwrap().one_in(2) {
            return Err(gone());
        }
        inner.files.remove(name).ok_or_else(missing)?;
        if cut { Err(gone()) } else { Ok(()) }
    }
}

impl SlotDevice for Sim {
    fn class(&self) -> Cow<'static, str> {
        "simulated".into()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        let inner = self.lock();
        if inner.dead {
            return Err(gone());
        }
        let from = if self.cached_register { &inner.slot_cache[slot] } else { &inner.slots[slot] };
        Ok(Box::new(from.as_slice().try_into().unwrap()))
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        let mut inner = self.lock();
        let cut = Self::effect(&mut inner).map_err(SlotError::End)?;
        if inner.unanswered > 0 {
            inner.unanswered -= 1;
            let arrived = self.dice.lock().unwrap().one_in(2);
            if arrived {
                let old = std::mem::replace(&mut inner.slots[slot], block.to_vec());
                inner.register_archive.push(old);
                inner.slot_cache[slot] = block.to_vec();
            }
            return Err(SlotError::Again(io::ErrorKind::TimedOut.into()));
        }
        let fails = Self::flush_fails(&mut inner);
        let old = inner.slots[slot].clone();
        inner.register_archive.push(old);
        inner.slot_cache[slot] = block.to_vec();
        if fails {
            return Err(SlotError::End(io::Error::other("input/output error")));
        }
        let mut dice = self.dice.lock().unwrap();
        for sector in 0..SLOT_BYTES / SECTOR {
            if !cut || dice.one_in(2) {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                inner.slots[slot][range.clone()].copy_from_slice(&block[range]);
            }
        }
        if cut { Err(SlotError::End(gone())) } else { Ok(()) }
    }
}

impl Probe for Sim {
    fn reached(&self, point: &'static str) {
        let mut inner = self.lock();
        inner.points.insert(point);
        if inner.cut_at_point == Some(point) {
            inner.dead = true;
        }
    }

    fn breaks(&self, how: Broken) -> bool {
        self.broken == Some(how)
    }
}
