//! The instance, the groups in use, credentials, tenants and named values.

use super::*;
use crate::model::{CredentialKind, Scopes};
use crate::ports::CredentialRow;

/// A new store has an id of its own and has counted nothing.
pub async fn a_new_store_says_who_it_is<F: Fixture>() {
    let (one, other) = (F::fresh().await, F::fresh().await);
    let instance = one.metadata().instance().await.unwrap();
    assert_ne!(instance.instance, other.metadata().instance().await.unwrap().instance);
    assert_eq!((instance.epoch, instance.commit_counter, instance.extra_group_serial), (0, 0, 0));
    let one = one.reopen().await;
    assert_eq!(one.metadata().instance().await.unwrap(), instance);
}

/// An older epoch changes nothing.
pub async fn the_epoch_never_goes_back<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    for (told, expected) in [(4, 4), (3, 4), (9, 9), (9, 9), (0, 9)] {
        write(store, vec![Write::SetEpoch(told)]).await;
        assert_eq!(store.instance().await.unwrap().epoch, expected);
    }
}

/// Interactions, their extra groups, contents, directory leaves and orders count; the range's end does not.
pub async fn the_groups_in_use_are_those_of_any_row<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut order = erasure(1, &[], &[2_407]);
    order.order_leaf = Some(Leaf(2_407));
    order.sealed_order = vec![1];
    let writes = vec![
        Write::InsertInteraction(interaction(10)),
        Write::InsertInteraction(InteractionRow { extra_groups: vec![Group(40)], ..interaction(20) }),
        Write::InsertContent(content(20, Group(40).leaf(6))),
        Write::PutDirectory(block(0, 808)),
        Write::InsertPurge(order),
    ];
    write(store, writes).await;
    let used = async |from, to| store.used_groups(from..to).await.unwrap().as_slice().to_vec();
    assert_eq!(used(0, 1_000).await, [10, 20, 40, 101, 300]);
    assert_eq!(used(10, 40).await, [10, 20]);
    assert_eq!(used(11, 41).await, [20, 40]);
    assert_eq!(used(101, 102).await, [101]);
    assert!(used(102, 300).await.is_empty());
    assert_eq!(used(300, u64::MAX).await, [300]);
    assert!(used(300, 300).await.is_empty());
    assert!(used(u64::MAX - 1, u64::MAX).await.is_empty());
}

/// Every field comes back; the first revocation counts.
pub async fn credentials_are_read_back_and_revoked_once<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    assert!(store.credentials().await.unwrap().is_empty());
    for (number, kind) in CredentialKind::ALL.into_iter().enumerate() {
        let row = CredentialRow {
            id: Uuid::from_u128(number as u128),
            tenant: TenantId(u32::MAX),
            kind,
            scopes: Scopes::all(),
            label: "import of the archive".into(),
            secret_hash: [9; 32],
            created_at: at(5),
            expires_at: (number > 0).then(|| at(500)),
            revoked_at: None,
        };
        write(store, vec![Write::InsertCredential(row.clone())]).await;
        let all = store.credentials().await.unwrap();
        let found = all.iter().find(|found| found.id == row.id).unwrap();
        assert_eq!((found.tenant, found.kind, found.scopes), (row.tenant, row.kind, row.scopes));
        assert_eq!((&found.label, found.secret_hash), (&row.label, row.secret_hash));
        assert_eq!((found.created_at, found.expires_at, found.revoked_at), (row.created_at, row.expires_at, None));
        refused(store, vec![Write::InsertCredential(row)]).await;
    }
    let revoked = Uuid::from_u128(2);
    write(store, vec![Write::RevokeCredential(revoked, at(60))]).await;
    write(store, vec![Write::RevokeCredential(revoked, at(70))]).await;
    refused(store, vec![Write::RevokeCredential(Uuid::from_u128(99), at(70))]).await;
    for row in store.credentials().await.unwrap() {
        assert_eq!(row.revoked_at, (row.id == revoked).then(|| at(60)));
    }
}

/// Number and name; neither twice.
pub async fn tenants_are_read_back<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    assert!(store.tenants().await.unwrap().is_empty());
    let tenants = vec![(TenantId(1), "main".to_owned()), (TenantId(7), "südwest".to_owned())];
    write(store, tenants.iter().cloned().map(|(tenant, name)| Write::InsertTenant(tenant, name)).collect()).await;
    let mut found = store.tenants().await.unwrap();
    found.sort_unstable();
    assert_eq!(found, tenants);
    refused(store, vec![Write::InsertTenant(TenantId(7), "other".into())]).await;
    refused(store, vec![Write::InsertTenant(TenantId(8), "main".into())]).await;
}

/// Set, replaced, removed; an empty value is a value.
pub async fn a_named_value_is_set_replaced_and_removed<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let put = async |value: Option<&[u8]>| {
        write(store, vec![Write::PutValue("import".into(), value.map(<[u8]>::to_vec))]).await;
        store.value("import").await.unwrap()
    };
    assert_eq!(store.value("import").await.unwrap(), None);
    assert_eq!(put(Some(&[1, 2])).await, Some(vec![1, 2]));
    assert_eq!(put(Some(&[])).await, Some(vec![]));
    assert_eq!(store.value("Import").await.unwrap(), None);
    assert_eq!(put(None).await, None);
    assert_eq!(put(None).await, None);
}
