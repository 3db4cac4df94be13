//! Another log after a lost one: its entries are counted from the beginning again, and are not taken for those of the one before.

use super::over_both;

over_both! {
    with_another_log_certificates_go_on_and_those_of_the_one_before_are_gone
}

mod check {
    use std::collections::HashMap;

    use oubliette_core::service::VaultError;
    use oubliette_proof::Hash;
    use oubliette_proof::entry::{Body, Entry};
    use uuid::Uuid;

    use crate::certificates::support::{Base, Open};

    /// How often each root over receipts stands in the log.
    fn roots(open: &Open) -> HashMap<Hash, u32> {
        let log = open.vault.log();
        let mut roots = HashMap::new();
        for number in 0..log.head().size {
            let root = match Entry::decode(&log.entry(number).unwrap()).unwrap().body {
                Body::Seal(seal) if seal.receipts > 0 => seal.receipts_root,
                Body::Ingest(batch) | Body::Removal(batch) => batch.root,
                _ => continue,
            };
            *roots.entry(root).or_default() += 1;
        }
        roots
    }

    pub async fn with_another_log_certificates_go_on_and_those_of_the_one_before_are_gone(base: Base) {
        let open = base.open().await;
        let mut erased = Vec::new();
        for number in 0..3 {
            let id = open.call(&format!("s{number}"), "+15125550001").await.id.to_string();
            open.vault.erase_interaction(&open.actor, &id).await.unwrap();
            let order = Uuid::from_bytes(open.certificate_of(&id).await.erased.order.0);
            open.removed(order).await;
            erased.push((id, order));
        }
        // Came in under the log before, and is erased under the next.
        let kept = open.call("kept", "+15125550002").await.id.to_string();
        open.close().await;

        let mut ids = vec![(kept, 0)];
        for start in 0..2 {
            let open = if start == 0 { base.reopen_log().await } else { base.open().await };
            ids.push((open.call(&format!("new {start}"), "+15125550003").await.id.to_string(), 3));
            for (id, existed) in &ids {
                let _ = open.vault.erase_interaction(&open.actor, id).await;
                let certificate = open.certificate_of(id).await;
                assert_eq!(open.check(&certificate).existed.len(), *existed, "what this log tells of it");
                open.removed(Uuid::from_bytes(certificate.erased.order.0)).await;
                assert!(open.check(&open.certificate_of(id).await).removed.is_some());
            }
            for (id, order) in &erased {
                let asked = open.vault.item_certificate(&open.actor, id, None).await;
                assert!(matches!(asked, Err(VaultError::NoReceipt)), "{id}");
                let asked = open.vault.certificate(&open.actor, *order, None).await;
                assert!(matches!(asked, Err(VaultError::NoReceipt)));
                assert!(matches!(open.vault.receipts(&open.actor, *order).await, Err(VaultError::NoReceipt)));
            }
            assert!(open.metadata.uncertified_purges(u64::MAX, 9).await.unwrap().is_empty());
            assert!(roots(&open).values().all(|times| *times == 1), "nothing is stated twice");
            open.close().await;
        }
    }
}
