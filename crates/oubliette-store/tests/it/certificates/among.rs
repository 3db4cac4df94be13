//! Among many large orders that took what lies near.

use super::over_both;

over_both! {
    of_other_orders_a_certificate_reads_only_what_they_cover
}

mod check {
    use std::collections::HashMap;

    use keyforest::{Group, Leaf};
    use oubliette_core::model::TenantId;
    use oubliette_core::ports::*;
    use oubliette_core::proof::places_of;
    use uuid::Uuid;

    use crate::certificates::support::{Base, Open};

    /// So many other orders, each of so many interactions.
    const OTHERS: u64 = 300;
    const EACH: u64 = 20_000;

    /// A certified and removed order of interactions far away, to be looked for where this one is.
    fn other(number: u64, near: Group) -> [Write; 3] {
        let now = SystemClock.now();
        let row = PurgeRow {
            id: Uuid::from_u128(u128::from(number) + 1),
            tenant: Some(TenantId(1)),
            credential: None,
            kind: PurgeKind::Order,
            state: PurgeState::Sealed,
            set: PurgeSet {
                interactions: (0..EACH).map(|item| Leaf((1 << 33) + (item * OTHERS + number) * 3)).collect(),
                ..PurgeSet::default()
            },
            interactions: EACH,
            contents: 0,
            order_leaf: None,
            sealed_order: Vec::new(),
            accepted_at: now,
            sealed_at: Some(now),
            sealed_epoch: Some(0),
            removed_at: Some(now),
            retained_until: None,
            stated: Vec::new(),
            place: None,
            removal: None,
        };
        let id = row.id;
        // In another log, so that nothing else looks for them.
        let entry = 1 << 50;
        let certified = Certified {
            id,
            place: ReceiptPlace { entry, first: number * (EACH + 1), receipts: EACH + 1, blobs: 0 },
            manifest: Vec::new(),
            found_at: vec![places_of(near)[1]],
        };
        let removal = RemovalPlace { entry, index: number };
        [Write::InsertPurge(row), Write::CertifyPurge(Box::new(certified)), Write::LogRemoval(id, removal)]
    }

    async fn questions(base: &Base, open: &Open, ids: [&str; 2]) -> [HashMap<&'static str, usize>; 2] {
        let mut questions = [HashMap::new(), HashMap::new()];
        for (id, questions) in ids.iter().zip(&mut questions) {
            open.vault.forget_trees();
            base.faults.asked();
            let certificate = open.vault.item_certificate(&open.actor, id, None).await.unwrap();
            open.vault.erasure_of(&open.actor, id, None).await.unwrap().unwrap();
            *questions = base.faults.asked();
            assert_eq!(open.check(&certificate).existed.len(), 3);
        }
        questions
    }

    pub async fn of_other_orders_a_certificate_reads_only_what_they_cover(base: Base) {
        let open = base.open().await;
        let alone = open.call("alone", "+15125550001").await;
        let alone_id = alone.id.to_string();
        open.vault.erase_interaction(&open.actor, &alone_id).await.unwrap();
        // Large enough to be looked for by run of groups, behind all the others.
        let (order, of_many) = open.order(65).await;
        open.removed(order).await;
        open.certificate_of(&alone_id).await;
        let ids = [alone_id.as_str(), of_many[40].as_str()];
        let before = questions(&base, &open, ids).await;

        for number in 0..OTHERS {
            open.metadata
                .apply(Transaction { name: "other", checks: Vec::new(), writes: other(number, alone.group).into() })
                .await
                .unwrap();
        }
        let after = questions(&base, &open, ids).await;
        for (mut before, mut after) in before.into_iter().zip(after) {
            let (covers, pieces) = (before.remove("covers").unwrap(), after.remove("covers").unwrap());
            // About ten megabytes, a megabyte at a time, three times over.
            assert!((1..=4).contains(&covers) && pieces <= covers + 50, "{covers} and {pieces}");
            // What the vault does by itself meanwhile.
            let own = ["seals", "arrivals", "removals_due", "unswept_purges", "value", "uncertified_purges"];
            before.retain(|question, _| !own.contains(question));
            after.retain(|question, _| !own.contains(question));
            assert_eq!(before, after);
        }
        open.close().await;
    }
}
