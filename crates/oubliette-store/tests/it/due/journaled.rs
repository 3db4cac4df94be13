//! Records of the journal: none goes before its erasure is sealed.

use super::over_both;

over_both! {
    a_record_that_is_being_written_outlives_the_seal_of_another_erasure
    who_waits_when_the_vault_stops_is_told_of_no_delete_that_the_journal_has_not
    who_begins_to_wait_when_the_vault_has_stopped_is_told_of_none_either
}

mod check {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, OnceLock};
    use std::time::Duration;

    use keyforest::{Forest, Probe};
    use oubliette_core::service::{Vault, VaultError, VaultSettings};

    use crate::certificates::support::{Base, Open, actor_of};
    use crate::due::{hasty, named};

    /// Notes which records the journal has after each seal, and can hold one that is being written.
    #[derive(Default)]
    struct AfterSeals {
        forest: OnceLock<Arc<Forest>>,
        looks: AtomicBool,
        seen: Mutex<Vec<Vec<u64>>>,
        holds: AtomicBool,
        held: AtomicBool,
    }

    impl AfterSeals {
        fn journal(&self) -> Vec<u64> {
            self.forest.get().unwrap().journal().unwrap().into_iter().map(|(position, _)| position).collect()
        }
    }

    impl Probe for AfterSeals {
        fn reached(&self, point: &'static str) {
            if point == "sealer.after_seal" && self.looks.load(Ordering::SeqCst) {
                self.seen.lock().unwrap().push(self.journal());
            }
            while point == "keyforest.journal.durable" && self.holds.load(Ordering::SeqCst) {
                self.held.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// A fresh vault, and what watches its seals and its journal.
    async fn watched(base: &Base, settings: VaultSettings) -> (Open, Arc<AfterSeals>) {
        let probe = Arc::new(AfterSeals::default());
        let parts = base.parts(Arc::clone(&probe) as Arc<dyn Probe>, settings).await;
        let _ = probe.forest.set(Arc::clone(&parts.forest));
        let metadata = Arc::clone(&parts.metadata);
        let vault = Vault::open(parts).await.unwrap();
        vault.wait_ready().await;
        let actor = actor_of(vault.create_tenant("first").await.unwrap());
        (Open { vault, metadata, actor }, probe)
    }

    pub async fn a_record_that_is_being_written_outlives_the_seal_of_another_erasure(base: Base) {
        let (open, probe) = watched(&base, hasty()).await;
        let (first, second) = (named(&open, "first").await.id.to_string(), named(&open, "second").await.id.to_string());

        // The first is being sealed, again and again; who ordered it goes away.
        base.full.store(true, Ordering::SeqCst);
        let short = Duration::from_millis(100);
        let gone = tokio::time::timeout(short, open.vault.erase_interaction(&open.actor, &first)).await;
        assert!(gone.is_err(), "nothing can be sealed");
        // The second waits behind it. Whoever waits for it stops while its record is written, and goes on later.
        probe.holds.store(true, Ordering::SeqCst);
        let mut second = Box::pin(open.vault.erase_interaction(&open.actor, &second));
        while !probe.held.load(Ordering::SeqCst) {
            let once = tokio::time::timeout(Duration::ZERO, &mut second).await;
            assert!(once.is_err(), "{once:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        probe.holds.store(false, Ordering::SeqCst);
        while probe.journal().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let told = open.vault.erase_interaction(&open.actor, &first).await;
        assert!(matches!(told, Err(VaultError::StillDue)), "{told:?}");
        assert_eq!(probe.journal(), [1, 2]);

        probe.looks.store(true, Ordering::SeqCst);
        base.full.store(false, Ordering::SeqCst);
        while probe.seen.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seen = probe.seen.lock().unwrap().clone();
        assert!(seen[0].contains(&1), "the second is not sealed, and its record is gone: {seen:?}");
        let told = second.await;
        assert!(matches!(told, Err(VaultError::StillDue)), "{told:?}");
        // Nothing is held back for ever.
        let third = named(&open, "third").await.id.to_string();
        open.vault.erase_interaction(&open.actor, &third).await.unwrap();
        assert!(probe.journal().is_empty(), "{:?}", probe.journal());
        open.close().await;
    }

    pub async fn who_waits_when_the_vault_stops_is_told_of_no_delete_that_the_journal_has_not(base: Base) {
        let (open, probe) = watched(&base, VaultSettings::default()).await;
        let (vault, actor) = (open.vault.clone(), open.actor.clone());
        let id = named(&open, "first").await.id.to_string();

        base.away.store(true, Ordering::SeqCst);
        let waits = tokio::spawn(async move { vault.erase_interaction(&actor, &id).await });
        while open.vault.status().await.unwrap().readiness.sealing {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(probe.journal().is_empty() && !waits.is_finished());
        open.vault.close().await;
        let told = waits.await.unwrap();
        assert!(matches!(told, Err(VaultError::StillDue)), "{told:?}");
        assert_eq!(probe.journal(), [1], "it is told as due and could be forgotten");
        open.metadata.close().await;
    }

    pub async fn who_begins_to_wait_when_the_vault_has_stopped_is_told_of_none_either(base: Base) {
        let (open, probe) = watched(&base, VaultSettings::default()).await;
        let id = named(&open, "first").await.id.to_string();

        base.away.store(true, Ordering::SeqCst);
        // Accepted, and who ordered it goes away.
        let short = Duration::from_millis(100);
        let gone = tokio::time::timeout(short, open.vault.erase_interaction(&open.actor, &id)).await;
        assert!(gone.is_err(), "nothing can be sealed");
        let due = open.metadata.unsealed_purges().await.unwrap()[0].id;
        open.vault.close().await;
        assert!(probe.journal().is_empty());
        for _ in 0..2 {
            let told = open.vault.wait_sealed(due, Duration::from_secs(5)).await;
            assert!(matches!(told, Err(VaultError::StillDue)), "{told:?}");
            assert_eq!(probe.journal(), [1], "it is told as due and could be forgotten");
        }
        open.metadata.close().await;
    }
}
