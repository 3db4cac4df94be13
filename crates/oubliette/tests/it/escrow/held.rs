//! What lies where while the vault's process is dead, and what must hold of it then: the two invariants of a seal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use keyforest::media::{MemorySlots, SLOT_BYTES, SlotDevice};
use keyforest::{Forest, ForestConfig, NoProbe, RootName, Stores};
use oubliette_core::ports::{Metadata, PurgeState};
use oubliette_core::service::TransparencyLog;
use oubliette_proof::entry::{Body, Entry};
use oubliette_store::media::Folder;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use tempfile::TempDir;

use super::Rig;
use super::lost::copy;

/// What a dead vault leaves, as copies: looking changes nothing.
pub struct Held {
    at: TempDir,
    /// The blocks of the register that hold a root, newest first.
    register: Vec<(RootName, Box<[u8; SLOT_BYTES]>)>,
    /// Which agents hold what, those that are down included.
    agents: BTreeMap<RootName, BTreeSet<usize>>,
}

impl Held {
    pub fn of(rig: &Rig) -> Self {
        let at = tempfile::tempdir().unwrap();
        for folder in ["db", "packs"] {
            copy(&rig.place.join("vault").join(folder), &at.path().join(folder));
        }
        copy(&rig.place.join("cellar"), &at.path().join("mirror"));
        let bytes = std::fs::read(rig.place.join("vault.register").join("register")).unwrap();
        let mut register: Vec<_> = bytes
            .chunks_exact(SLOT_BYTES)
            .map(|block| Box::new(<[u8; SLOT_BYTES]>::try_from(block).unwrap()))
            .filter_map(|block| Some((RootName::of(&block)?, block)))
            .collect();
        register.sort_by_key(|(root, _)| std::cmp::Reverse(root.epoch));
        let mut agents: BTreeMap<RootName, BTreeSet<usize>> = BTreeMap::new();
        for number in 0..rig.agents.len() {
            for root in rig.roots(number) {
                agents.entry(root).or_default().insert(number);
            }
        }
        Self { at, register, agents }
    }

    /// I1: the root in force would be had again if the machine burned now: its pages are at the mirror, and enough agents hold
    /// it. What a start would open is opened, from the mirror alone.
    pub fn survives(&self, needed: usize) {
        let (root, block) = self.register.first().expect("there is always a root in the register");
        let holders = self.agents.get(root).map_or(0, BTreeSet::len);
        assert!(
            holders >= needed,
            "{holders} agents hold the root in force, {needed} bring it back: {:?}",
            self.agents
        );
        let register = MemorySlots::default();
        register.write_slot(0, block).unwrap();
        let packs = Arc::new(Folder::open(self.at.path().join("mirror")).unwrap());
        let stores = Stores { packs, register: Arc::new(register), probe: Arc::new(NoProbe) };
        let forest = Forest::open(stores, ForestConfig { reserve_bytes: 4096, ..ForestConfig::default() });
        assert_eq!(forest.unwrap().0.epoch(), root.epoch, "the mirror has the pages of the root in force");
    }

    /// I2: whatever the database or the log calls sealed, no root from before that seal can be had: not from the register, not
    /// from the agents together. The newest epoch that is claimed.
    pub fn forgets(&self, needed: usize) -> u64 {
        let claimed = self.claimed_by_database().max(self.claimed_by_log());
        for (root, _) in &self.register {
            assert!(root.epoch >= claimed, "epoch {claimed} is called sealed, {} is in the register", root.epoch);
        }
        for (root, holders) in self.agents.iter().filter(|(root, _)| root.epoch < claimed) {
            let told = format!("epoch {claimed} is called sealed, agents {holders:?} hold {}", root.epoch);
            assert!(holders.len() < needed, "{told}");
        }
        claimed
    }

    #[tokio::main(flavor = "current_thread")]
    async fn claimed_by_database(&self) -> u64 {
        let path = self.at.path().join("db").join("oubliette.sqlite");
        let rows = SqliteMetadata::open(&path, SqliteOptions::default()).unwrap();
        let seals = rows.seals(1000).await.unwrap();
        let mut claimed = seals.iter().map(|seal| seal.epoch).max().unwrap_or_default();
        for purge in rows.unswept_purges(None, 10_000).await.unwrap() {
            if purge.state == PurgeState::Sealed {
                claimed = claimed.max(purge.sealed_epoch.unwrap_or_default());
            }
        }
        rows.close().await;
        claimed
    }

    /// The newest seal that the log tells of, in the vault's own place and at the mirror.
    fn claimed_by_log(&self) -> u64 {
        ["packs", "mirror"].map(|folder| newest_seal(&self.at.path().join(folder))).into_iter().max().unwrap()
    }
}

fn newest_seal(folder: &Path) -> u64 {
    let medium = Arc::new(Folder::open(folder).unwrap());
    let log = TransparencyLog::alone(medium, "example.org/log", [7; 32], 0).unwrap();
    let epoch = |number| match Entry::decode(&log.entry(number).unwrap()).unwrap().body {
        Body::Seal(seal) => seal.epochs[1],
        _ => 0,
    };
    (0..log.head().size).map(epoch).max().unwrap_or_default()
}
