//! What must hold of a vault over an older copy, attached and committed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oubliette_core::model::{Actor, CredentialKind, Selector};
use oubliette_core::service::{AuthError, ListQuery, Lookup, NewContent, Order, Vault, VaultError, body_of};

use super::load::{Item, Knowledge, Load};

/// What a copy is known to hold: what was there before it was begun and unchanged when it was finished.
pub fn surely_held(before: &Knowledge, after: &Knowledge) -> Knowledge {
    let mut held = before.clone();
    held.live.retain(|id, item| after.live.get(id) == Some(item));
    held.tokens.retain(|id, _| after.tokens.contains_key(id));
    held
}

/// Everything that the copy held and that is live is read, listed and found; everything erased is gone.
pub async fn holds(vault: &Vault, actor: &Actor, held: &Knowledge, newest: &Knowledge) {
    vault.wait_ready().await;
    for id in &newest.erased {
        let told = vault.interaction(actor, id).await.err();
        assert!(matches!(told, Some(VaultError::Gone)), "an erased interaction answers {told:?}");
    }
    for (id, item) in &held.live {
        if let Some(now) = newest.live.get(id) {
            is_served(vault, actor, id, item, now, newest).await;
        }
    }
    for (id, token) in &newest.revoked {
        let told = vault.authenticate_token(CredentialKind::Native, token).err();
        assert_eq!(told, Some(AuthError::Unauthenticated), "{id} was revoked");
    }
    for (id, token) in held.tokens.iter().filter(|(id, _)| newest.tokens.contains_key(id)) {
        assert_eq!(vault.authenticate_token(CredentialKind::Native, token).unwrap().credential, *id);
    }
    let listed = list(vault, actor).await;
    assert!(newest.erased.iter().all(|id| !listed.contains(id)), "an erased interaction is listed");
    let live = held.live.keys().filter(|id| newest.live.contains_key(*id));
    assert!(live.clone().all(|id| listed.contains(id)), "a live interaction is not listed");
}

async fn is_served(vault: &Vault, actor: &Actor, id: &str, held: &Item, now: &Item, newest: &Knowledge) {
    let interaction = vault.interaction(actor, id).await.unwrap();
    assert_eq!(interaction.meta.session_id.as_deref(), Some(held.session.as_str()));
    let mut served = std::collections::BTreeMap::new();
    for content in vault.contents(actor, &interaction).await.unwrap() {
        let bytes = vault.read_all(actor, &content, 1 << 24).await.unwrap();
        assert!(!newest.erased_bytes.contains(&bytes), "an erased content is served");
        served.insert(content.meta.key.as_str().to_owned(), bytes);
    }
    for (key, bytes) in &held.contents {
        if now.contents.get(key) == Some(bytes) {
            assert!(served.get(key) == Some(bytes), "{key} of {id} is not served as it was");
        }
    }
    for key in [
        Lookup::Session(held.session.clone()),
        Lookup::External(held.external.clone()),
        Lookup::Phone(held.phone.clone()),
        Lookup::Email(held.email.clone()),
    ] {
        let found = vault.lookup(actor, &key).await.unwrap();
        assert!(found.iter().any(|found| found.id.to_string() == id), "{id} is not found by every key");
        let gone = found.iter().find(|found| newest.erased.contains(&found.id.to_string()));
        assert!(gone.is_none(), "an erased interaction is found");
    }
}

async fn list(vault: &Vault, actor: &Actor) -> BTreeSet<String> {
    let mut listed = BTreeSet::new();
    let mut query = ListQuery { from: Timestamp::MIN, to: Timestamp::MAX, after: None, limit: 1_000 };
    loop {
        let (page, _) = vault.list(actor, &query, &|_, _| true).await.unwrap();
        listed.extend(page.items.iter().map(|item| item.id.to_string()));
        query.after = page.next;
        if query.after.is_none() {
            return listed;
        }
    }
}

/// Nothing can be changed.
pub async fn is_read_only(vault: &Vault, actor: &Actor, held: &Knowledge) {
    let refused = |told: Option<VaultError>| assert!(matches!(told, Some(VaultError::Attached)), "{told:?}");
    refused(vault.draft(actor).await.err());
    refused(vault.create_tenant("another").await.err());
    let id = held.live.keys().next().cloned().unwrap_or_else(|| "unknown".to_owned());
    refused(vault.erase_interaction(actor, &id).await.err());
    refused(vault.erase_interactions(actor, std::slice::from_ref(&id)).await.err());
    refused(vault.amend(actor, &id, None, &|_| ()).await.err());
    let content = NewContent::unique(oubliette_core::model::ContentKind::Attachment, "text/plain");
    refused(vault.put_content(actor, &id, content, body_of("late")).await.err());
    let selector = Selector { ids: vec![id], ..Selector::default() };
    let order = Order { selector, reference: None, reason: None, plan_hash: None, legal_basis: None };
    refused(vault.order(actor, order).await.err());
    assert!(vault.readiness().attached && vault.readiness().lookups);
}

/// Goes on with the restored vault as a client: whatever it takes in has leaves that were never issued before.
pub async fn goes_on(vault: &Vault, load: &mut Load, high_water: u64) -> String {
    let known: BTreeSet<String> = load.known.live.keys().cloned().collect();
    load.capture(vault).await;
    let made = load.known.live.keys().find(|id| !known.contains(*id)).cloned().unwrap();
    let interaction = vault.interaction(&load.actor, &made).await.unwrap();
    assert!(interaction.group.leaf(0).0 >= high_water, "a leaf is issued again");
    if let Some(old) = known.first() {
        let bytes = format!("{old}-overdue-content ").repeat(9).into_bytes();
        let new = NewContent::unique(oubliette_core::model::ContentKind::Attachment, "text/plain");
        let content = vault.put_content(&load.actor, old, new, body_of(bytes.clone())).await.unwrap();
        assert!(content.leaf.0 >= high_water, "a restored interaction takes a leaf of its old groups");
        load.known.live.get_mut(old).unwrap().contents.insert(content.meta.key.as_str().to_owned(), bytes);
    }
    for _ in 0..6 {
        load.step(vault).await;
    }
    made
}
