//! What certificates show.

use super::over_both;

over_both! {
    a_deleted_interactions_certificate_holds_with_the_logs_key_alone_and_tells_what_went
    a_content_that_went_by_itself_has_a_certificate_and_is_not_counted_again
    an_order_tells_its_reference_only_to_who_knows_it_and_what_it_did_not_erase
    a_replaced_upload_has_a_receipt
    erasures_of_one_seal_share_an_entry
    a_bulk_file_has_a_line_for_each_item
    after_reopening_certificates_are_the_same_under_a_newer_checkpoint
    what_lives_and_what_never_was_have_no_certificate
}

mod check {
    use std::time::Duration;

    use futures::StreamExt as _;
    use oubliette_core::model::*;
    use oubliette_core::service::*;
    use oubliette_proof::Token;
    use oubliette_proof::certificate::{BulkChecker, Certificate};
    use oubliette_proof::note::TrustedKeys;
    use oubliette_proof::receipt::SubjectKind;
    use uuid::Uuid;

    use crate::certificates::support::{Base, Open};

    fn contents(certificate: &Certificate) -> Vec<(&str, u64)> {
        certificate.erased.contents.iter().map(|content| (content.kind.as_str(), content.count)).collect()
    }

    pub async fn a_deleted_interactions_certificate_holds_with_the_logs_key_alone_and_tells_what_went(base: Base) {
        let open = base.open().await;
        let before = open.vault.now().as_second();
        let call = open.call("one", "+15125550001").await;
        let id = call.id.to_string();
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        let certificate = open.certificate_of(&id).await;
        let verified = open.check(&certificate);
        assert_eq!(certificate.subject.id.to_string(), id);
        assert_eq!(contents(&certificate), [("callRecording", 1), ("transcript", 1)]);
        assert!(certificate.erased.contents[0].size_class > 16, "a hundred thousand bytes");
        assert_eq!(certificate.erased.actor_role.as_str(), "administrator");
        let accepted = i64::try_from(certificate.erased.accepted_at.get()).unwrap();
        assert!((before..=before + 60).contains(&accepted));
        assert_eq!((certificate.seal.register_class.as_str(), certificate.seal.register_trusted), ("file", true));
        assert_eq!(certificate.seal.epochs[0].0 + 1, certificate.seal.epochs[1].0);
        assert_eq!(verified.existed.len(), 3, "itself and two contents came in");
        let erasure = Uuid::from_bytes(certificate.erased.order.0);
        open.removed(erasure).await;
        let verified = open.check(&open.certificate_of(&id).await);
        assert_eq!(verified.removed.unwrap().blobs, 2);
        let view = open.vault.erasure_of(&open.actor, &id, None).await.unwrap().unwrap();
        assert_eq!((view.id, view.certified), (erasure, true));
    }

    pub async fn a_content_that_went_by_itself_has_a_certificate_and_is_not_counted_again(base: Base) {
        let open = base.open().await;
        let call = open.call("one", "+15125550001").await;
        let id = call.id.to_string();
        let transcript = open.content(&call, ContentKind::Transcript).await;
        let content = open.vault.content_id(open.actor.tenant, &transcript).unwrap().to_string();
        open.vault.erase_content(&open.actor, &id, transcript.leaf).await.unwrap();
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        let ask = async || open.vault.item_certificate(&open.actor, &id, Some(&content)).await;
        let one = open.once_certified(ask).await;
        assert_eq!(open.check(&one).existed.len(), 1);
        assert_eq!((one.subject.kind, contents(&one)), (SubjectKind::Content, vec![("transcript", 1)]));
        assert_eq!(one.erased.part_of.unwrap().to_string(), id);
        let whole = open.certificate_of(&id).await;
        assert_eq!(contents(&whole), [("callRecording", 1)]);
        assert_eq!(open.check(&whole).existed.len(), 2);
        assert_ne!(one.erased.order, whole.erased.order);
        // Of a content that went with its interaction there is no certificate of its own.
        let call = open.call("two", "+15125550001").await;
        let recording = open.content(&call, ContentKind::CallRecording).await;
        let content = open.vault.content_id(open.actor.tenant, &recording).unwrap().to_string();
        let id = call.id.to_string();
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        open.certificate_of(&id).await;
        let asked = open.vault.item_certificate(&open.actor, &id, Some(&content)).await;
        assert!(matches!(asked, Err(VaultError::NoReceipt)));
    }

    pub async fn an_order_tells_its_reference_only_to_who_knows_it_and_what_it_did_not_erase(base: Base) {
        let open = base.open().await;
        for number in 0..3 {
            open.call(&format!("s{number}"), "+15125550001").await;
        }
        let other = open.call("other", "+15125550002").await;
        let gone = open.call("gone", "+15125550003").await;
        open.vault.erase_interaction(&open.actor, &gone.id.to_string()).await.unwrap();
        let selector = Selector {
            phones: vec!["(512) 555-0001".to_owned()],
            ids: vec![gone.id.to_string()],
            sessions: vec!["nobody".to_owned()],
            ..Selector::default()
        };
        let order = Order {
            selector,
            reference: Some("ticket 7".to_owned()),
            reason: Some("a request by letter".to_owned()),
            legal_basis: Token::new("gdpr:17-1-b"),
            plan_hash: None,
        };
        let (id, _) = open.vault.order(&open.actor, order).await.unwrap();
        let id = id.unwrap();
        let certificate = open.certificate(id, Some("ticket 7")).await;
        open.check(&certificate);
        assert_eq!(certificate.reference.as_deref(), Some("ticket 7"));
        assert_eq!(certificate.erased.legal_basis.as_ref().map(Token::as_str), Some("gdpr:17-1-b"));
        assert_eq!((certificate.erased.interactions, certificate.erased.items), (3, 3));
        assert_eq!(contents(&certificate).iter().map(|(_, count)| count).sum::<u64>(), 6);
        let kept: Vec<_> = certificate.erased.kept.iter().map(|kept| (kept.reason.as_str(), kept.count)).collect();
        assert_eq!(kept, [("already-erased", 1), ("not-found", 1)]);
        for wrong in [None, Some("ticket 8"), Some("")] {
            let certificate = open.certificate(id, wrong).await;
            open.check(&certificate);
            assert_eq!(certificate.reference, None);
            assert!(!String::from_utf8(certificate.to_json()).unwrap().contains("ticket"));
        }
        assert!(open.vault.interaction(&open.actor, &other.id.to_string()).await.is_ok());
    }

    pub async fn a_replaced_upload_has_a_receipt(base: Base) {
        let open = base.open().await;
        let call = open.call("one", "+15125550001").await;
        let old = open.content(&call, ContentKind::Transcript).await;
        let id = call.id.to_string();
        let content = open.vault.content_id(open.actor.tenant, &old).unwrap();
        let transcript = NewContent::fixed(ContentKind::Transcript, "application/json");
        open.vault.put_content(&open.actor, &id, transcript, body_of(b"other words".to_vec())).await.unwrap();
        let ask = async || open.vault.item_certificate(&open.actor, &id, Some(&content.to_string())).await;
        let certificate = open.once_certified(ask).await;
        open.check(&certificate);
        assert_eq!(contents(&certificate), [("transcript", 1)]);
        let view = open.vault.erasure_of(&open.actor, &id, Some(content)).await.unwrap().unwrap();
        assert_eq!(view.id.into_bytes(), certificate.erased.order.0);
    }

    async fn some_erased(open: &Open, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for number in 0..count {
            ids.push(open.call(&format!("s{number}"), "+15125550001").await.id.to_string());
        }
        let deletes = ids.iter().map(|id| open.vault.erase_interaction(&open.actor, id));
        for done in futures::future::join_all(deletes).await {
            done.unwrap();
        }
        ids
    }

    pub async fn erasures_of_one_seal_share_an_entry(base: Base) {
        let open = base.open().await;
        let ids = some_erased(&open, 12).await;
        let mut entries = std::collections::BTreeMap::<u64, std::collections::BTreeSet<u64>>::new();
        for id in &ids {
            let certificate = open.certificate_of(id).await;
            let verified = open.check(&certificate);
            let fresh = entries.entry(verified.log_index).or_default().insert(certificate.receipt.index);
            assert!(fresh, "a place of its own");
        }
        assert!(entries.len() < ids.len(), "deletes at the same time share seals");
    }

    pub async fn a_bulk_file_has_a_line_for_each_item(base: Base) {
        let open = base.open().await;
        let mut ids = Vec::new();
        for number in 0..20 {
            ids.push(open.call(&format!("s{number}"), "+15125550001").await.id.to_string());
        }
        let selector = Selector { ids: ids.clone(), ..Selector::default() };
        let order = Order { selector, reference: None, reason: None, legal_basis: None, plan_hash: None };
        let (id, _) = open.vault.order(&open.actor, order).await.unwrap();
        let id = id.unwrap();
        open.certificate(id, None).await;
        let mut file = Vec::new();
        let mut pieces = open.vault.receipts(&open.actor, id).await.unwrap();
        while let Some(piece) = pieces.next().await {
            file.extend_from_slice(&piece.unwrap());
        }
        let mut lines = file.split_inclusive(|byte| *byte == b'\n');
        let keys = TrustedKeys::new(vec![open.vault.log().key()]);
        let mut checker = BulkChecker::new(lines.next().unwrap(), &keys).unwrap();
        let mut found: Vec<String> = lines.map(|line| checker.next(line).unwrap().id.to_string()).collect();
        assert_eq!(checker.finish().unwrap(), 20);
        found.sort_unstable();
        ids.sort_unstable();
        assert_eq!(found, ids);
    }

    /// All of a certificate that a newer checkpoint does not change.
    fn lasting(certificate: &Certificate) -> (Vec<u8>, Vec<u8>, Vec<Vec<u8>>) {
        let receipt = |receipt: &oubliette_proof::certificate::Receipt| {
            let path: Vec<u8> = receipt.path.iter().flat_map(|hash| hash.0).collect();
            [receipt.entry.clone(), receipt.index.to_be_bytes().to_vec(), path, receipt.salt.0.to_vec()].concat()
        };
        let facts = serde_json::to_vec(&certificate.erased).unwrap();
        let existed = certificate.existed.iter().map(|proof| receipt(&proof.receipt)).collect();
        (facts, receipt(&certificate.receipt), existed)
    }

    pub async fn after_reopening_certificates_are_the_same_under_a_newer_checkpoint(base: Base) {
        let open = base.open().await;
        let ids = some_erased(&open, 5).await;
        let mut before = Vec::new();
        for id in &ids {
            before.push(open.certificate_of(id).await);
        }
        open.close().await;
        let open = base.open().await;
        some_erased(&open, 1).await;
        for (id, before) in ids.iter().zip(before) {
            let after = open.certificate_of(id).await;
            open.check(&after);
            open.check(&before);
            assert!(lasting(&after) == lasting(&before), "{id}");
            assert!(after.seal.log_size >= before.seal.log_size);
        }
    }

    pub async fn what_lives_and_what_never_was_have_no_certificate(base: Base) {
        let open = base.open().await;
        let call = open.call("one", "+15125550001").await;
        let id = call.id.to_string();
        let asked = open.vault.item_certificate(&open.actor, &id, None).await;
        assert!(matches!(asked, Err(VaultError::NotFound)));
        assert!(matches!(open.vault.erasure_of(&open.actor, &id, None).await, Err(VaultError::NotFound)));
        for unknown in [Uuid::new_v4().to_string(), "nonsense".to_owned()] {
            let asked = open.vault.item_certificate(&open.actor, &unknown, None).await;
            assert!(matches!(asked, Err(VaultError::NotFound)));
        }
        let asked = open.vault.certificate(&open.actor, Uuid::new_v4(), None).await;
        assert!(matches!(asked, Err(VaultError::NotFound)));
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        let order = open.certificate_of(&id).await.erased.order;
        let other = Actor { tenant: TenantId(2), ..open.actor.clone() };
        let asked = open.vault.certificate(&other, Uuid::from_bytes(order.0), None).await;
        assert!(matches!(asked, Err(VaultError::NotFound)));
        let nobody = Actor { scopes: Scopes::NONE, ..open.actor.clone() };
        let asked = open.vault.item_certificate(&nobody, &id, None).await;
        assert!(matches!(asked, Err(VaultError::Denied(_))));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
