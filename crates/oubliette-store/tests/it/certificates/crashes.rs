//! A certifier that falls at each of its named moments, again and again: in the end every receipt has exactly one entry.

use super::over_both;

over_both! {
    a_fall_at_any_moment_leaves_one_entry_for_each_receipt
    without_a_certificate_nothing_is_removed
}

mod check {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Duration;

    use keyforest::Probe;
    use oubliette_proof::Hash;
    use oubliette_proof::entry::{Body, Entry};

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
}
