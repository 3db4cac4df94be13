//! What a stop does, and how long it takes. Every test runs over SQLite and over PostgreSQL.

use crate::certificates::over_both;

over_both! {
    a_start_and_a_stop_with_nothing_between_them_make_one_seal
}

mod check {
    use std::sync::Arc;
    use std::time::Duration;

    use keyforest::{Forest, NoProbe};
    use oubliette_core::model::{CredentialKind, Scopes, TenantId};
    use oubliette_core::service::*;

    use crate::certificates::support::{Base, Open, actor_of};

    /// Opens, does something, and closes; how many seals were made.
    async fn seals_of(base: &Base, between: impl AsyncFnOnce(&Open)) -> u64 {
        let parts = base.parts(Arc::new(NoProbe), VaultSettings::default()).await;
        let (metadata, forest): (_, Arc<Forest>) = (Arc::clone(&parts.metadata), Arc::clone(&parts.forest));
        let before = forest.epoch();
        let vault = Vault::open(parts).await.unwrap();
        vault.wait_ready().await;
        let open = Open { vault, metadata, actor: actor_of(TenantId(1)) };
        between(&open).await;
        open.close().await;
        forest.epoch() - before
    }

    pub async fn a_start_and_a_stop_with_nothing_between_them_make_one_seal(base: Base) {
        let open = base.open().await;
        open.call("s", "+15125550001").await;
        open.close().await;
        for _ in 0..2 {
            assert_eq!(seals_of(&base, async |_| {}).await, 1);
        }
        // What was noted, and told to the log, before the stop.
        let idle = async |_: &Open| tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(seals_of(&base, idle).await, 1);
        // What somebody did is pinned.
        assert_eq!(seals_of(&base, async |open| drop(open.call("t", "+15125550002").await)).await, 2);
        let credential = async |open: &Open| {
            let (kind, scopes) = (CredentialKind::Native, Scopes::all());
            let new = NewCredential { tenant: TenantId(1), kind, scopes, label: "one".to_owned(), expires_at: None };
            open.vault.create_credential(new).await.unwrap();
        };
        assert_eq!(seals_of(&base, credential).await, 2);
        assert_eq!(seals_of(&base, async |_| {}).await, 1);
    }
}
