//! The bare cost of the same bytes: flushes without a vault, sealing and writing without a server.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use keyforest::media::{SLOT_BYTES, SlotDevice as _};
use oubliette_store::roots::FileRegister;

/// Size at which SQLite begins its log anew.
const WAL_BYTES: u64 = 4 << 20;
/// Bytes sealed at a time, as in stored contents.
const CHUNK: usize = 16 << 10;

/// Four flushes in a row: a transaction's log, key pages, and both slots of a register.
pub struct FourFlushes {
    log: File,
    log_at: u64,
    pages: File,
    pages_at: u64,
    register: FileRegister,
    log_piece: Vec<u8>,
    pages_piece: Vec<u8>,
}

impl FourFlushes {
    /// In folders of the filesystem that the vault uses, with pieces of these sizes.
    pub fn new(folder: &Path, log_bytes: usize, pages_bytes: usize) -> Result<Self> {
        std::fs::create_dir_all(folder.join("pages"))?;
        let open = |path: PathBuf| OpenOptions::new().create(true).truncate(true).write(true).open(path);
        let pages = open(folder.join("pages").join("pack"))?;
        // Key pages go into space that was set aside, as packs do.
        rustix::fs::fallocate(&pages, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 64 << 20)?;
        pages.sync_all()?;
        let register = FileRegister::open(&folder.with_extension("register"), folder)
            .context("the baseline's register cannot be made")?;
        Ok(Self {
            log: open(folder.join("log"))?,
            log_at: 0,
            pages,
            pages_at: 0,
            register,
            log_piece: vec![0x5a; log_bytes],
            pages_piece: vec![0xa5; pages_bytes],
        })
    }

    /// Once; how long it took.
    pub fn once(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.log.write_all_at(&self.log_piece, self.log_at)?;
        self.log.sync_data()?;
        self.pages.write_all_at(&self.pages_piece, self.pages_at)?;
        self.pages.sync_data()?;
        self.register.write_slot(0, &[0x11; SLOT_BYTES]).map_err(std::io::Error::from)?;
        self.register.write_slot(1, &[0x22; SLOT_BYTES]).map_err(std::io::Error::from)?;
        let took = begun.elapsed();
        self.log_at = (self.log_at + self.log_piece.len() as u64) % WAL_BYTES;
        self.pages_at += self.pages_piece.len() as u64;
        Ok(took)
    }
}

/// Seals and durably writes `files` files of `length` bytes; how long it took.
pub fn seal_and_write(folder: &Path, files: usize, length: u64) -> Result<Duration> {
    std::fs::create_dir_all(folder)?;
    let key = key()?;
    let begun = Instant::now();
    for number in 0..files {
        let mut file = File::create(folder.join(format!("{number}")))?;
        let (mut left, mut counter) = (length, 0u64);
        let mut chunk = Vec::with_capacity(CHUNK + 16);
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
            chunk.clear();
            chunk.resize(part, 0x42);
            key.seal_in_place_append_tag(nonce(counter), Aad::empty(), &mut chunk)
                .map_err(|_| anyhow::anyhow!("the baseline cannot seal"))?;
            file.write_all(&chunk)?;
            left -= part as u64;
            counter += 1;
        }
        file.sync_all()?;
    }
    File::open(folder)?.sync_all()?;
    Ok(begun.elapsed())
}

/// Reads and opens what [`seal_and_write`] wrote; how long it took.
pub fn read_and_open(folder: &Path, files: usize) -> Result<Duration> {
    let key = key()?;
    let begun = Instant::now();
    for number in 0..files {
        let mut file = File::open(folder.join(format!("{number}")))?;
        let mut left = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut counter = 0u64;
        let mut chunk = vec![0; CHUNK + 16];
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK + 16);
            chunk.resize(part, 0);
            file.read_exact(&mut chunk)?;
            key.open_in_place(nonce(counter), Aad::empty(), &mut chunk)
                .map_err(|_| anyhow::anyhow!("the baseline cannot open"))?;
            left -= part as u64;
            counter += 1;
        }
    }
    Ok(begun.elapsed())
}

fn key() -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| anyhow::anyhow!("the baseline has no key"))?;
    Ok(LessSafeKey::new(key))
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
