//! While the log lags.

use super::over_both;

over_both! {
    behind_many_others_an_erasure_is_not_certified_yet_rather_than_without_receipt
    what_came_in_before_an_erasure_is_told_before_it_however_much_it_is
}

mod check {
    use std::sync::Arc;

    use keyforest::{Group, Leaf, LeafSet, NoProbe};
    use oubliette_core::model::TenantId;
    use oubliette_core::ports::*;
    use oubliette_core::proof::{Arrival, write_note};
    use oubliette_core::service::*;
    use uuid::Uuid;

    use crate::certificates::support::Base;

    /// An erasure of nothing that was, sealed before any other.
    fn sealed(number: u128) -> PurgeRow {
        let now = SystemClock.now();
        PurgeRow {
            id: Uuid::from_u128(number),
            tenant: Some(TenantId(1)),
            credential: None,
            kind: PurgeKind::Order,
            state: PurgeState::Sealed,
            set: PurgeSet { leaves: LeafSet::from_iter([Leaf(1 << 40)]), ..PurgeSet::default() },
            interactions: 0,
            contents: 0,
            order_leaf: None,
            sealed_order: Vec::new(),
            accepted_at: now,
            sealed_at: Some(now),
            sealed_epoch: Some(0),
            removed_at: None,
            retained_until: None,
            stated: Vec::new(),
            place: None,
            removal: None,
        }
    }

    pub async fn behind_many_others_an_erasure_is_not_certified_yet_rather_than_without_receipt(base: Base) {
        // The log is told nothing.
        let settings = VaultSettings { telling: false, sweeping: false, ..VaultSettings::default() };
        let open = base.open_as(Arc::new(NoProbe), settings).await;
        let id = open.call("one", "+15125550001").await.id.to_string();
        let live = open.call("two", "+15125550002").await.id.to_string();
        let writes = (1..=1_000).map(sealed).map(Write::InsertPurge).collect();
        open.metadata.apply(Transaction { name: "many", checks: Vec::new(), writes }).await.unwrap();
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        while !open.metadata.unsealed_purges().await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let asked = open.vault.item_certificate(&open.actor, &id, None).await;
        assert!(matches!(asked, Err(VaultError::Uncertified)), "{:?}", asked.err());
        let asked = open.vault.item_certificate(&open.actor, &live, None).await;
        assert!(matches!(asked, Err(VaultError::NotFound)));
    }

    pub async fn what_came_in_before_an_erasure_is_told_before_it_however_much_it_is(base: Base) {
        let settings = VaultSettings { telling: false, ..VaultSettings::default() };
        let open = base.open_as(Arc::new(NoProbe), settings).await;
        // Three times as much as one entry takes.
        for row in 0..40_u64 {
            let item = |number| {
                let interaction = Group(1_000_000 + row * 1_000 + number);
                Arrival { tenant: TenantId(1), leaf: interaction.leaf(1), interaction, blob: Some([7; 32]) }
            };
            let items: Vec<Arrival> = (0..1_000).map(item).collect();
            let writes = vec![Write::NoteArrivals(write_note(SystemClock.now(), &items))];
            open.metadata.apply(Transaction { name: "many", checks: Vec::new(), writes }).await.unwrap();
        }
        open.close().await;
        let open = base.open().await;
        let id = open.call("one", "+15125550001").await.id.to_string();
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        assert_eq!(open.check(&open.certificate_of(&id).await).existed.len(), 3);
        assert!(open.metadata.arrivals(9).await.unwrap().is_empty());
        open.close().await;
    }
}
