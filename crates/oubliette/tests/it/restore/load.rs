//! Everything that clients do to a vault, in a random order, and what must be true of it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use oubliette::control::local_actor;
use oubliette_core::model::{
    Actor, ContentKey, ContentKind, CredentialKind, InteractionKind, InteractionMeta, Participant, Scopes, Selector,
    State, TenantId,
};
use oubliette_core::service::{ListQuery, NewContent, NewCredential, NewInteraction, Order, Vault, body_of};
use uuid::Uuid;

/// Kinds that contents are drawn from.
const KINDS: [ContentKind; 5] = [
    ContentKind::CallRecording,
    ContentKind::Transcript,
    ContentKind::Attachment,
    ContentKind::AnalysisResult,
    ContentKind::Voicemail,
];

/// A live interaction as its client knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    pub session: String,
    pub phone: String,
    pub email: String,
    pub external: String,
    /// By name.
    pub contents: BTreeMap<String, Vec<u8>>,
}

/// What clients know at one moment.
#[derive(Clone, Default)]
pub struct Knowledge {
    pub live: BTreeMap<String, Item>,
    /// Ids of interactions whose erasure was answered as done.
    pub erased: BTreeSet<String>,
    /// Bytes of contents that were erased or replaced, of live interactions too.
    pub erased_bytes: BTreeSet<Vec<u8>>,
    /// Tokens that work, by credential.
    pub tokens: BTreeMap<Uuid, String>,
    /// Tokens that were revoked.
    pub revoked: BTreeMap<Uuid, String>,
}

/// A client that does everything.
pub struct Load {
    pub known: Knowledge,
    pub tenant: TenantId,
    pub actor: Actor,
    state: u64,
    serial: u32,
}

impl Load {
    pub async fn begin(vault: &Vault, seed: u64) -> Self {
        vault.wait_ready().await;
        let tenant = vault.create_tenant("first").await.unwrap();
        Self { known: Knowledge::default(), tenant, actor: local_actor(tenant), state: seed, serial: 0 }
    }

    /// A number below `end`. The same ones in every run.
    fn roll(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % end
    }

    fn pick(&mut self) -> Option<String> {
        let count = self.known.live.len() as u64;
        let place = if count == 0 { return None } else { self.roll(count) };
        self.known.live.keys().nth(place as usize).cloned()
    }

    /// Does one thing; returns once it is answered.
    pub async fn step(&mut self, vault: &Vault) {
        match self.roll(100) {
            0..40 => self.capture(vault).await,
            40..52 => self.add(vault).await,
            52..64 => self.replace(vault).await,
            64..72 => self.erase_content(vault).await,
            72..82 => self.erase(vault).await,
            82..87 => self.purge_by_phone(vault).await,
            87..92 => self.amend(vault).await,
            92..96 => self.make_token(vault).await,
            _ => self.revoke(vault).await,
        }
    }

    fn bytes(&mut self, what: &str) -> Vec<u8> {
        self.serial += 1;
        // Most lie in segments, some in files of their own.
        let times = if self.roll(12) == 0 { 14_000 } else { 1 + self.roll(40) };
        format!("{what}-{:06}-content ", self.serial).repeat(times as usize).into_bytes()
    }

    /// A call with one to four contents.
    pub async fn capture(&mut self, vault: &Vault) {
        self.serial += 1;
        let word = format!("zq{:05}vx", self.serial);
        let mut item = Item {
            session: format!("{word}-session"),
            phone: format!("+1512555{:04}", self.roll(25)),
            email: format!("{word}@example.org"),
            external: format!("{word}-external"),
            contents: BTreeMap::new(),
        };
        let mut draft = vault.draft(&self.actor).await.unwrap();
        for kind in KINDS.into_iter().take(1 + self.roll(4) as usize) {
            let bytes = self.bytes(&word);
            draft.add(NewContent::fixed(kind, "application/octet-stream"), body_of(bytes.clone())).await.unwrap();
            item.contents.insert(kind.name().to_owned(), bytes);
        }
        let mut meta = InteractionMeta::starting(vault.now());
        describe(&mut meta, &item);
        let new = NewInteraction { kind: InteractionKind::Call, state: State::Processed, meta, unique_session: true };
        let made = draft.commit(new).await.unwrap();
        self.known.live.insert(made.id.to_string(), item);
    }

    /// Another content, in time so many that an interaction needs further groups.
    async fn add(&mut self, vault: &Vault) {
        let Some(id) = self.pick() else { return };
        for _ in 0..=self.roll(5) {
            let bytes = self.bytes("added");
            let key = format!("extra-{}", self.serial);
            self.put(vault, &id, &key, ContentKind::Attachment, bytes).await;
        }
    }

    async fn replace(&mut self, vault: &Vault) {
        let Some(id) = self.pick() else { return };
        let Some(key) = self.known.live[&id].contents.keys().next().cloned() else { return };
        let bytes = self.bytes("replaced");
        let kind = ContentKind::parse(&key).unwrap_or(ContentKind::Attachment);
        self.put(vault, &id, &key, kind, bytes).await;
    }

    async fn put(&mut self, vault: &Vault, id: &str, key: &str, kind: ContentKind, bytes: Vec<u8>) {
        let mut new = NewContent::unique(kind, "application/octet-stream");
        new.key = Some(ContentKey::new(key).unwrap());
        vault.put_content(&self.actor, id, new, body_of(bytes.clone())).await.unwrap();
        let former = self.known.live.get_mut(id).unwrap().contents.insert(key.to_owned(), bytes);
        self.known.erased_bytes.extend(former);
    }

    async fn erase_content(&mut self, vault: &Vault) {
        let Some(id) = self.pick() else { return };
        let interaction = vault.interaction(&self.actor, &id).await.unwrap();
        let contents = vault.contents(&self.actor, &interaction).await.unwrap();
        let Some(content) = contents.first() else { return };
        vault.erase_content(&self.actor, &id, content.leaf).await.unwrap();
        let former = self.known.live.get_mut(&id).unwrap().contents.remove(content.meta.key.as_str());
        self.known.erased_bytes.extend(former);
    }

    async fn erase(&mut self, vault: &Vault) {
        let Some(id) = self.pick() else { return };
        vault.erase_interaction(&self.actor, &id).await.unwrap();
        self.forget(&id);
    }

    /// Erases an interaction that is known to be live.
    pub async fn erase_known(&mut self, vault: &Vault, id: &str) {
        vault.erase_interaction(&self.actor, id).await.unwrap();
        self.forget(id);
    }

    /// One erasure by phone at least.
    pub async fn purge(&mut self, vault: &Vault) {
        self.purge_by_phone(vault).await;
    }

    /// A client of a restored vault: it knows what is there, and what was erased.
    pub async fn restored(&self, vault: &Vault, held: &Knowledge, newest: &Knowledge) -> Self {
        let mut known = newest.clone();
        known.live.clear();
        known.tokens.retain(|id, _| held.tokens.contains_key(id));
        let mut query = ListQuery { from: Timestamp::MIN, to: Timestamp::MAX, after: None, limit: 1_000 };
        loop {
            let (page, contents) = vault.list(&self.actor, &query, &|_, _| true).await.unwrap();
            for (interaction, contents) in page.items.iter().zip(contents) {
                let meta = &interaction.meta;
                let mut item = Item {
                    session: meta.session_id.clone().unwrap(),
                    phone: meta.participants[0].phone.clone().unwrap(),
                    email: meta.participants[0].email.clone().unwrap(),
                    external: meta.external_ids[0].clone(),
                    contents: BTreeMap::new(),
                };
                for content in contents {
                    let bytes = vault.read_all(&self.actor, &content, 1 << 24).await.unwrap();
                    item.contents.insert(content.meta.key.as_str().to_owned(), bytes);
                }
                known.live.insert(interaction.id.to_string(), item);
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        let serial = self.serial + 100_000;
        Self { known, tenant: self.tenant, actor: self.actor.clone(), state: self.state, serial }
    }

    /// Whatever one customer said.
    async fn purge_by_phone(&mut self, vault: &Vault) {
        let Some(id) = self.pick() else { return };
        let phone = self.known.live[&id].phone.clone();
        let spelled = format!("({}) {}-{}", &phone[2..5], &phone[5..8], &phone[8..]);
        let selector = Selector { phones: vec![spelled], ..Selector::default() };
        let order = Order {
            selector,
            reference: Some("ticket".to_owned()),
            reason: Some("asked".to_owned()),
            plan_hash: None,
            legal_basis: None,
        };
        let (purge, plan) = vault.order(&self.actor, order).await.unwrap();
        vault.wait_sealed(purge.unwrap(), Duration::from_secs(30)).await.unwrap();
        let theirs: Vec<String> =
            self.known.live.iter().filter(|(_, item)| item.phone == phone).map(|(id, _)| id.clone()).collect();
        assert_eq!(plan.items.len(), theirs.len());
        theirs.iter().for_each(|id| self.forget(id));
    }

    fn forget(&mut self, id: &str) {
        let item = self.known.live.remove(id).unwrap();
        self.known.erased_bytes.extend(item.contents.into_values());
        self.known.erased.insert(id.to_owned());
    }

    /// Other look-up keys.
    async fn amend(&mut self, vault: &Vault) {
        let Some(id) = self.pick() else { return };
        self.serial += 1;
        let mut item = self.known.live[&id].clone();
        item.external = format!("zq{:05}vx-later", self.serial);
        item.phone = format!("+1512555{:04}", self.roll(25));
        vault.amend(&self.actor, &id, None, &|meta| describe(meta, &item)).await.unwrap();
        self.known.live.insert(id, item);
    }

    async fn make_token(&mut self, vault: &Vault) {
        let new = NewCredential {
            tenant: self.tenant,
            kind: CredentialKind::Native,
            scopes: Scopes::all(),
            label: "test".to_owned(),
            expires_at: None,
        };
        let (credential, secret) = vault.create_credential(new).await.unwrap();
        self.known.tokens.insert(credential.id, secret.expose().to_owned());
    }

    async fn revoke(&mut self, vault: &Vault) {
        let Some((id, token)) = self.known.tokens.pop_first() else { return };
        vault.revoke_credential(self.tenant, id).await.unwrap();
        self.known.revoked.insert(id, token);
    }
}

fn describe(meta: &mut InteractionMeta, item: &Item) {
    meta.session_id = Some(item.session.clone());
    meta.external_ids = vec![item.external.clone()];
    meta.participants = vec![Participant {
        role: "customer".to_owned(),
        phone: Some(item.phone.clone()),
        email: Some(item.email.clone()),
        ..Participant::default()
    }];
}
