//! Contents of interactions from before the start: each run seals them in groups of its own. Every test runs over SQLite and over
//! PostgreSQL.

use crate::certificates::over_both;

over_both! {
    a_content_that_comes_while_the_erasure_of_its_interaction_is_being_taken_in_is_refused
    an_erasure_takes_along_what_came_after_its_rows_were_read
    uploads_that_are_broken_off_use_up_one_group_between_them
    nothing_is_kept_of_uploads_that_have_ended
    an_upload_that_was_refused_does_not_stand_in_the_way_of_the_next
    a_leaf_is_not_issued_again_to_an_upload_that_began_while_another_ended
    what_a_client_sent_whole_before_it_went_away_is_stored_under_a_leaf_of_its_own
}

mod check {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use keyforest::{Forest, Group, LeafStatus, NoProbe};
    use oubliette_core::model::{ContentKind, TenantId};
    use oubliette_core::service::*;

    use crate::certificates::arranged::Refused;
    use crate::certificates::support::{Base, Open, actor_of};

    /// As [`Base::open`], with the keys.
    async fn opened(base: &Base) -> (Open, Arc<Forest>) {
        let parts = base.parts(Arc::new(NoProbe), VaultSettings::default()).await;
        let (metadata, forest) = (Arc::clone(&parts.metadata), Arc::clone(&parts.forest));
        let vault = Vault::open(parts).await.unwrap();
        vault.wait_ready().await;
        (Open { vault, metadata, actor: actor_of(TenantId(1)) }, forest)
    }

    /// Ids of so many calls from before the start.
    async fn older(base: &Base, calls: usize) -> Vec<String> {
        let open = base.open().await;
        let mut ids = Vec::with_capacity(calls);
        for number in 0..calls {
            ids.push(open.call(&format!("s{number}"), "+15125550001").await.id.to_string());
        }
        open.close().await;
        ids
    }

    async fn put(open: &Open, id: &str) -> Result<Content, VaultError> {
        let new = NewContent::unique(ContentKind::Attachment, "text/plain");
        open.vault.put_content(&open.actor, id, new, body_of(b"said later".to_vec())).await
    }

    /// A client that goes away in the middle.
    async fn put_in_part(open: &Open, id: &str) {
        let pieces = [Ok(bytes::Bytes::from_static(b"said")), Err(std::io::ErrorKind::ConnectionReset.into())];
        let new = NewContent::unique(ContentKind::Attachment, "text/plain");
        let told = open.vault.put_content(&open.actor, id, new, Box::pin(futures::stream::iter(pieces))).await;
        assert!(matches!(told, Err(VaultError::Interrupted)), "{:?}", told.err());
    }

    pub async fn a_content_that_comes_while_the_erasure_of_its_interaction_is_being_taken_in_is_refused(base: Base) {
        let ids = older(&base, 1).await;
        let (open, forest) = opened(&base).await;
        let (open, id) = (Arc::new(open), ids[0].clone());
        base.faults.hold("batch");
        let erasing = tokio::spawn({
            let (open, id) = (Arc::clone(&open), id.clone());
            async move { open.vault.erase_interaction(&open.actor, &id).await }
        });
        base.faults.is_waited_for().await;
        // It is planned, and nobody can see that yet.
        let putting = tokio::spawn({
            let open = Arc::clone(&open);
            async move { put(&open, &id).await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        base.faults.release();
        erasing.await.unwrap().unwrap();
        let told = putting.await.unwrap();
        if let Ok(content) = &told {
            let status = forest.status(content.leaf).unwrap();
            assert_eq!(status, LeafStatus::Punctured, "its interaction is erased, and it opens");
        }
        assert!(matches!(told, Err(VaultError::Gone)), "{:?}", told.err());
        Arc::into_inner(open).unwrap().close().await;
    }

    pub async fn an_erasure_takes_along_what_came_after_its_rows_were_read(base: Base) {
        let ids = older(&base, 1).await;
        let (open, forest) = opened(&base).await;
        let open = Arc::new(open);
        base.faults.hold("count_contents");
        let erasing = tokio::spawn({
            let (open, ids) = (Arc::clone(&open), ids.clone());
            async move { open.vault.erase_interactions(&open.actor, &ids).await }
        });
        base.faults.is_waited_for().await;
        let mut came = Vec::new();
        for _ in 0..10 {
            came.push(put(&open, &ids[0]).await.unwrap().leaf);
        }
        assert!(came.iter().any(|leaf| Group::of(*leaf) != Group::of(came[0])), "they need two groups");
        base.faults.release();
        assert_eq!(erasing.await.unwrap().unwrap(), 1);
        for leaf in came {
            assert_eq!(forest.status(leaf).unwrap(), LeafStatus::Punctured);
        }
        Arc::into_inner(open).unwrap().close().await;
    }

    pub async fn uploads_that_are_broken_off_use_up_one_group_between_them(base: Base) {
        let ids = older(&base, 1).await;
        let (open, _) = opened(&base).await;
        let before = open.call("before", "+15125550002").await.group;
        for _ in 0..100 {
            put_in_part(&open, &ids[0]).await;
        }
        let content = put(&open, &ids[0]).await.unwrap();
        let after = open.call("after", "+15125550002").await.group;
        assert_eq!(Group::of(content.leaf).0, before.0 + 1);
        assert_eq!(after.0, before.0 + 2, "broken-off uploads use up groups");
        open.close().await;
    }

    pub async fn an_upload_that_was_refused_does_not_stand_in_the_way_of_the_next(base: Base) {
        let open = base.open().await;
        let call = open.call("first", "+15125550001").await;
        let id = call.id.to_string();
        let first = put(&open, &id).await.unwrap();
        // Changed by others as often as it is tried: its bytes are made unreadable, and with them the leaf.
        for _ in 0..16 {
            base.faults.refuse("content.store", Refused::Conflict);
        }
        let told = put(&open, &id).await;
        assert!(matches!(told, Err(VaultError::Conflict(_))), "{:?}", told.err());
        assert_eq!(base.faults.left(), 0);
        for _ in 0..10 {
            let next = put(&open, &id).await.unwrap();
            assert_ne!(next.leaf, first.leaf);
        }
        open.close().await;
    }

    pub async fn a_leaf_is_not_issued_again_to_an_upload_that_began_while_another_ended(base: Base) {
        let open = base.open().await;
        let id = open.call("first", "+15125550001").await.id.to_string();
        base.faults.hold_answer("interaction");
        let mut slow = Box::pin(put(&open, &id));
        tokio::select! {
            _ = &mut slow => panic!("it is held"),
            () = base.faults.is_waited_for() => {}
        }
        let quick = put(&open, &id).await.unwrap();
        base.faults.release();
        assert_ne!(slow.await.unwrap().leaf, quick.leaf);
        open.close().await;
    }

    pub async fn what_a_client_sent_whole_before_it_went_away_is_stored_under_a_leaf_of_its_own(base: Base) {
        let open = base.open().await;
        let call = open.call("first", "+15125550001").await;
        let (id, before) = (call.id.to_string(), open.metadata.contents(&[call.group]).await.unwrap().len());
        base.faults.hold("content.store");
        let mut leaving = Box::pin(put(&open, &id));
        tokio::select! {
            _ = &mut leaving => panic!("it is held"),
            () = base.faults.is_waited_for() => {}
        }
        drop(leaving);
        assert_eq!(open.vault.kept_of_uploads(), (1, 0), "its leaf could be issued again");
        let (next, ()) = tokio::join!(put(&open, &id), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            base.faults.release();
        });
        next.unwrap();
        while open.vault.kept_of_uploads() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The database takes no two contents under one leaf.
        assert_eq!(open.metadata.contents(&[call.group]).await.unwrap().len(), before + 2);
        open.close().await;
    }

    pub async fn nothing_is_kept_of_uploads_that_have_ended(base: Base) {
        let ids = older(&base, 30).await;
        let (open, forest) = opened(&base).await;
        for (number, id) in ids.iter().enumerate() {
            match number % 3 {
                0 => drop(put(&open, id).await.unwrap()),
                1 => put_in_part(&open, id).await,
                _ => {
                    base.faults.refuse("interaction.grow", Refused::Unavailable);
                    let told = put(&open, id).await;
                    assert!(matches!(told, Err(VaultError::Unavailable(_))), "{:?}", told.err());
                }
            }
            assert_eq!(open.vault.kept_of_uploads(), (0, 0), "after {}", number + 1);
        }
        // Of two that come at once one makes it grow.
        base.faults.refuse("interaction.grow", Refused::Conflict);
        let (one, other) = tokio::join!(put(&open, &ids[2]), put(&open, &ids[2]));
        assert_ne!(one.unwrap().leaf, other.unwrap().leaf);
        // An erasure that is on its way keeps what it could miss, and only while it is.
        base.faults.hold("count_contents");
        let mut erasing = Box::pin(open.vault.erase_interactions(&open.actor, &ids[..1]));
        tokio::select! {
            _ = &mut erasing => panic!("it is held"),
            () = base.faults.is_waited_for() => {}
        }
        let came = put(&open, &ids[5]).await.unwrap();
        assert_eq!(open.vault.kept_of_uploads(), (0, 1));
        base.faults.release();
        assert_eq!(erasing.await.unwrap(), 1);
        assert_eq!((open.vault.kept_of_uploads(), forest.status(came.leaf).unwrap()), ((0, 0), LeafStatus::Live));

        // No group can be had: nothing can be sealed, and all there are are in use.
        base.away.store(true, Ordering::SeqCst);
        let erasing = open.vault.erase_interactions(&open.actor, &ids[1..2]);
        assert!(tokio::time::timeout(Duration::from_millis(500), erasing).await.is_err(), "it is sealed");
        while open.vault.draft(&open.actor).await.is_ok() {}
        let told = put(&open, &ids[8]).await;
        assert!(matches!(told, Err(VaultError::Unavailable(_))), "{:?}", told.err());
        assert_eq!(open.vault.kept_of_uploads(), (0, 0));
        base.away.store(false, Ordering::SeqCst);
        open.close().await;
    }
}
