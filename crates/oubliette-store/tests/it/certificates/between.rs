//! What happens between two transactions neither loses a certificate nor changes what it says.

use super::over_both;

over_both! {
    a_transaction_that_comes_to_nothing_takes_no_seal_with_it
    seals_are_noted_in_the_order_in_which_they_were_made
}

mod check {
    use std::time::Duration;

    use oubliette_core::service::VaultError;

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
            assert!(matches!(refused, Err(VaultError::Unavailable(_) | VaultError::Gone)));
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
}
