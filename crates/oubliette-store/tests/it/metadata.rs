//! The SQLite metadata: the port's contract, then what is SQLite's own.

use std::sync::Arc;

use oubliette_core::ports::Metadata;
use oubliette_core::testing::conformance::metadata::Fixture;
use oubliette_store::metadata::sqlite::{SqliteMetadata, SqliteOptions};
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    store: Arc<SqliteMetadata>,
}

impl Sqlite {
    fn open(folder: TempDir) -> Self {
        let store = SqliteMetadata::open(&folder.path().join("metadata.db"), SqliteOptions::default()).unwrap();
        Self { folder, store: Arc::new(store) }
    }
}

impl Fixture for Sqlite {
    async fn fresh() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn metadata(&self) -> Arc<dyn Metadata> {
        Arc::clone(&self.store) as Arc<dyn Metadata>
    }

    async fn reopen(self) -> Self {
        self.store.close().await;
        Self::open(self.folder)
    }
}

oubliette_core::metadata_conformance!(Sqlite);
