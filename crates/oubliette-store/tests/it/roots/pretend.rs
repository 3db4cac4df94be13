//! A key store and a carrier in memory, with a fault at any step, for lives in their thousands.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use keyforest::media::SlotError;
use oubliette_store::roots::{Carrier, Keys};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What happens at a chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request never arrives.
    RequestLost,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it.
    DiesAfter,
}

pub const FAULTS: [Fault; 4] = [Fault::RequestLost, Fault::AnswerLost, Fault::DiesBefore, Fault::DiesAfter];

#[derive(Default)]
struct Inner {
    keys: BTreeMap<String, u64>,
    made: u64,
    values: BTreeMap<String, Vec<u8>>,
    /// Every byte that a carrier ever had, whether the write was answered or not.
    archive: Vec<Vec<u8>>,
    steps: u64,
    faults: Vec<(u64, Fault)>,
    dead: bool,
    /// Deletions are believed without looking.
    forgetful: bool,
}

/// Store and carriers of one machine.
#[derive(Clone, Default)]
pub struct Pretend {
    inner: Arc<Mutex<Inner>>,
}

/// One of its stores.
pub struct PretendKeys {
    all: Pretend,
    class: &'static str,
}

/// One of its carriers.
pub struct PretendCarrier {
    all: Pretend,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Wrapped {
    key: u64,
    context: Vec<u8>,
    plain: Vec<u8>,
}

impl Pretend {
    /// With faults at these steps, counted over all stores and carriers.
    pub fn with_faults(faults: &[(u64, Fault)]) -> Self {
        let all = Self::default();
        all.lock().faults = faults.to_vec();
        all
    }

    /// More of them.
    pub fn add_faults(&self, faults: impl Iterator<Item = (u64, Fault)>) {
        self.lock().faults.extend(faults);
    }

    pub fn keys(&self, class: &'static str) -> PretendKeys {
        PretendKeys { all: self.clone(), class }
    }

    pub fn carrier(&self, name: &str) -> Box<dyn Carrier> {
        Box::new(PretendCarrier { all: self.clone(), name: name.to_owned() })
    }

    /// From now on keys are only said to be destroyed.
    pub fn forget_to_destroy(&self) {
        self.lock().forgetful = true;
    }

    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    pub fn restart(&self) {
        self.lock().dead = false;
    }

    pub fn key_names(&self) -> Vec<String> {
        self.lock().keys.keys().cloned().collect()
    }

    pub fn put_key(&self, name: &str) {
        self.lock().keys.insert(name.to_owned(), u64::MAX);
    }

    /// Everything that the keys of now open of all that was ever carried.
    pub fn opened(&self) -> Vec<Vec<u8>> {
        let inner = self.lock();
        let alive: BTreeSet<u64> = inner.keys.values().copied().collect();
        let records = inner.archive.iter().filter_map(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok());
        let wrapped = records.filter_map(|record| serde_json::from_str::<Wrapped>(record["wrapped"].as_str()?).ok());
        wrapped.filter(|wrapped| alive.contains(&wrapped.key)).map(|wrapped| wrapped.plain).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn step<T>(&self, effect: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.lock();
        let gone = || io::Error::from(io::ErrorKind::TimedOut);
        if inner.dead {
            return Err(gone());
        }
        inner.steps += 1;
        let step = inner.steps;
        let fault = inner.faults.iter().find(|(at, _)| *at == step).map(|(_, fault)| *fault);
        match fault {
            None => effect(&mut inner),
            Some(Fault::RequestLost) => Err(gone()),
            Some(Fault::AnswerLost) => {
                let _ = effect(&mut inner);
                Err(gone())
            }
            Some(Fault::DiesBefore) => {
                inner.dead = true;
                Err(gone())
            }
            Some(Fault::DiesAfter) => {
                let _ = effect(&mut inner);
                inner.dead = true;
                Err(gone())
            }
        }
    }
}

impl Keys for PretendKeys {
    fn class(&self) -> &'static str {
        self.class
    }

    fn mint(&self, name: &str) -> io::Result<()> {
        self.all.step(|inner| {
            inner.made += 1;
            let number = inner.made;
            assert!(inner.keys.insert(name.to_owned(), number).is_none(), "a name is used twice");
            Ok(())
        })
    }

    fn wrap(&self, name: &str, context: &[u8], plain: &[u8]) -> io::Result<Vec<u8>> {
        self.all.step(|inner| {
            let key = *inner.keys.get(name).ok_or(io::ErrorKind::NotFound)?;
            let wrapped = Wrapped { key, context: context.to_vec(), plain: plain.to_vec() };
            Ok(serde_json::to_vec(&wrapped).unwrap())
        })
    }

    fn unwrap(&self, name: &str, context: &[u8], wrapped: &[u8]) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        self.all.step(|inner| {
            let Some(key) = inner.keys.get(name) else { return Ok(None) };
            let wrapped: Wrapped = serde_json::from_slice(wrapped).unwrap();
            if wrapped.key != *key || wrapped.context != context {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok(Some(Zeroizing::new(wrapped.plain)))
        })
    }

    fn destroy(&self, name: &str) -> io::Result<()> {
        self.all.step(|inner| {
            if !inner.forgetful {
                inner.keys.remove(name);
            }
            Ok(())
        })
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.all.step(|inner| Ok(inner.keys.keys().filter(|name| name.starts_with(prefix)).cloned().collect()))
    }
}

impl Carrier for PretendCarrier {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let name = format!("{}/{name}", self.name);
        self.all.step(|inner| Ok(inner.values.get(&name).cloned()))
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), SlotError> {
        let name = format!("{}/{name}", self.name);
        // Also what never became the value may lie somewhere: in a new file that was not renamed, in a dead row.
        self.all.lock().archive.push(value.to_vec());
        let written = self.all.step(|inner| {
            inner.values.insert(name, value.to_vec());
            Ok(())
        });
        written.map_err(SlotError::Again)
    }
}
