//! Key bytes in memory, and where fresh ones come from.
//!
//! Nothing here has `Debug`. Containers of keys are allocated at their final size, because a growing vector leaves copies of
//! its contents in freed memory.

use std::io;

use aws_lc_rs::{digest, rand};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ForestError;

/// 32 bytes of key or seed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key(pub(crate) [u8; 32]);

/// Fills `bytes` from the system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), ForestError> {
    rand::fill(bytes).map_err(|_| ForestError::Io {
        operation: "drawing randomness",
        source: io::Error::other("the system's random generator failed"),
    })
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Fresh keys, drawn in blocks: one call to the generator for every 64 of them.
pub(crate) struct KeySource {
    pool: Box<[u8; 2048]>,
    used: usize,
}

impl KeySource {
    pub(crate) fn new() -> Self {
        Self { pool: Box::new([0; 2048]), used: 2048 }
    }

    /// 32 bytes that were never handed out before.
    pub(crate) fn fresh(&mut self) -> Result<Key, ForestError> {
        if self.used == self.pool.len() {
            random(&mut self.pool[..])?;
            self.used = 0;
        }
        let slice = &mut self.pool[self.used..self.used + 32];
        let mut key = Key([0; 32]);
        key.0.copy_from_slice(slice);
        slice.zeroize();
        self.used += 32;
        Ok(key)
    }
}

impl Drop for KeySource {
    fn drop(&mut self) {
        self.pool.zeroize();
    }
}
