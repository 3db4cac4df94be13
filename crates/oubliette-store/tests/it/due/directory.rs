//! What else stands in the blocks of the directory that an erasure took something out of.

use super::over_both;

over_both! {
    rows_that_never_heard_of_an_accepted_erasure_are_an_older_copy_and_its_neighbours_live_on
    a_block_whose_key_is_gone_hides_nobody_and_keeps_nobody_from_being_erased
}

mod check {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use keyforest::{LeafSet, NoProbe};
    use oubliette_core::ports::*;
    use oubliette_core::service::{Lookup, Mismatch, Vault, VaultError, VaultSettings};
    use uuid::Uuid;

    use crate::certificates::support::{Base, Open};
    use crate::due::{hasty, named, order_of};

    /// A vault whose look-ups are complete soon.
    async fn opened(base: &Base) -> Open {
        let opening = base.open_as(Arc::new(NoProbe), VaultSettings::default());
        tokio::time::timeout(Duration::from_secs(20), opening).await.expect("look-ups are never complete")
    }

    async fn found(open: &Open, key: Lookup) -> Vec<String> {
        let found = open.vault.lookup(&open.actor, &key).await.unwrap();
        found.into_iter().map(|found| found.id.to_string()).collect()
    }

    async fn is_found(open: &Open, name: &str, id: &str) {
        assert_eq!(found(open, Lookup::Session(format!("{name}-session"))).await, [id]);
        assert_eq!(found(open, Lookup::External(name.to_owned())).await, [id]);
    }

    async fn is_gone(open: &Open, name: &str, id: &str) {
        let told = open.vault.interaction(&open.actor, id).await.err();
        assert!(matches!(told, Some(VaultError::Gone)));
        assert!(found(open, Lookup::Session(format!("{name}-session"))).await.is_empty());
    }

    pub async fn rows_that_never_heard_of_an_accepted_erasure_are_an_older_copy_and_its_neighbours_live_on(base: Base) {
        let open = base.open_as(Arc::new(NoProbe), hasty()).await;
        let mut ids = Vec::new();
        for name in ["one", "two", "three"] {
            ids.push(named(&open, name).await.id.to_string());
        }
        // No seal follows the copy: by its commits it is not behind.
        base.away.store(true, Ordering::SeqCst);
        base.faults.lose_what_comes();
        let erasure = open.vault.order(&open.actor, order_of("two-session")).await.unwrap().0.unwrap();
        open.close().await;
        base.faults.lose_no_more();
        base.away.store(false, Ordering::SeqCst);

        for _ in 0..2 {
            let parts = base.parts(Arc::new(NoProbe), VaultSettings::default()).await;
            let metadata = Arc::clone(&parts.metadata);
            let Err(VaultError::Internal(Some(refused))) = Vault::open(parts).await else { panic!("it is served") };
            metadata.close().await;
            let refused = refused.downcast_ref::<Mismatch>();
            assert!(matches!(refused, Some(Mismatch::ErasureUnknown { erasure: named }) if *named == erasure));
        }
        let open = base.attach().await;
        assert_eq!(open.vault.restore_view().await.unwrap().unwrap().due, 1);
        is_gone(&open, "two", &ids[1]).await;
        is_found(&open, "three", &ids[2]).await;
        open.close().await;
        // It bears its mark now.
        let open = opened(&base).await;
        is_found(&open, "one", &ids[0]).await;
        open.vault.commit_restore().await.unwrap();
        open.close().await;

        let open = opened(&base).await;
        is_gone(&open, "two", &ids[1]).await;
        for (name, id) in [("one", &ids[0]), ("three", &ids[2])] {
            is_found(&open, name, id).await;
        }
        assert_eq!(open.vault.erasure(&open.actor, erasure).await.unwrap().state, PurgeState::Sealed);
        open.vault.erase_interaction(&open.actor, &ids[0]).await.unwrap();
        is_gone(&open, "one", &ids[0]).await;
        is_found(&open, "three", &ids[2]).await;
        open.close().await;
        let open = opened(&base).await;
        is_found(&open, "three", &ids[2]).await;
        open.close().await;
    }

    /// An erasure of the leaf of the first block, and of nothing else.
    async fn lose_the_first_block(open: &Open) {
        let leaf = open.metadata.directory(0, 1).await.unwrap()[0].leaf;
        let row = PurgeRow {
            id: Uuid::new_v4(),
            tenant: Some(open.actor.tenant),
            credential: None,
            kind: PurgeKind::Upkeep,
            state: PurgeState::Planned,
            set: PurgeSet { leaves: LeafSet::from_iter([leaf]), ..PurgeSet::default() },
            interactions: 0,
            contents: 0,
            order_leaf: None,
            sealed_order: Vec::new(),
            accepted_at: SystemClock.now(),
            sealed_at: None,
            sealed_epoch: None,
            removed_at: None,
            retained_until: None,
            stated: Vec::new(),
            place: None,
            removal: None,
        };
        let writes = vec![Write::InsertPurge(row)];
        open.metadata.apply(Transaction { name: "lost", checks: Vec::new(), writes }).await.unwrap();
    }

    pub async fn a_block_whose_key_is_gone_hides_nobody_and_keeps_nobody_from_being_erased(base: Base) {
        let open = opened(&base).await;
        let mut ids = Vec::new();
        for name in ["one", "two", "three"] {
            ids.push(named(&open, name).await.id.to_string());
        }
        lose_the_first_block(&open).await;
        open.close().await;

        let open = opened(&base).await;
        ids.push(named(&open, "four").await.id.to_string());
        for (name, id) in ["one", "two", "three", "four"].into_iter().zip(&ids) {
            is_found(&open, name, id).await;
        }
        open.vault.erase_interaction(&open.actor, &ids[0]).await.unwrap();
        let batch = open.vault.erase_interactions(&open.actor, &["four".to_owned()]).await;
        assert_eq!(batch.unwrap(), 1);
        open.vault.amend(&open.actor, &ids[1], None, &|meta| meta.case_id = Some("case".to_owned())).await.unwrap();
        for _ in 0..2 {
            assert_eq!(found(&open, Lookup::Case("case".to_owned())).await, [ids[1].as_str()]);
        }
        open.close().await;

        let open = opened(&base).await;
        is_gone(&open, "one", &ids[0]).await;
        is_gone(&open, "four", &ids[3]).await;
        is_found(&open, "two", &ids[1]).await;
        is_found(&open, "three", &ids[2]).await;
        assert_eq!(found(&open, Lookup::Case("case".to_owned())).await, [ids[1].as_str()]);
        open.close().await;
    }
}
