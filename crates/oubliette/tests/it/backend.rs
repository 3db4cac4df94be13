//! The embedded stores: everything in a folder.

use std::path::PathBuf;
use std::sync::Arc;

use keyforest::{Forest, ForestConfig, Probe, Stores};
use oubliette_core::ports::{Metadata, NoLenders, SystemClock, Unbounded};
use oubliette_core::service::{VaultParts, VaultSettings, genesis};
use oubliette_store::blobs::local::{LocalBlobs, LocalOptions};
use oubliette_store::media::Folder;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use oubliette_store::roots::FileRegister;
use tempfile::TempDir;

use crate::program::Place;
use crate::quiet;

/// Where the vault under test lies. Removed with it.
pub struct Backend {
    folder: TempDir,
}

impl Backend {
    /// Makes an empty one, and what a vault is opened on.
    pub async fn make(settings: VaultSettings, probe: Arc<dyn Probe>) -> (Self, VaultParts) {
        let backend = Self { folder: tempfile::tempdir().unwrap() };
        let data = backend.data();
        std::fs::create_dir_all(data.join("packs")).unwrap();
        let stores = Stores {
            packs: Arc::new(Folder::open(data.join("packs")).unwrap()),
            register: Arc::new(FileRegister::open(&backend.register(), &data).unwrap()),
            probe: Arc::clone(&probe),
        };
        let options = SqliteOptions { probe: Arc::clone(&probe), ..SqliteOptions::default() };
        let metadata = Arc::new(SqliteMetadata::open(&data.join("vault.db"), options).unwrap());
        let (attachment, pins) = genesis(metadata.instance().await.unwrap().instance).unwrap();
        let log = Arc::clone(&stores.packs);
        let forest = Forest::create(stores, ForestConfig::default(), &attachment, pins).unwrap();
        let blob_options = LocalOptions { probe: Arc::clone(&probe), ..LocalOptions::default() };
        let parts = VaultParts {
            metadata,
            blobs: Arc::new(LocalBlobs::open(&data.join("blobs"), blob_options).unwrap()),
            forest: Arc::new(forest),
            clock: Arc::new(SystemClock),
            lease: Arc::new(Unbounded),
            lenders: Arc::new(NoLenders),
            log,
            probe,
            settings,
        };
        (backend, parts)
    }

    /// What the configuration of a program has to say so that its vault lies here, and what must be kept until its end.
    pub async fn of_program(place: &Place) -> (String, impl Sized + use<>) {
        (format!("[storage]\ndata = \"{}\"\n", place.data().display()), ())
    }

    /// The data folder: all that a backup may ever hold.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of the register.
    pub fn register(&self) -> PathBuf {
        self.folder.path().join("register")
    }

    /// Everything that the vault has written anywhere, with a name for each place.
    pub async fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        quiet::files(self.folder.path(), &mut found);
        found
    }
}
