//! By ids of sessions and of other systems.

use super::over_both;

over_both! {
    after_a_start_at_which_nothing_can_be_sealed_a_delete_by_an_id_of_another_system_is_not_done
    over_an_older_copy_a_session_that_is_due_keeps_its_word
    what_is_called_like_nobody_knows_is_done_once_everything_due_is_sealed
}

mod check {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use keyforest::NoProbe;
    use oubliette_core::ports::{Transaction, Write};
    use oubliette_core::service::VaultError;

    use crate::certificates::support::{Base, Open};
    use crate::due::{hasty, named, order_of};

    async fn batch(open: &Open, name: &str) -> Result<usize, VaultError> {
        open.vault.erase_interactions(&open.actor, &[name.to_owned()]).await
    }

    async fn until_sealed(base: &Base, open: &Open) {
        base.away.store(false, Ordering::SeqCst);
        while open.vault.status().await.unwrap().unsealed > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn after_a_start_at_which_nothing_can_be_sealed_a_delete_by_an_id_of_another_system_is_not_done(
        base: Base,
    ) {
        let open = base.open_as(Arc::new(NoProbe), hasty()).await;
        let first = named(&open, "theirs-1").await;
        named(&open, "theirs-2").await;
        base.away.store(true, Ordering::SeqCst);
        assert!(matches!(batch(&open, "theirs-1").await, Err(VaultError::StillDue)));
        let single = open.vault.erase_interaction(&open.actor, "theirs-2").await;
        assert!(matches!(single, Err(VaultError::StillDue)), "{single:?}");
        open.close().await;

        let open = base.open_as(Arc::new(NoProbe), hasty()).await;
        assert_eq!(open.vault.status().await.unwrap().unsealed, 2);
        for _ in 0..2 {
            let told = batch(&open, "theirs-1").await;
            assert!(matches!(told, Err(VaultError::StillDue)), "a batch is told {told:?}");
            let told = open.vault.erase_interaction(&open.actor, "theirs-2").await;
            assert!(matches!(told, Err(VaultError::StillDue)), "a delete is told {told:?}");
        }
        let status = open.vault.session_being_erased(&open.actor, "theirs-1-session").await.unwrap();
        assert_eq!(status.map(|found| found.id), Some(first.id), "a session is called purged before its seal");
        assert_eq!(batch(&open, "nobody's").await.unwrap(), 0);

        until_sealed(&base, &open).await;
        assert_eq!(batch(&open, "theirs-1").await.unwrap(), 0);
        let single = open.vault.erase_interaction(&open.actor, "theirs-2").await;
        assert!(matches!(single, Err(VaultError::NotFound)), "{single:?}");
        assert!(open.vault.session_being_erased(&open.actor, "theirs-1-session").await.unwrap().is_none());
        let told = open.vault.interaction(&open.actor, &first.id.to_string()).await.err();
        assert!(matches!(told, Some(VaultError::Gone)));
        open.close().await;
    }

    pub async fn over_an_older_copy_a_session_that_is_due_keeps_its_word(base: Base) {
        let open = base.open_as(Arc::new(NoProbe), hasty()).await;
        let (sealed, due) = (named(&open, "sealed").await, named(&open, "due").await);
        base.faults.lose_what_comes();
        open.vault.erase_interaction(&open.actor, &sealed.id.to_string()).await.unwrap();
        base.away.store(true, Ordering::SeqCst);
        open.vault.order(&open.actor, order_of("due-session")).await.unwrap().0.unwrap();
        open.close().await;

        base.faults.lose_no_more();
        let open = base.attach().await;
        let status = async |session| open.vault.session_being_erased(&open.actor, session).await.unwrap();
        assert_eq!(status("due-session").await.map(|found| found.id), Some(due.id));
        assert!(status("sealed-session").await.is_none());
        assert!(status("nobody's").await.is_none());
        open.close().await;
    }

    /// A row of which nobody can say what it is called, because it is damaged.
    pub async fn what_is_called_like_nobody_knows_is_done_once_everything_due_is_sealed(base: Base) {
        let open = base.open_as(Arc::new(NoProbe), hasty()).await;
        let damaged = named(&open, "damaged").await;
        base.away.store(true, Ordering::SeqCst);
        assert!(matches!(batch(&open, "damaged").await, Err(VaultError::StillDue)));
        let mut row = open.metadata.interaction(damaged.group).await.unwrap().unwrap();
        *row.sealed_meta.last_mut().unwrap() ^= 1;
        let writes = vec![Write::UpdateInteraction(row)];
        open.metadata.apply(Transaction { name: "spoil", checks: Vec::new(), writes }).await.unwrap();
        open.close().await;

        let open = base.open_as(Arc::new(NoProbe), hasty()).await;
        for name in ["damaged", "perhaps"] {
            assert!(matches!(batch(&open, name).await, Err(VaultError::StillDue)), "{name}");
            let told = open.vault.erase_interaction(&open.actor, name).await;
            assert!(matches!(told, Err(VaultError::StillDue)), "{told:?}");
        }
        let told = open.vault.session_being_erased(&open.actor, "damaged-session").await.err();
        assert!(matches!(told, Some(VaultError::Unavailable(_))), "{told:?}");
        until_sealed(&base, &open).await;
        assert_eq!(batch(&open, "damaged").await.unwrap(), 0);
        assert!(open.vault.session_being_erased(&open.actor, "damaged-session").await.unwrap().is_none());
        open.close().await;
    }
}
