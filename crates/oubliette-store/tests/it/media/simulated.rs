//! The forest's random histories with crashes, on two places of one simulated machine.

use std::io;
use std::sync::Arc;

use keyforest::media::Medium;
use oubliette_store::media::{Place, Twin};

use crate::history::{Findings, Ways, live};
use crate::sim::Sim;

/// A folder of the disk.
struct Below(Sim, &'static str);

impl Below {
    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.1)
    }
}

impl Medium for Below {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.0.create(&self.at(name), reserve)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(&self.at(name), offset, bytes)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.0.flush(&self.at(name))
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_at(&self.at(name), offset, len)
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_back(&self.at(name), offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.0.truncate(&self.at(name), len)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let all = self.0.list()?;
        let below = all.into_iter().filter_map(|(name, len)| {
            let name = name.strip_prefix(self.1)?.strip_prefix('/')?;
            Some((name.to_owned(), len))
        });
        Ok(below.collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(&self.at(name))
    }
}

impl Place for Below {}

fn twin(sim: &Sim) -> io::Result<Arc<dyn Medium>> {
    let place = |name| Arc::new(Below(sim.clone(), name));
    let (twin, _) = Twin::open(place("first"), place("second")).map_err(io::Error::other)?;
    Ok(Arc::new(twin))
}

fn histories(seeds: std::ops::Range<u64>, ways: Ways, prepare: impl Fn(&mut Sim)) -> Findings {
    let mut all = Findings::default();
    for seed in seeds {
        let mut sim = Sim::new(seed);
        sim.upon = Some(twin);
        prepare(&mut sim);
        all.add(live(&sim, seed, 4, ways));
    }
    all
}

#[test]
fn a_forest_on_two_places_keeps_its_promises_through_crashes() {
    let found = histories(0..150, Ways::default(), |_| {});
    assert!(found.is_clean(), "{found:?}");
    assert!(found.crashes > 75 && found.checks > 400, "{found:?}");
}

#[test]
fn a_forest_on_two_places_keeps_its_promises_when_flushes_fail() {
    let found = histories(5000..5150, Ways { flush_errors: true, ..Ways::default() }, |_| {});
    assert!(found.is_clean(), "{found:?}");
    assert!(found.crashes > 75, "{found:?}");
}

#[test]
fn control_an_old_slot_that_is_not_overwritten_is_noticed_on_two_places_too() {
    let found = histories(0..20, Ways::default(), |sim| sim.broken = Some(keyforest::Broken::OldSlotKept));
    assert!(found.leaks > 10, "{found:?}");
}
