//! Slots whose contents are wrapped under a key that a key store holds and can destroy: one key for every write.
//!
//! ```text
//! carrier   lineage      who this carrier is: part of every key's name
//!           slot-0 -1    the name of the slot's key, and what it wraps
//! ```
//!
//! A write mints a key, wraps the block, puts the wrapped text into the carrier, reads it back, and then destroys every
//! other key that the slot ever had. Nothing of the carrier needs to be forgotten. What always holds:
//!
//! - a key's name is never used twice, so that a request which arrives late meets nothing it could harm;
//! - a key is destroyed only after the carrier durably names another one for its slot, or because the slot is to die;
//! - a key that a crash left behind is found by its name and destroyed before the register is used.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use keyforest::media::{SLOT_BYTES, SlotDevice, SlotError};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Carrier;

/// A store of keys that never leave it. Every method blocks, and any error leaves open whether the call had its effect.
pub trait Keys: Send + Sync {
    /// The class named in status and certificates.
    fn class(&self) -> &'static str;
    /// Makes a fresh random key that can wrap, unwrap and be destroyed, and that cannot be taken out.
    fn mint(&self, name: &str) -> io::Result<()>;
    /// Wraps `plain`, bound to `context`.
    fn wrap(&self, name: &str, context: &[u8], plain: &[u8]) -> io::Result<Vec<u8>>;
    /// The other way; `None` when there certainly is no such key, [`io::ErrorKind::InvalidData`] when the text is not one
    /// that this key wrapped in this context.
    fn unwrap(&self, name: &str, context: &[u8], wrapped: &[u8]) -> io::Result<Option<Zeroizing<Vec<u8>>>>;
    /// Destroys a key and makes sure that it is gone. One that is not there is gone.
    fn destroy(&self, name: &str) -> io::Result<()>;
    /// Names of all keys that begin with `prefix`.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;
}

/// Why keyed slots could not be opened.
#[derive(Debug, Error)]
pub enum KeyedError {
    /// The vault's id cannot be part of a key's name.
    #[error("an instance id is made of letters, digits and hyphens, at most 64 of them")]
    Instance,
    /// The carrier has wrapped roots, and the store has the key of none of them.
    #[error(
        "the wrapped roots are there but the {class} store has none of their keys: is it the store, mount or token that made \
         them? Nothing was changed"
    )]
    KeysMissing {
        /// The store's class.
        class: &'static str,
    },
    /// The carrier's bytes are not what was written.
    #[error("the wrapped root of slot {slot} is damaged")]
    Damaged {
        /// Which.
        slot: usize,
    },
    /// A key was made, used and destroyed for a trial, and the store did not do as it must.
    #[error("the {class} store failed its trial: {reason}")]
    Trial {
        /// The store's class.
        class: &'static str,
        /// What went wrong.
        reason: &'static str,
    },
    /// The carrier or the key store.
    #[error("{operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What the carrier has of a slot.
#[derive(Serialize, Deserialize)]
struct Record {
    format: u8,
    key: String,
    wrapped: String,
}

const FORMAT: u8 = 1;
const LINEAGE: &str = "lineage";

/// Two slots over a key store and a carrier.
pub struct KeyedSlots<K> {
    keys: K,
    carrier: Box<dyn Carrier>,
    /// What the names of all keys of this register begin with.
    prefix: String,
    /// By slot, the keys that may exist.
    alive: Mutex<[BTreeSet<String>; 2]>,
}

impl<K: Keys> KeyedSlots<K> {
    /// Opens the slots of a vault. Tries the store with a key of its own, and destroys what a crash left behind.
    ///
    /// # Errors
    /// Nothing was lost by any of them, and none of the keys that the carrier names was touched.
    pub fn open(keys: K, carrier: Box<dyn Carrier>, instance: &str) -> Result<Self, KeyedError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if instance.is_empty() || instance.len() > 64 || !instance.bytes().all(plain) {
            return Err(KeyedError::Instance);
        }
        let lineage = lineage(&*carrier).map_err(failed("naming the wrapped roots"))?;
        let prefix = format!("oubliette-{instance}-{lineage}-");
        let slots = Self { keys, carrier, prefix, alive: Mutex::default() };
        // First, because a store of several nodes is known to answer from its newest state only after a write of ours.
        slots.trial()?;
        slots.sort_out()?;
        Ok(slots)
    }

    /// The key store.
    pub fn keys(&self) -> &K {
        &self.keys
    }

    /// What the names of this register's keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Finds out which keys there are and destroys those that nobody refers to.
    fn sort_out(&self) -> Result<(), KeyedError> {
        let mut alive = self.lock();
        let mut found = false;
        let mut records = Vec::new();
        for slot in 0..2 {
            let Some(text) = self.carrier.read(&name(slot)).map_err(failed("reading the wrapped roots"))? else {
                continue;
            };
            let record = parse(&text).ok_or(KeyedError::Damaged { slot })?;
            found |= self.open_record(slot, &record).map_err(failed("unwrapping a root"))?.is_some();
            alive[slot].insert(record.key);
            records.push((slot, text));
        }
        if !records.is_empty() && !found {
            return Err(KeyedError::KeysMissing { class: self.keys.class() });
        }
        let mut orphans = self.keys.list(&self.prefix).map_err(failed("listing the keys"))?;
        orphans.retain(|key| key.starts_with(&self.prefix) && alive.iter().all(|alive| !alive.contains(key)));
        if orphans.is_empty() {
            return Ok(());
        }
        // What was read may only be in a cache, and an orphan the key of what is really on the disk.
        for (slot, text) in records {
            let written = self.carrier.write(&name(slot), &text).map_err(io::Error::from);
            written.map_err(failed("writing the wrapped roots"))?;
        }
        for key in orphans {
            self.keys.destroy(&key).map_err(failed("destroying a key that a crash left behind"))?;
        }
        Ok(())
    }

    /// Whether the store really forgets, tried with a key that never wraps a root.
    fn trial(&self) -> Result<(), KeyedError> {
        let fails = |reason| KeyedError::Trial { class: self.keys.class(), reason };
        let key = self.fresh_name().map_err(failed("drawing randomness"))?;
        let context = b"oubliette trial";
        let text = b"a text that is no root";
        self.keys.mint(&key).map_err(failed("making a key"))?;
        let wrapped = self.keys.wrap(&key, context, text).map_err(failed("wrapping"))?;
        let opened = self.keys.unwrap(&key, context, &wrapped).map_err(failed("unwrapping"))?;
        if opened.is_none_or(|opened| opened.as_slice() != text) {
            return Err(fails("a text came back changed"));
        }
        match self.keys.unwrap(&key, b"another context", &wrapped) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err(failed("unwrapping")(error)),
            Ok(_) => return Err(fails("a text was unwrapped in another context")),
        }
        self.keys.destroy(&key).map_err(failed("destroying a key"))?;
        match self.keys.unwrap(&key, context, &wrapped).map_err(failed("unwrapping after the key was destroyed"))? {
            None => Ok(()),
            Some(_) => Err(fails("a destroyed key still unwraps")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, [BTreeSet<String>; 2]> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh_name(&self) -> io::Result<String> {
        Ok(format!("{}{}", self.prefix, random::<12>()?))
    }

    fn context(&self, slot: usize) -> Vec<u8> {
        format!("oubliette root slot {slot} of {}", self.prefix).into_bytes()
    }

    fn record(&self, slot: usize) -> io::Result<Option<Record>> {
        let Some(text) = self.carrier.read(&name(slot))? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| damaged("the wrapped root is damaged"))
    }

    fn open_record(&self, slot: usize, record: &Record) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let plain = self.keys.unwrap(&record.key, &self.context(slot), record.wrapped.as_bytes())?;
        match plain {
            Some(plain) if plain.len() > SLOT_BYTES => Err(damaged("the wrapped root is too long")),
            plain => Ok(plain),
        }
    }

    /// Destroys the slot's keys, `but` one. Those whose end is not confirmed stay on the list.
    fn destroy(&self, alive: &mut BTreeSet<String>, but: Option<&str>) -> Result<(), SlotError> {
        let doomed: Vec<String> = alive.iter().filter(|key| Some(key.as_str()) != but).cloned().collect();
        for key in doomed {
            self.keys.destroy(&key).map_err(SlotError::Again)?;
            alive.remove(&key);
        }
        Ok(())
    }
}

impl<K: Keys> SlotDevice for KeyedSlots<K> {
    fn class(&self) -> Cow<'static, str> {
        self.keys.class().into()
    }

    fn read_slot(&self, slot: usize) -> io::Result<Box<[u8; SLOT_BYTES]>> {
        check(slot)?;
        let mut block = Box::new([0; SLOT_BYTES]);
        if let Some(record) = self.record(slot)?
            && let Some(plain) = self.open_record(slot, &record)?
        {
            block[..plain.len()].copy_from_slice(&plain);
        }
        Ok(block)
    }

    fn write_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        check(slot).map_err(SlotError::End)?;
        let mut alive = self.lock();
        // What earlier attempts left, so that a long outage does not fill the store.
        let current = self.record(slot).map_err(SlotError::Again)?.map(|record| record.key);
        self.destroy(&mut alive[slot], current.as_deref())?;

        let key = self.fresh_name().map_err(SlotError::Again)?;
        // On the list before it is asked for: an unanswered request may have made it.
        alive[slot].insert(key.clone());
        self.keys.mint(&key).map_err(SlotError::Again)?;
        let used = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let wrapped = self.keys.wrap(&key, &self.context(slot), &block[..used]).map_err(SlotError::Again)?;
        let wrapped = String::from_utf8(wrapped).map_err(|_| SlotError::Again(damaged("a wrapped root is no text")))?;
        let record = Record { format: FORMAT, key: key.clone(), wrapped };
        let text = serde_json::to_vec(&record).map_err(|error| SlotError::Again(error.into()))?;
        self.carrier.write(&name(slot), &text)?;

        // Seen with the reader's eyes before the first key dies for it.
        let back = Zeroizing::new(*self.read_slot(slot).map_err(SlotError::Again)?);
        if back[..] != block[..] {
            return Err(SlotError::Again(damaged("the wrapped root does not read back")));
        }
        self.destroy(&mut alive[slot], Some(&key))
    }

    /// The same text, durably once more: what it says needs no new key.
    fn rewrite_slot(&self, slot: usize, block: &[u8; SLOT_BYTES]) -> Result<(), SlotError> {
        check(slot).map_err(SlotError::End)?;
        let mut alive = self.lock();
        let text = self.carrier.read(&name(slot)).map_err(SlotError::Again)?;
        let read = Zeroizing::new(*self.read_slot(slot).map_err(SlotError::Again)?);
        let (Some(text), true) = (text, read[..] == block[..]) else {
            return Err(SlotError::End(damaged("the slot is not what it was read as")));
        };
        self.carrier.write(&name(slot), &text)?;
        let current = parse(&text).map(|record| record.key);
        self.destroy(&mut alive[slot], current.as_deref())
    }

    fn destroy_slot(&self, slot: usize) -> Result<(), SlotError> {
        check(slot).map_err(SlotError::End)?;
        let mut alive = self.lock();
        self.destroy(&mut alive[slot], None)
    }
}

/// Drawn when the carrier is first used, so that two registers never touch each other's keys.
fn lineage(carrier: &dyn Carrier) -> io::Result<String> {
    if let Some(text) = carrier.read(LINEAGE)? {
        let text = String::from_utf8(text).map_err(|_| damaged("the lineage is damaged"))?;
        let whole = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if whole { Ok(text) } else { Err(damaged("the lineage is damaged")) };
    }
    let drawn = random::<8>()?;
    carrier.write(LINEAGE, drawn.as_bytes())?;
    Ok(drawn)
}

fn random<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(hex::encode(bytes))
}

fn parse(text: &[u8]) -> Option<Record> {
    serde_json::from_slice(text).ok().filter(|record: &Record| record.format == FORMAT)
}

fn name(slot: usize) -> String {
    format!("slot-{slot}")
}

fn check(slot: usize) -> io::Result<()> {
    if slot < 2 { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn damaged(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> KeyedError {
    move |source| KeyedError::Io { operation, source }
}
