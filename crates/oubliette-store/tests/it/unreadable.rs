//! Key pages that cannot be read for a while: what lies under them is neither there nor gone, and nobody is told that it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyforest::media::Medium;
use keyforest::{ForestConfig, Stores};
use oubliette_core::ports::Unbounded;
use oubliette_core::service::*;
use oubliette_core::testing::blobs::JudgeBlobs;
use oubliette_store::media::Folder;

use crate::vault::{capture, of, open_as, stores};

/// A medium that does not read while it is told not to.
struct Mute(Folder, AtomicBool);

impl Medium for Mute {
    fn create(&self, name: &str, reserve: u64) -> io::Result<()> {
        self.0.create(name, reserve)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(name, offset, bytes)
    }

    fn flush(&self, name: &str) -> io::Result<()> {
        self.0.flush(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if self.1.load(Ordering::SeqCst) { Err(io::Error::other("mute")) } else { self.0.read_at(name, offset, len) }
    }

    fn read_back(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_back(name, offset, len)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.0.truncate(name, len)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_under_a_page_that_cannot_be_read_is_neither_missing_nor_erased() {
    let root = tempfile::tempdir().unwrap();
    let blobs = JudgeBlobs::new();
    let stores = stores(root.path());
    let medium = Arc::new(Mute(Folder::open(root.path().join("data/packs")).unwrap(), AtomicBool::new(false)));
    let stores = Stores { packs: Arc::clone(&medium) as Arc<dyn Medium>, ..stores };
    // It keeps no page in memory.
    let config = ForestConfig { page_memory: 0, ..ForestConfig::default() };
    let setup = of(open_as(config, stores, root.path(), &blobs, Arc::new(Unbounded)).await).await;
    let (vault, actor) = (&setup.vault, &setup.actor);
    let interaction = capture(&setup, "s", "1").await;
    let id = interaction.id.to_string();
    let contents = vault.contents(actor, &interaction).await.unwrap();
    // A page, no seed, from here on.
    let other = capture(&setup, "other", "2").await.id.to_string();
    vault.erase_interaction(actor, &other).await.unwrap();

    medium.1.store(true, Ordering::SeqCst);
    let failed = |done: Option<VaultError>| matches!(done, Some(VaultError::Internal(_) | VaultError::Unavailable(_)));
    assert!(failed(vault.interaction(actor, &id).await.err()));
    assert!(failed(vault.contents(actor, &interaction).await.err()));
    assert!(failed(vault.read_all(actor, &contents[0], 1 << 20).await.err()));
    assert!(failed(vault.erase_content(actor, &id, contents[0].leaf).await.err()));
    assert!(failed(vault.erase_interactions(actor, std::slice::from_ref(&id)).await.err()));

    medium.1.store(false, Ordering::SeqCst);
    assert_eq!(vault.contents(actor, &interaction).await.unwrap().len(), 2);
    vault.erase_content(actor, &id, contents[0].leaf).await.unwrap();
    assert_eq!(vault.erase_interactions(actor, std::slice::from_ref(&id)).await.unwrap(), 1);
    assert!(matches!(vault.interaction(actor, &id).await, Err(VaultError::Gone)));
}
