//! What happens between two transactions neither loses a certificate nor changes what it says.

use super::over_both;

over_both! {
    a_transaction_that_comes_to_nothing_takes_no_seal_with_it
    seals_are_noted_in_the_order_in_which_they_were_made
    a_content_that_is_swept_while_its_interaction_is_certified_is_not_counted_again
    a_content_that_went_by_itself_keeps_its_certificate_while_its_interaction_is_being_erased
}

mod check {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use keyforest::{NoProbe, Probe};
    use oubliette_core::model::ContentKind;
    use oubliette_core::ports::Write;
    use oubliette_core::service::VaultError;
    use uuid::Uuid;

    use crate::certificates::arranged::Refused;
    use crate::certificates::support::Base;

    pub async fn a_transaction_that_comes_to_nothing_takes_no_seal_with_it(base: Base) {
        let open = base.open().await;
        for why in [Refused::Unavailable, Refused::Conflict] {
            let [one, other] = [open.call("one", "+15125550001").await, open.call("two", "+15125550002").await];
            let (one, other) = (one.id.to_string(), other.id.to_string());
            // Nothing but the transaction of the next erasure is to take the seal along.
            (0..4).for_each(|_| base.faults.refuse("purge.sealed", Refused::Unavailable));
            open.vault.erase_interaction(&open.actor, &one).await.unwrap();
            base.faults.refuse("batch", why);
            let refused = open.vault.erase_interaction(&open.actor, &other).await;
            assert!(matches!(refused, Err(VaultError::Unavailable(_))), "{refused:?}");
            open.check(&open.certificate_of(&one).await);
            assert_eq!(base.faults.left(), 0);
            open.vault.erase_interaction(&open.actor, &other).await.unwrap();
            open.check(&open.certificate_of(&other).await);
        }
    }

    pub async fn seals_are_noted_in_the_order_in_which_they_were_made(base: Base) {
        let open = base.open().await;
        let [one, other] = [open.call("one", "+15125550001").await, open.call("two", "+15125550002").await];
        let (one, other) = (one.id.to_string(), other.id.to_string());
        base.faults.hold("purge.sealed");
        open.vault.erase_interaction(&open.actor, &one).await.unwrap();
        base.faults.is_waited_for().await;
        open.vault.erase_interaction(&open.actor, &other).await.unwrap();
        // A transaction that could take the second seal along, and time for the log to be told of it.
        open.call("three", "+15125550003").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        base.faults.release();
        for id in [one, other] {
            open.check(&open.certificate_of(&id).await);
        }
    }

    pub async fn a_content_that_is_swept_while_its_interaction_is_certified_is_not_counted_again(base: Base) {
        let open = base.open_with(Arc::new(NoProbe), false).await;
        let call = open.call("one", "+15125550001").await;
        let id = call.id.to_string();
        let transcript = open.content(&call, ContentKind::Transcript).await;
        let content = open.vault.content_id(open.actor.tenant, &transcript).unwrap().to_string();
        open.vault.erase_content(&open.actor, &id, transcript.leaf).await.unwrap();
        let ask = async || open.vault.item_certificate(&open.actor, &id, Some(&content)).await;
        let order = Uuid::from_bytes(open.once_certified(ask).await.erased.order.0);
        // The certifier has read the contents of the interaction, and asks which of them went by themselves.
        let swept = vec![Write::DeleteContents(vec![transcript.leaf]), Write::RemovedPurge(order, open.vault.now())];
        base.faults.before_places(swept);
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        for _ in 0..600 {
            if base.faults.was_asked() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(base.faults.was_asked());
        let whole = open.certificate_of(&id).await;
        let kinds: Vec<_> = whole.erased.contents.iter().map(|content| content.kind.as_str()).collect();
        assert_eq!(kinds, ["callRecording"]);
        assert_eq!(open.check(&whole).existed.len(), 2);
    }

    /// Stops an erasure that is hidden and not sealed.
    #[derive(Default)]
    struct Stop {
        armed: AtomicBool,
        there: AtomicBool,
    }

    impl Probe for Stop {
        fn reached(&self, point: &'static str) {
            while point == "commit.hidden" && self.armed.load(Ordering::SeqCst) {
                self.there.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    pub async fn a_content_that_went_by_itself_keeps_its_certificate_while_its_interaction_is_being_erased(base: Base) {
        let stop = Arc::new(Stop::default());
        let open = Arc::new(base.open_with(Arc::clone(&stop) as Arc<dyn Probe>, true).await);
        let call = open.call("one", "+15125550001").await;
        let id = call.id.to_string();
        let transcript = open.content(&call, ContentKind::Transcript).await;
        let content = open.vault.content_id(open.actor.tenant, &transcript).unwrap();
        open.vault.erase_content(&open.actor, &id, transcript.leaf).await.unwrap();
        let ask = async || open.vault.item_certificate(&open.actor, &id, Some(&content.to_string())).await;
        let order = open.once_certified(ask).await.erased.order;

        stop.armed.store(true, Ordering::SeqCst);
        let erasing = {
            let (open, id) = (Arc::clone(&open), id.clone());
            tokio::spawn(async move { open.vault.erase_interaction(&open.actor, &id).await })
        };
        while !stop.there.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let meanwhile = ask().await;
        let by = open.vault.erasure_of(&open.actor, &id, Some(content)).await;
        stop.armed.store(false, Ordering::SeqCst);
        erasing.await.unwrap().unwrap();
        assert_eq!(meanwhile.unwrap().erased.order, order);
        assert_eq!(by.unwrap().unwrap().id.into_bytes(), order.0);
    }
}
