//! The PostgreSQL metadata: the port's contract, the same as everywhere.

use std::sync::Arc;

use oubliette_core::ports::Metadata;
use oubliette_core::testing::conformance::metadata::Fixture;
use oubliette_store::metadata::postgres::PostgresMetadata;

use super::support::{Database, open};

struct Postgres {
    // Ended before its database is dropped.
    store: Arc<PostgresMetadata>,
    database: Database,
}

impl Fixture for Postgres {
    async fn fresh() -> Self {
        let database = Database::fresh().await;
        Self { store: open(&database).await, database }
    }

    fn metadata(&self) -> Arc<dyn Metadata> {
        Arc::clone(&self.store) as Arc<dyn Metadata>
    }

    async fn reopen(self) -> Self {
        self.store.close().await;
        Self { store: open(&self.database).await, database: self.database }
    }
}

oubliette_core::metadata_conformance!(Postgres);
