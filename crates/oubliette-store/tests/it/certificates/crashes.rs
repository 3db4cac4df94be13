//! A certifier that falls at each of its named moments, again and again: in the end every receipt has exactly one entry.

use super::over_both;

over_both! {
    a_fall_at_any_moment_leaves_one_entry_for_each_receipt
    without_a_certificate_nothing_is_removed
    a_removal_is_told_once_although_a_clock_that_was_set_back_puts_many_before_it
}

mod check {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use keyforest::{NoProbe, Probe};
    use oubliette_core::ports::*;
    use oubliette_proof::Hash;
    use oubliette_proof::entry::{Body, Entry};
    use uuid::Uuid;

    use crate::certificates::support::{Base, Falls, Open};

    const POINTS: [&str; 4] = ["certify.planned", "certify.built", "certify.appended", "certify.noted"];

    /// How often each root over receipts stands in the log, and the last state of each chain of seals.
    fn roots(open: &Open) -> HashMap<Hash, u32> {
        let log = open.vault.log();
        let (mut roots, mut state) = (HashMap::new(), None);
        for number in 0..log.head().size {
            match Entry::decode(&log.entry(number).unwrap()).unwrap().body {
                Body::Seal(seal) => {
                    if let Some(last) = state {
                        assert_eq!((seal.epochs[0], seal.states[0]), last, "seals chain");
                    }
                    state = Some((seal.epochs[1], seal.states[1]));
                    if seal.receipts > 0 {
                        *roots.entry(seal.receipts_root).or_default() += 1;
                    }
                }
                Body::Ingest(batch) | Body::Removal(batch) => *roots.entry(batch.root).or_default() += 1,
                _ => {}
            }
        }
        roots
    }

    pub async fn a_fall_at_any_moment_leaves_one_entry_for_each_receipt(base: Base) {
        let mut erased = Vec::new();
        let mut fallen = 0;
        for (round, point) in POINTS.into_iter().chain(POINTS).enumerate() {
            let falls = Falls::at(point, 1 + round / 4);
            let open = base.open_with(Arc::clone(&falls) as Arc<dyn Probe>, true).await;
            let calls = [open.call("a", "+15125550001").await, open.call("b", "+15125550002").await];
            for call in calls {
                let id = call.id.to_string();
                open.vault.erase_interaction(&open.actor, &id).await.unwrap();
                erased.push(id);
            }
            for _ in 0..100 {
                if falls.has_fallen() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            fallen += usize::from(falls.has_fallen());
            // Not closed: that would tell the log once more.
            drop(open);
        }
        assert_eq!(fallen, 8, "each moment was reached");
        let open = base.open().await;
        for id in &erased {
            let certificate = open.certificate_of(id).await;
            let verified = open.check(&certificate);
            assert_eq!(verified.existed.len(), 3, "{id}");
            open.removed(uuid::Uuid::from_bytes(certificate.erased.order.0)).await;
        }
        assert!(open.metadata.uncertified_purges(u64::MAX, 9).await.unwrap().is_empty());
        let roots = roots(&open);
        assert!(roots.len() >= 8);
        assert!(roots.values().all(|times| *times == 1), "{roots:?}");
    }

    pub async fn without_a_certificate_nothing_is_removed(base: Base) {
        let falls = Falls::at("certify.built", 1);
        let open = base.open_with(Arc::clone(&falls) as Arc<dyn Probe>, true).await;
        let call = open.call("a", "+15125550001").await;
        open.vault.erase_interaction(&open.actor, &call.id.to_string()).await.unwrap();
        // The certifier has fallen; the sweeper goes on.
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(falls.has_fallen());
        assert_eq!(open.metadata.contents(&[call.group]).await.unwrap().len(), 2);
        assert_eq!(open.metadata.unswept_purges(None, 9).await.unwrap().len(), 1);
    }
    /// Panics once, when what was planned is in the log and the rows do not know it.
    #[derive(Default)]
    struct AfterPlan {
        planned: AtomicBool,
        fallen: AtomicBool,
    }

    impl Probe for AfterPlan {
        fn reached(&self, point: &'static str) {
            match point {
                "certify.planned" => self.planned.store(true, Ordering::SeqCst),
                "certify.appended" if self.planned.load(Ordering::SeqCst) => {
                    assert!(self.fallen.swap(true, Ordering::SeqCst), "a crash, as arranged");
                }
                _ => {}
            }
        }
    }

    /// A certified erasure whose blobs were removed at `at`, as a transaction's writes.
    fn removed(id: u128, at: jiff::Timestamp, tenant: oubliette_core::model::TenantId) -> [Write; 2] {
        let row = PurgeRow {
            id: Uuid::from_u128(id),
            tenant: Some(tenant),
            credential: None,
            kind: PurgeKind::Order,
            state: PurgeState::Sealed,
            set: PurgeSet::default(),
            interactions: 0,
            contents: 1,
            order_leaf: None,
            sealed_order: Vec::new(),
            accepted_at: at,
            sealed_at: Some(at),
            sealed_epoch: Some(1),
            removed_at: Some(at),
            retained_until: None,
            stated: Vec::new(),
            place: None,
            removal: None,
        };
        let place = ReceiptPlace { entry: 1 << 30, first: id as u64, receipts: 1, blobs: 1 };
        let certified = Certified { id: row.id, place, manifest: vec![1], found_at: Vec::new() };
        [Write::InsertPurge(row), Write::CertifyPurge(Box::new(certified))]
    }

    pub async fn a_removal_is_told_once_although_a_clock_that_was_set_back_puts_many_before_it(base: Base) {
        const MANY: u128 = 2_100;
        let open = base.open_with(Arc::new(NoProbe), false).await;
        let call = open.call("a", "+15125550001").await.id.to_string();
        open.vault.erase_interaction(&open.actor, &call).await.unwrap();
        let order = Uuid::from_bytes(open.certificate_of(&call).await.erased.order.0);
        open.close().await;

        let crash = Arc::new(AfterPlan::default());
        let open = base.open_with(Arc::clone(&crash) as Arc<dyn Probe>, true).await;
        for _ in 0..200 {
            if crash.fallen.load(Ordering::SeqCst) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(crash.fallen.load(Ordering::SeqCst));
        assert!(open.metadata.purge(order).await.unwrap().unwrap().removal.is_none(), "the rows do not know it");
        // What the sweeper removes after the clock was set back by a day.
        let earlier = open.vault.now() - jiff::SignedDuration::from_hours(24);
        let ids: Vec<u128> = (1..=MANY).collect();
        for some in ids.chunks(300) {
            let writes = some.iter().flat_map(|id| removed(*id, earlier, open.actor.tenant)).collect();
            let many = Transaction { name: "as arranged", checks: Vec::new(), writes };
            assert!(matches!(open.metadata.apply(many).await.unwrap(), Applied::Done(_)));
        }
        drop(open);

        let open = base.open().await;
        open.removed(order).await;
        for _ in 0..600 {
            if open.metadata.removals_due(1).await.unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = open.vault.log();
        let removals =
            (0..log.head().size).map(|number| match Entry::decode(&log.entry(number).unwrap()).unwrap().body {
                Body::Removal(batch) => batch.count,
                _ => 0,
            });
        assert_eq!(removals.sum::<u64>(), 1 + MANY as u64, "each is told of once");
        drop(log);
        open.close().await;
        base.open().await.close().await;
    }
}
