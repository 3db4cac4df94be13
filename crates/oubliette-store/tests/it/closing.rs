//! What a stop does, and how long it takes. Every test runs over SQLite and over PostgreSQL.

use crate::certificates::over_both;

over_both! {
    a_start_and_a_stop_with_nothing_between_them_make_one_seal
    a_stop_ends_while_the_database_hangs
    a_stop_ends_while_a_seal_hangs_and_the_next_start_makes_it
    a_stop_waits_for_an_upload_that_was_sent_whole_and_whose_client_went_away
    a_stop_ends_while_such_an_upload_hangs_and_says_that_it_is_not_through
}

mod check {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use keyforest::{Forest, Group, NoProbe, Probe};
    use oubliette_core::model::{ContentKind, CredentialKind, Scopes, TenantId};
    use oubliette_core::service::*;

    use crate::certificates::support::{Base, Open, actor_of};

    /// Opens, does something, and closes; how many seals were made.
    async fn seals_of(base: &Base, between: impl AsyncFnOnce(&Open)) -> u64 {
        let parts = base.parts(Arc::new(NoProbe), VaultSettings::default()).await;
        let (metadata, forest): (_, Arc<Forest>) = (Arc::clone(&parts.metadata), Arc::clone(&parts.forest));
        let before = forest.epoch();
        let vault = Vault::open(parts).await.unwrap();
        vault.wait_ready().await;
        let open = Open { vault, metadata, actor: actor_of(TenantId(1)) };
        between(&open).await;
        open.close().await;
        forest.epoch() - before
    }

    pub async fn a_start_and_a_stop_with_nothing_between_them_make_one_seal(base: Base) {
        let open = base.open().await;
        open.call("s", "+15125550001").await;
        open.close().await;
        for _ in 0..2 {
            assert_eq!(seals_of(&base, async |_| {}).await, 1);
        }
        // What was noted, and told to the log, before the stop.
        let idle = async |_: &Open| tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(seals_of(&base, idle).await, 1);
        // What somebody did is pinned.
        assert_eq!(seals_of(&base, async |open| drop(open.call("t", "+15125550002").await)).await, 2);
        let credential = async |open: &Open| {
            let (kind, scopes) = (CredentialKind::Native, Scopes::all());
            let new = NewCredential { tenant: TenantId(1), kind, scopes, label: "one".to_owned(), expires_at: None };
            open.vault.create_credential(new).await.unwrap();
        };
        assert_eq!(seals_of(&base, credential).await, 2);
        assert_eq!(seals_of(&base, async |_| {}).await, 1);
    }

    /// A vault that does not wait long for anything, and how long its stop may take.
    fn impatient() -> (VaultSettings, Duration) {
        let short = Duration::from_millis(300);
        let settings = VaultSettings { stop_patience: short, seal_timeout: short, ..VaultSettings::default() };
        // It has five steps, of which one may take three times as long.
        (settings, short * 8)
    }

    pub async fn a_stop_ends_while_the_database_hangs(base: Base) {
        let (settings, limit) = impatient();
        let open = base.open_as(Arc::new(NoProbe), settings).await;
        let id = open.call("s", "+15125550001").await.id.to_string();
        base.faults.hold("purge.sealed");
        open.vault.erase_interaction(&open.actor, &id).await.unwrap();
        let closed = tokio::time::timeout(limit, open.vault.close()).await.expect("the stop waits for the database");
        assert_eq!(closed, Closed::Whole, "no seal is under way");
        base.faults.release();
        open.close().await;

        let open = base.open().await;
        assert!(matches!(open.vault.interaction(&open.actor, &id).await.err(), Some(VaultError::Gone)));
        assert_eq!(open.vault.status().await.unwrap().unsealed, 0);
        open.close().await;
    }

    /// An upload that was sent whole, by a client that has gone away; its transaction is held.
    async fn left_alone(base: &Base, open: &Open) -> Group {
        let call = open.call("s", "+15125550001").await;
        let id = call.id.to_string();
        base.faults.hold("content.store");
        let new = NewContent::unique(ContentKind::Attachment, "text/plain");
        tokio::select! {
            _ = open.vault.put_content(&open.actor, &id, new, body_of(b"said later".to_vec())) => panic!("it is held"),
            () = base.faults.is_waited_for() => {}
        }
        call.group
    }

    pub async fn a_stop_waits_for_an_upload_that_was_sent_whole_and_whose_client_went_away(base: Base) {
        let open = base.open().await;
        let group = left_alone(&base, &open).await;
        let before = open.metadata.contents(&[group]).await.unwrap().len();
        let (closed, ()) = tokio::join!(open.vault.close(), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            base.faults.release();
        });
        assert_eq!(closed, Closed::Whole);
        assert_eq!(open.metadata.contents(&[group]).await.unwrap().len(), before + 1);
        open.close().await;
    }

    pub async fn a_stop_ends_while_such_an_upload_hangs_and_says_that_it_is_not_through(base: Base) {
        let (settings, limit) = impatient();
        let open = base.open_as(Arc::new(NoProbe), settings).await;
        left_alone(&base, &open).await;
        let closed = tokio::time::timeout(limit, open.vault.close()).await.expect("the stop waits for the upload");
        assert_eq!(closed, Closed::Unfinished);
        base.faults.release();
        open.close().await;
    }

    /// A store that seals need, which answers nothing for a while.
    #[derive(Default)]
    struct Hangs {
        hangs: Mutex<bool>,
        reached: AtomicBool,
        goes_on: Condvar,
    }

    impl Hangs {
        fn set(&self, hangs: bool) {
            *self.hangs.lock().unwrap() = hangs;
            self.goes_on.notify_all();
        }
    }

    impl Probe for Hangs {
        fn reached(&self, point: &'static str) {
            if point == "sealer.before_seal" {
                let hangs = self.hangs.lock().unwrap();
                self.reached.store(*hangs, Ordering::SeqCst);
                drop(self.goes_on.wait_while(hangs, |hangs| *hangs).unwrap());
            }
        }
    }

    pub async fn a_stop_ends_while_a_seal_hangs_and_the_next_start_makes_it(base: Base) {
        let (settings, limit) = impatient();
        let probe = Arc::new(Hangs::default());
        let open = base.open_as(Arc::clone(&probe) as Arc<dyn Probe>, settings).await;
        let id = open.call("s", "+15125550001").await.id.to_string();
        probe.set(true);
        let told = open.vault.erase_interaction(&open.actor, &id).await;
        assert!(matches!(told, Err(VaultError::StillDue)), "{told:?}");
        assert!(probe.reached.load(Ordering::SeqCst));
        let closed = tokio::time::timeout(limit, open.vault.close()).await.expect("the stop waits for the seal");
        assert_eq!(closed, Closed::Unfinished);
        // The process ends, and so does what hung.
        let due = open.metadata.unsealed_purges().await.unwrap();
        assert_eq!(due.len(), 1);
        probe.set(false);
        drop(open.vault);
        open.metadata.close().await;

        let open = base.open().await;
        assert_eq!(open.vault.status().await.unwrap().unsealed, 0);
        assert!(matches!(open.vault.interaction(&open.actor, &id).await.err(), Some(VaultError::Gone)));
        open.close().await;
    }
}
