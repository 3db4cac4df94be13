//! Many who ask for the same at once.

use super::over_both;

over_both! {
    for_all_who_ask_at_once_a_tree_is_built_once_and_without_the_first_too
    when_a_tree_cannot_be_built_all_who_wait_hear_of_it_and_the_next_tries_again
    a_tree_that_nobody_waits_for_any_more_is_not_built
    bulk_files_are_written_a_few_at_a_time
    who_reads_a_bulk_file_too_slowly_loses_it_and_makes_room
}

mod check {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::StreamExt as _;
    use keyforest::NoProbe;
    use oubliette_core::service::*;
    use uuid::Uuid;

    use crate::certificates::support::{Base, Open};

    const AT_ONCE: usize = 64;
    const CALLS: usize = 70;

    /// Asks for certificates of an order's items at once; returns when all of them have found the order.
    async fn ask_at_once(
        base: &Base,
        open: &Arc<Open>,
        ids: &[String],
        count: usize,
    ) -> Vec<tokio::task::JoinHandle<Result<(), VaultError>>> {
        let before = base.faults.count("purge_brief");
        let ask = |number: usize| {
            let (open, id) = (Arc::clone(open), ids[number % ids.len()].clone());
            tokio::spawn(async move {
                let certificate = open.vault.item_certificate(&open.actor, &id, None).await?;
                assert_eq!(certificate.subject.id.to_string(), id);
                open.check(&certificate);
                Ok(())
            })
        };
        let asking = (0..count).map(ask).collect();
        while base.faults.count("purge_brief") < before + count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        asking
    }

    pub async fn for_all_who_ask_at_once_a_tree_is_built_once_and_without_the_first_too(base: Base) {
        let open = Arc::new(base.open().await);
        let (_, ids) = open.order(CALLS).await;
        open.vault.forget_trees();
        base.faults.asked();
        base.faults.hold("manifests_in_entry");
        let first = ask_at_once(&base, &open, &ids, 1).await;
        base.faults.is_waited_for().await;
        let others = ask_at_once(&base, &open, &ids, AT_ONCE).await;
        for first in first {
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
        }
        base.faults.release();
        for other in others {
            other.await.unwrap().unwrap();
        }
        let asked = base.faults.asked();
        assert_eq!((asked["purges_in_entry"], asked["manifests_in_entry"]), (1, 1));
        assert!(!asked.contains_key("purge") && !asked.contains_key("manifest"));
        // And it is kept.
        for asking in ask_at_once(&base, &open, &ids, AT_ONCE).await {
            asking.await.unwrap().unwrap();
        }
        assert_eq!(base.faults.count("purges_in_entry"), 0);
    }

    pub async fn when_a_tree_cannot_be_built_all_who_wait_hear_of_it_and_the_next_tries_again(base: Base) {
        let open = Arc::new(base.open().await);
        let (_, ids) = open.order(3).await;
        open.vault.forget_trees();
        base.faults.asked();
        base.faults.hold("manifests_in_entry");
        base.faults.leave_unanswered("manifests_in_entry");
        let asking = ask_at_once(&base, &open, &ids, 8).await;
        // All of them wait by now, or nearly.
        tokio::time::sleep(Duration::from_millis(200)).await;
        base.faults.release();
        for asking in asking {
            assert!(matches!(asking.await.unwrap(), Err(VaultError::Unavailable(_))));
        }
        assert_eq!(base.faults.count("manifests_in_entry"), 1);
        open.check(&open.certificate_of(&ids[1]).await);
    }

    pub async fn a_tree_that_nobody_waits_for_any_more_is_not_built(base: Base) {
        // So many are built at a time, and one more waits for its turn.
        const TURNS: usize = 16;
        let open = Arc::new(base.open().await);
        let mut orders = Vec::new();
        for _ in 0..=TURNS {
            orders.push(open.order(1).await.1);
        }
        open.vault.forget_trees();
        base.faults.asked();
        base.faults.hold("manifests_in_entry");
        let mut building = Vec::new();
        for ids in &orders[..TURNS] {
            building.extend(ask_at_once(&base, &open, ids, 1).await);
        }
        while base.faults.count("purges_in_entry") < TURNS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for gone in ask_at_once(&base, &open, &orders[TURNS], 1).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        base.faults.release();
        for built in building {
            built.await.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(base.faults.count("purges_in_entry"), TURNS);
        // Who asks for it then has it built.
        open.check(&open.certificate_of(&orders[TURNS][0]).await);
    }

    async fn with(base: &Base, bulk: BulkLimits) -> (Open, Uuid) {
        let open = base.open_as(Arc::new(NoProbe), VaultSettings { bulk, ..VaultSettings::default() }).await;
        let (order, _) = open.order(40).await;
        (open, order)
    }

    pub async fn bulk_files_are_written_a_few_at_a_time(base: Base) {
        let bulk = BulkLimits { at_once: 2, piece: 256, ..BulkLimits::default() };
        let (open, order) = with(&base, bulk).await;
        let receipts = async || open.vault.receipts(&open.actor, order).await;
        let (one, mut other) = (receipts().await.unwrap(), receipts().await.unwrap());
        assert!(matches!(receipts().await, Err(VaultError::Busy)));
        let unknown = open.vault.receipts(&open.actor, Uuid::new_v4()).await;
        assert!(matches!(unknown, Err(VaultError::NotFound)), "what never was is told as ever");
        // Nobody reads it any more.
        drop(one);
        let mut third = loop {
            match receipts().await {
                Err(VaultError::Busy) => tokio::time::sleep(Duration::from_millis(10)).await,
                read => break read.unwrap(),
            }
        };
        for read in [&mut other, &mut third] {
            let mut lines = 0;
            while let Some(piece) = read.next().await {
                lines += piece.unwrap().iter().filter(|byte| **byte == b'\n').count();
            }
            assert_eq!(lines, 41);
        }
    }

    pub async fn who_reads_a_bulk_file_too_slowly_loses_it_and_makes_room(base: Base) {
        let stalled = Duration::from_millis(200);
        let bulk = BulkLimits { at_once: 1, piece: 256, stalled, longest: Duration::from_secs(2) };
        let (open, order) = with(&base, bulk).await;
        for pause in [Duration::from_secs(1), Duration::from_millis(150)] {
            let mut slow = open.vault.receipts(&open.actor, order).await.unwrap();
            let mut ends = None;
            for _ in 0..40 {
                tokio::time::sleep(pause).await;
                match slow.next().await {
                    Some(Ok(_)) => {}
                    end => {
                        ends = end;
                        break;
                    }
                }
            }
            assert!(matches!(ends, Some(Err(VaultError::Busy))), "not as if it were whole");
            assert!(slow.next().await.is_none());
            // It made room, although the reader is still there.
            let mut file = open.vault.receipts(&open.actor, order).await.unwrap();
            while let Some(piece) = file.next().await {
                piece.unwrap();
            }
        }
    }
}
