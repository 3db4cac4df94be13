//! What a seal costs, on real files, by number of leaves and size of the burst.
//!
//! `KEYFOREST_SIZES` and `KEYFOREST_BURSTS` (comma-separated, default `1e6,1e8,1e9` and `1,1e3,1e5,1e6`) choose rows,
//! `KEYFOREST_DIR` the disk. Time per seal is criterion's; bytes and flushes are printed per row. Punctures add up over a
//! row's seals, so that large bursts meet a forest that has been punctured before.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use keyforest::media::{Medium, SLOT_BYTES, SlotDevice, SlotError};
use keyforest::{Change, Forest, ForestConfig, Leaf, LeafSet, NoProbe, Pins, Stores};

const DIRECT: i32 = 0x4000;
const DSYNC: i32 = 0x1000;

struct Disk {
    path: PathBuf,
    open: Mutex<HashMap<String, Arc<File>>>,
}

impl Disk {
    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().expect("no thread panics while it opens a file");
        if let Some(file) = open.get(name) {
            return Ok(file.clone());
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?);
        open.insert(name.to_owned(), file.clone());
        Ok(file)
    }
}

impl Medium for Disk {
    fn create(&self, name: &str, _reserve: u64) -> io::Result<()> {
        File::create_new(self.path.join(name))?.sync_all()?;
        File::open(&self.path)?.sync_all()
    }
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }
    fn flush(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }
    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file(name)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = OpenOptions::new().read(true).custom_flags(DIRECT).open(self.path.join(name))?;
        let lead = (offset % 4096) as usize;
        let (mut bytes, start) = aligned((lead + len).next_multiple_of(4096));
        let mut filled = 0;
        while filled < lead + len {
            let end = bytes.len() - (4096 - start);
            match file.read_at(&mut bytes[start + filled..end], offset - lead as u64 + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(bytes[start + lead..start + lead + len].to_vec())
    }
    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.file(name)?.set_len(len)
    }
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        std::fs::read_dir(&self.path)?
            .map(|entry| entry.and_then(|e| Ok((e.file_name().to_string_lossy().into_owned(), e.metadata()?.len()))))
            .collect()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }
}

/// Two slots, overwritten in place past the page cache.
struct Slots(File);

impl SlotDevice for Slots {
    fn class(&self) -> std::borrow::Cow<'static, str> {
        "file".into()
    }
    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        let (mut bytes, start) = aligned(SLOT_BYTES);
        self.0.read_exact_at(&mut bytes[start..start + SLOT_BYTES], (slot * SLOT_BYTES) as u64)?;
        let mut block = Box::new([0; SLOT_BYTES]);
        block.copy_from_slice(&bytes[start..start + SLOT_BYTES]);
        Ok(block)
    }
    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        let (mut bytes, start) = aligned(SLOT_BYTES);
        bytes[start..start + SLOT_BYTES].copy_from_slice(block);
        let written = self.0.write_all_at(&bytes[start..start + SLOT_BYTES], (slot * SLOT_BYTES) as u64);
        written.map_err(SlotError::End)
    }
}

fn aligned(len: usize) -> (Vec<u8>, usize) {
    let bytes = vec![0_u8; len + 4096];
    let start = bytes.as_ptr().align_offset(4096);
    (bytes, start)
}

fn stores(path: &std::path::Path) -> io::Result<Stores> {
    std::fs::create_dir_all(path.join("keys"))?;
    let slots = path.join("slots");
    std::fs::write(&slots, [0; 2 * SLOT_BYTES])?;
    let slots = OpenOptions::new().read(true).write(true).custom_flags(DIRECT | DSYNC).open(slots)?;
    Ok(Stores {
        packs: Arc::new(Disk { path: path.join("keys"), open: Mutex::default() }),
        register: Arc::new(Slots(slots)),
        probe: Arc::new(NoProbe),
    })
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

fn numbers(variable: &str, default: &str) -> Vec<u64> {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    text.split(',').filter_map(|number| number.trim().parse::<f64>().ok()).map(|number| number as u64).collect()
}

fn burst(dice: &mut Dice, leaves: u64, size: u64, clustered: bool) -> LeafSet {
    if clustered {
        let from = dice.roll(leaves.saturating_sub(size).max(1));
        (from..from + size.min(leaves)).map(Leaf).collect()
    } else {
        (0..size).map(|_| Leaf(dice.roll(leaves))).collect()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = match std::env::var_os("KEYFOREST_DIR") {
        Some(path) => tempfile::tempdir_in(path)?,
        None => tempfile::tempdir()?,
    };
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for size in numbers("KEYFOREST_SIZES", "1e6,1e8,1e9") {
        let buckets = size.div_ceil(1024);
        for count in numbers("KEYFOREST_BURSTS", "1,1e3,1e5,1e6").into_iter().filter(|count| count * 10 <= size) {
            for clustered in [false, true] {
                let path = home.path().join(format!("{size}-{count}-{clustered}"));
                let began = Instant::now();
                let config = ForestConfig { provision_buckets: buckets, reserve_bytes: 0, ..ForestConfig::default() };
                let forest = Forest::create(stores(&path)?, config, b"", Pins::default())?;
                let made = began.elapsed();
                let (mut seals, mut bytes, mut flushes, mut died) = (0_u64, 0, 0_u64, 0);
                let shape = if clustered { "clustered" } else { "random" };
                let id = BenchmarkId::new(format!("n={size:e}/{shape}"), format!("{:e}", count as f64));
                let mut group = criterion.benchmark_group("seal");
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|rounds| {
                        let mut spent = Duration::ZERO;
                        for _ in 0..rounds {
                            let puncture = burst(&mut dice, buckets * 1024, count, clustered);
                            let began = Instant::now();
                            let sealed = forest.seal(&Change { puncture, ..Change::default() });
                            spent += began.elapsed();
                            let sealed = sealed.expect("the benchmark's disk works");
                            seals += 1;
                            bytes += sealed.bytes_written;
                            flushes += u64::from(sealed.flushes);
                            died += sealed.punctured;
                        }
                        spent
                    });
                });
                group.finish();
                println!(
                    "n={size} burst={count} {shape}: {} bytes and {:.1} flushes a seal over {seals} seals, {died} leaves died, \
                     state made in {made:?}\n",
                    bytes / seals.max(1),
                    flushes as f64 / seals.max(1) as f64,
                );
                drop(forest);
                std::fs::remove_dir_all(&path)?;
            }
        }
    }
    Ok(())
}
