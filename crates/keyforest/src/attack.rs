//! The attacker of the tests: owns every byte ever written and the register as it is now.
//!
//! He reads the formats as published, follows references by hash, and tries what he has on everything he has: every
//! 32-byte window of the register as a root key, and every page key he finds on every version of its page, not only on
//! the one it is meant for. What he reaches is the *closure*; an erased leaf must not be in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ggm::{BUCKET, Frontier};
use crate::page::{
    Entry, FAN_OUT, FRAME_HEAD, LEVEL_BUCKET, LEVEL_ROOT, PageRef, open_ciphertext, read_bucket, read_entries,
    read_references, seal_page,
};
use crate::root::{ROOT_MAGIC, RootPage};
use crate::secret::{Key, sha256};
use crate::{Leaf, LeafKey};

/// Collects what was ever written, then computes what can be derived.
#[derive(Default)]
pub struct Attacker {
    /// Every frame's ciphertext ever seen, by hash.
    pages: HashMap<[u8; 32], Vec<u8>>,
    /// 32-byte strings that could be root keys.
    candidates: BTreeSet<[u8; 32]>,
}

/// What the attacker reaches.
#[derive(Default)]
pub struct Closure {
    buckets: BTreeMap<u64, Vec<Frontier>>,
    /// Pages that opened.
    pub pages_opened: usize,
}

impl Attacker {
    /// An attacker who has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives him bytes of a pack, in any state it ever had: frames are found by their magic, at any offset.
    pub fn archive(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(4).position(|window| window == b"KFP1") {
            at += found;
            let len = bytes.get(at + 4..at + FRAME_HEAD).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
            let body = len.and_then(|len| bytes.get(at + FRAME_HEAD..at + FRAME_HEAD + len as usize));
            if let Some(body) = body {
                self.pages.entry(sha256(body)).or_insert_with(|| body.to_vec());
            }
            at += 4;
        }
    }

    /// Gives him a register, or a copy of one: every 32-byte window is a candidate key.
    pub fn register(&mut self, bytes: &[u8]) {
        self.candidates.extend(bytes.windows(32).filter_map(|window| <[u8; 32]>::try_from(window).ok()));
    }

    /// Everything that can be derived from the candidates.
    pub fn closure(&self) -> Closure {
        let mut closure = Closure::default();
        let mut waiting: Vec<(Key, u8, u64)> = Vec::new();
        // Every page is sealed under nonce 0, so one block of key stream tells all the root pages that a candidate may open.
        let mut by_start: HashMap<[u8; 8], Vec<&[u8]>> = HashMap::new();
        for ciphertext in self.pages.values() {
            if let Some(start) = ciphertext.first_chunk() {
                by_start.entry(*start).or_default().push(ciphertext);
            }
        }
        for candidate in &self.candidates {
            // Long runs of one byte are padding; a key is none with certainty.
            if candidate.iter().all(|byte| *byte == candidate[0]) {
                continue;
            }
            let key = Key(*candidate);
            let stream = seal_page(key.clone(), 0, 0, 16, |out| out.extend_from_slice(&[0; 16])).frame;
            let mut start = *ROOT_MAGIC;
            start.iter_mut().zip(&stream[FRAME_HEAD..]).for_each(|(out, stream)| *out ^= stream);
            for ciphertext in by_start.get(&start).into_iter().flatten() {
                let mut epoch = [0; 8];
                let stream = &stream[FRAME_HEAD + 8..];
                epoch.iter_mut().zip(&ciphertext[8..]).zip(stream).for_each(|((out, a), b)| *out = a ^ b);
                let Some(plain) = open_ciphertext(&key, LEVEL_ROOT, u64::from_le_bytes(epoch), ciphertext) else {
                    continue;
                };
                let Some(root) = RootPage::read(&plain) else { continue };
                closure.pages_opened += 1;
                if let Some(head) = root.head {
                    waiting.push((head.key.clone(), root.height, 0));
                }
            }
        }
        let mut tried = BTreeSet::new();
        while let Some((key, level, index)) = waiting.pop() {
            if !tried.insert((key.0, level, index)) {
                continue;
            }
            for ciphertext in self.pages.values() {
                let Some(plain) = open_ciphertext(&key, level, index, ciphertext) else { continue };
                closure.pages_opened += 1;
                expand(&plain, level, index, &mut waiting, &mut closure);
            }
        }
        closure
    }
}

fn expand(plain: &[u8], level: u8, index: u64, waiting: &mut Vec<(Key, u8, u64)>, closure: &mut Closure) {
    let mut child = |place: usize, reference: &PageRef| {
        waiting.push((reference.key.clone(), level - 1, index * FAN_OUT + place as u64));
    };
    match level {
        LEVEL_BUCKET => {
            if let Some(frontier) = read_bucket(plain) {
                closure.buckets.entry(index).or_default().push(frontier);
            }
        }
        1 => {
            for (place, entry) in read_entries(plain).unwrap_or_default().iter().enumerate() {
                match entry {
                    Entry::Empty => {}
                    Entry::Seed(seed) => {
                        let bucket = index * FAN_OUT + place as u64;
                        closure.buckets.entry(bucket).or_default().push(Frontier::whole(&seed.0));
                    }
                    Entry::Page(reference) => child(place, reference),
                }
            }
        }
        _ => {
            for (place, reference) in read_references(plain).unwrap_or_default().iter().enumerate() {
                if let Some(reference) = reference {
                    child(place, reference);
                }
            }
        }
    }
}

impl Closure {
    /// Every key he can derive for a leaf; empty when there is none.
    pub fn keys(&self, leaf: Leaf) -> Vec<LeafKey> {
        let frontiers = self.buckets.get(&(leaf.0 / BUCKET)).into_iter().flatten();
        frontiers.filter_map(|frontier| frontier.leaf(leaf.0 % BUCKET)).collect()
    }

    /// Whether he can derive any key for a leaf.
    pub fn reaches(&self, leaf: Leaf) -> bool {
        let frontiers = self.buckets.get(&(leaf.0 / BUCKET));
        frontiers.is_some_and(|all| all.iter().any(|frontier| frontier.covers(leaf.0 % BUCKET)))
    }
}
