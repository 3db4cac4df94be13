//! While the log lags.

use super::over_both;

over_both! {
    behind_many_others_an_erasure_is_not_certified_yet_rather_than_without_receipt
}

mod check {
    use std::sync::Arc;

    use keyforest::{Leaf, LeafSet, NoProbe};
    use oubliette_core::model::TenantId;
    use oubliette_core::ports::*;
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
}
