//! Taking interactions and contents in.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures::{StreamExt, stream};
use keyforest::{Group, Leaf};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::hidden::ActiveKey;
use super::ops::{Erase, Insert, Op, Rekey};
use super::vault::{Inner, Vault, lanes};
use super::{BodyStream, Content, IngestMode, Interaction, NewContent, NewInteraction, PublicId, VaultError};
use crate::audio::{AudioProbe, AudioProperties};
use crate::crypto::{BlobContext, KeyCell, SealError, record, seal_stream};
use crate::directory::{Entry, keys_of};
use crate::model::{Actor, ContentKey, ContentMeta, InteractionMeta, Scope, State, TenantId};
use crate::ports::{BlobHint, Check, ContentRow, InteractionRow, PurgeKind, Write};
use crate::proof::{Arrival, write_note};

/// Retries of a read-change-write before it is given up as a conflict.
pub(super) const AMEND_TRIES: usize = 16;
/// Contents of one interaction.
const MAX_CONTENTS: usize = 1_000;

/// An interaction being captured whose contents arrive before its metadata is known.
pub struct Draft {
    inner: Arc<Inner>,
    actor: Actor,
    group: Group,
    id: PublicId,
    contents: Vec<ContentRow>,
    metas: Vec<ContentMeta>,
    audio: Option<AudioProperties>,
}

impl Vault {
    /// Makes an interaction without contents.
    pub async fn create(&self, actor: &Actor, new: NewInteraction) -> Result<Interaction, VaultError> {
        self.draft(actor).await?.commit(new).await
    }

    /// Begins a capture whose contents come first.
    pub async fn draft(&self, actor: &Actor) -> Result<Draft, VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionWrite])?;
        let group = inner.allocate_group(actor.tenant).await?;
        Ok(Draft {
            inner: Arc::clone(inner),
            actor: actor.clone(),
            group,
            id: inner.public_id(actor.tenant, group)?,
            contents: Vec::new(),
            metas: Vec::new(),
            audio: None,
        })
    }

    /// Stores a content on a live interaction; with the same key an earlier one is replaced and erased.
    pub async fn put_content(
        &self,
        actor: &Actor,
        id: &str,
        new: NewContent,
        body: BodyStream,
    ) -> Result<Content, VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionWrite])?;
        let row = inner.find_row(actor, id).await?;
        inner.store_content(actor, row.group, new, body, None).await
    }

    /// Changes metadata, and the state when given: read, change, write, again on a conflict. Look-up keys follow.
    /// Scope: InteractionWrite or MetadataWrite.
    pub async fn amend(
        &self,
        actor: &Actor,
        id: &str,
        state: Option<State>,
        change: &(dyn Fn(&mut InteractionMeta) + Send + Sync),
    ) -> Result<Interaction, VaultError> {
        self.amend_version(actor, id, None, state, change).await
    }

    /// [`Vault::amend`] that is refused as a conflict unless the interaction still has this version.
    pub async fn amend_version(
        &self,
        actor: &Actor,
        id: &str,
        version: Option<u64>,
        state: Option<State>,
        change: &(dyn Fn(&mut InteractionMeta) + Send + Sync),
    ) -> Result<Interaction, VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionWrite, Scope::MetadataWrite])?;
        for _ in 0..AMEND_TRIES {
            let row = inner.find_row(actor, id).await?;
            if version.is_some_and(|version| version != row.version) {
                return Err(VaultError::Conflict("the interaction has changed"));
            }
            if let Some(interaction) = inner.try_amend(row, state, change).await? {
                return Ok(interaction);
            }
        }
        Err(VaultError::Conflict("the interaction is being changed by others"))
    }
}

impl Draft {
    /// The id the interaction will have.
    pub fn id(&self) -> PublicId {
        self.id
    }

    /// Stores a content's bytes; nothing can be seen before [`Draft::commit`]. Dropping the draft discards them.
    pub async fn add(&mut self, new: NewContent, body: BodyStream) -> Result<(), VaultError> {
        let index = self.contents.len() as u64 + 1;
        if index >= Group::SIZE {
            return Err(VaultError::Invalid("a capture brings at most seven contents"));
        }
        let key = new.key.clone();
        if key.is_some_and(|key| self.metas.iter().any(|meta| meta.key == key)) {
            return Err(VaultError::Invalid("two contents of a capture have the same key"));
        }
        let leaf = self.group.leaf(index);
        let active = self.inner.use_key(leaf)?;
        let stored = self.inner.seal_body(self.actor.tenant, self.group, leaf, &active, new, body).await?;
        if let Some(audio) = stored.audio {
            self.audio.get_or_insert(audio);
        }
        self.contents.push(stored.row);
        self.metas.push(stored.meta);
        Ok(())
    }

    /// Play time in milliseconds and channels of the contents added so far, where their headers told.
    pub fn audio(&self) -> Option<(u64, u8)> {
        self.audio.map(|audio| (audio.duration_ms, audio.channels))
    }

    /// Makes the interaction with its contents, durably, at once.
    pub async fn commit(self, new: NewInteraction) -> Result<Interaction, VaultError> {
        let inner = &self.inner;
        let mut meta = new.meta;
        check_meta(&meta)?;
        let now = inner.clock.now();
        meta.times.declared_at.get_or_insert(now);
        meta.times.updated_at = Some(now);
        if !self.contents.is_empty() {
            meta.times.uploaded_at.get_or_insert(now);
        }
        if new.state == State::Processed {
            meta.times.processed_at.get_or_insert(now);
        }
        if let Some(audio) = self.audio {
            meta.duration_ms.get_or_insert(audio.duration_ms);
        }
        let unique_session = match (&meta.session_id, new.unique_session) {
            (Some(session), true) => Some(session.clone()),
            _ => None,
        };
        if unique_session.is_some() && !*inner.lookups_ready.borrow() {
            return Err(VaultError::NotReady);
        }
        let tenant = self.actor.tenant;
        let row = InteractionRow {
            group: self.group,
            tenant,
            kind: new.kind,
            state: new.state,
            start_hour: start_hour(&meta),
            next_leaf: self.contents.len() as u8 + 1,
            extra_groups: Vec::new(),
            directory_block: 0,
            version: 1,
            sealed_meta: inner.seal_meta(tenant, self.group, &meta)?,
        };
        // Each content adds one to the version.
        let (version, kind, state) = (row.version + self.contents.len() as u64, row.kind, row.state);
        let entry = Entry { tenant, group: self.group, keys: keys_of(&meta, &inner.settings) };
        let (done, answer) = oneshot::channel();
        let insert = Insert { row, contents: self.contents, entry, unique_session, done };
        inner.submit(Op::Insert(Box::new(insert))).await?;
        answer.await.map_err(|_| VaultError::Unavailable(None))??;
        Ok(Interaction { id: self.id, group: self.group, kind, state, version, meta })
    }
}

/// A content whose bytes are durable and whose row is not written yet.
struct StoredContent {
    row: ContentRow,
    meta: ContentMeta,
    audio: Option<AudioProperties>,
}

impl Inner {
    /// Hands an operation to the committer.
    pub async fn submit(&self, op: Op) -> Result<(), VaultError> {
        self.changeable()?;
        self.committer.send(op).await.map_err(|_| VaultError::Unavailable(None))
    }

    /// Takes a leaf's key into use by a stream; an erasure of the leaf wipes it there.
    pub fn use_key(&self, leaf: Leaf) -> Result<ActiveKey, VaultError> {
        let cell = {
            let _gate = self.shared.key_gate.read().unwrap_or_else(PoisonError::into_inner);
            let key = self.shared.forest.key(leaf).map_err(|error| self.key_error(error))?;
            KeyCell::new(key, Arc::clone(&self.shared.lease))
        };
        // Registered first, checked second: see `ActiveKeys`.
        let active = self.shared.active.register(leaf, cell);
        self.readable(leaf)?;
        Ok(active)
    }

    async fn seal_body(
        &self,
        tenant: TenantId,
        interaction: Group,
        leaf: Leaf,
        active: &ActiveKey,
        new: NewContent,
        body: BodyStream,
    ) -> Result<StoredContent, VaultError> {
        if new.length_hint.is_some_and(|length| length > self.settings.max_content_bytes) {
            return Err(VaultError::TooLarge);
        }
        let hint = BlobHint { lane: lanes::interactions(tenant).0, length: new.length_hint };
        let mut writer = self.blobs.create(hint).await.map_err(|error| self.port(error))?;
        let probe = Arc::new(std::sync::Mutex::new(AudioProbe::default()));
        let watched = Arc::clone(&probe);
        let body = body.map(move |piece| {
            if let Ok(bytes) = &piece {
                watched.lock().unwrap_or_else(PoisonError::into_inner).see(bytes);
            }
            piece
        });
        let context = BlobContext { tenant, interaction, leaf, part: 0 };
        let limit = self.settings.max_content_bytes;
        let sealed =
            seal_stream(active.cell(), &context, body, limit, writer.as_mut()).await.map_err(|e| self.seal(e))?;
        let blob = writer.finish().await.map_err(|error| self.port(error))?;
        let audio = probe.lock().unwrap_or_else(PoisonError::into_inner).properties();
        let key = match new.key {
            Some(key) => key,
            None => ContentKey::new(&Uuid::new_v4().to_string()).map_err(VaultError::internal)?,
        };
        let meta = ContentMeta {
            key,
            kind: new.kind,
            media_type: new.media_type,
            length: sealed.length,
            file_name: new.file_name.as_deref().and_then(last_component),
            last_modified: new.last_modified.unwrap_or_else(|| self.clock.now()),
            owning_agent: new.owning_agent,
            owning_plan: new.owning_plan,
            duration_ms: audio.map(|audio| audio.duration_ms),
            channels: audio.map(|audio| audio.channels),
            properties: new.properties,
        };
        let place = record::Place::Content(tenant.0, interaction.0, leaf.0);
        let text = serde_json::to_vec(&meta).map_err(VaultError::internal)?;
        let sealed_meta = self.with_key(leaf, |key| record::seal(key, place, text))?.map_err(VaultError::internal)?;
        let row = ContentRow {
            leaf,
            interaction,
            kind: meta.kind,
            size_class: sealed.size_class,
            sealed_meta,
            blob,
            commitment: sealed.commitment,
        };
        Ok(StoredContent { row, meta, audio })
    }

    fn seal(&self, error: SealError) -> VaultError {
        match error {
            SealError::Revoked(_) => self.revoked(),
            SealError::TooLarge => VaultError::TooLarge,
            SealError::Interrupted(_) => VaultError::Interrupted,
            SealError::Store(error) => self.port(error),
        }
    }

    pub(super) async fn store_content(
        self: &Arc<Self>,
        actor: &Actor,
        group: Group,
        new: NewContent,
        body: BodyStream,
        running: Option<State>,
    ) -> Result<Content, VaultError> {
        let tenant = actor.tenant;
        let issued = self.issue_leaf(group).await?;
        let leaf = issued.leaf;
        let active = self.use_key(leaf)?;
        // The interaction may have been hidden since its row was read.
        self.readable(group.leaf(0))?;
        let stored = self.seal_body(tenant, group, leaf, &active, new, body).await?;
        let (inner, actor) = (Arc::clone(self), actor.clone());
        // Goes on when nobody waits for it any more: until it is known what became of the leaf, no other upload may take it.
        let placing = self.unattended.spawn(async move {
            let _issued = issued;
            let placed = inner.place(&actor, group, &stored, running).await;
            match placed {
                Ok(()) => Ok(Content { interaction: group, leaf, meta: stored.meta }),
                Err(error) => {
                    // Only what certainly was not taken: after an unknown outcome the row may be there.
                    if matches!(
                        error,
                        VaultError::Gone | VaultError::NotFound | VaultError::Conflict(_) | VaultError::Invalid(_)
                    ) {
                        inner.discard(&actor, &stored).await;
                    }
                    Err(error)
                }
            }
        });
        placing.await.map_err(VaultError::internal)?
    }

    /// Makes a stored content part of its interaction.
    async fn place(
        self: &Arc<Self>,
        actor: &Actor,
        group: Group,
        stored: &StoredContent,
        running: Option<State>,
    ) -> Result<(), VaultError> {
        for _ in 0..AMEND_TRIES {
            let row = self.row(group).await?;
            if running.is_some_and(|running| row.state != running) {
                return Err(VaultError::Conflict("the interaction is not waiting for this upload any more"));
            }
            if self.try_store(actor, row, stored, running.is_some()).await? {
                return Ok(());
            }
            self.readable(group.leaf(0))?;
            self.readable(stored.row.leaf)?;
        }
        Err(VaultError::Conflict("the interaction is being changed by others"))
    }

    /// Erases and removes what was stored for an interaction that did not take it: refused bytes must not stay openable. A
    /// leaf of an erased interaction is punctured already.
    async fn discard(self: &Arc<Self>, actor: &Actor, stored: &StoredContent) {
        let leaves = vec![stored.row.leaf];
        let refused = |done| Erase { credential: None, kind: PurgeKind::Upkeep, leaves, ..Erase::order(actor, done) };
        let _ = self.hand_over(refused).await;
        if let Err(error) = self.blobs.remove(std::slice::from_ref(&stored.row.blob)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a refused upload stays until the next start");
        }
    }

    /// The final transaction of an upload; `false` when the interaction changed or was erased meanwhile.
    async fn try_store(
        self: &Arc<Self>,
        actor: &Actor,
        mut row: InteractionRow,
        stored: &StoredContent,
        awaited: bool,
    ) -> Result<bool, VaultError> {
        let group = row.group;
        let leaf = stored.row.leaf;
        let contents = self.live_contents(&[group]).await?;
        if contents.len() >= MAX_CONTENTS {
            return Err(VaultError::Invalid("an interaction has at most 1,000 contents"));
        }
        let mut old: Vec<Leaf> = Vec::new();
        for row in &contents {
            match self.open_content_meta(actor.tenant, row) {
                Ok(meta) if meta.key == stored.meta.key => old.push(row.leaf),
                Ok(_) | Err(VaultError::Gone) => {}
                // It may be what is to be replaced.
                Err(error) => return Err(error),
            }
        }
        let checks = vec![Check::Version(group, row.version), Check::NotErased(group.leaf(0)), Check::NotErased(leaf)];
        let arrival = Arrival::of_content(row.tenant, &stored.row);
        let mut writes = vec![
            Write::InsertContent(stored.row.clone()),
            Write::NoteArrivals(write_note(self.clock.now(), [&arrival])),
        ];
        self.arrived.fetch_add(1, Ordering::Relaxed);
        if awaited {
            let mut meta = self.open_meta(&row)?;
            self.complete(&mut row, &mut meta, stored);
            row.sealed_meta = self.seal_meta(row.tenant, group, &meta)?;
            // The row first: its version is what the check named.
            writes.insert(0, Write::UpdateInteraction(row));
        }
        if old.is_empty() {
            return Ok(self.apply("content.store", checks, writes).await?.is_ok());
        }
        let replaced = self.hand_over(|done| Erase {
            kind: PurgeKind::Replaced,
            contents: old.len() as u64,
            leaves: old,
            with: Some((checks, writes)),
            ..Erase::order(actor, done)
        });
        match replaced.await {
            Ok(_) => Ok(true),
            Err(VaultError::Gone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the arrival of the awaited recording changes.
    fn complete(&self, row: &mut InteractionRow, meta: &mut InteractionMeta, stored: &StoredContent) {
        let now = self.clock.now();
        match row.state {
            State::Downloading => meta.times.downloaded_at = Some(now),
            _ => meta.times.uploaded_at = Some(now),
        }
        meta.times.updated_at = Some(now);
        meta.error = None;
        if let Some(audio) = stored.audio {
            meta.duration_ms.get_or_insert(audio.duration_ms);
        }
        row.state = match self.settings.ingest {
            IngestMode::Direct => {
                meta.times.processed_at = Some(now);
                State::Processed
            }
            IngestMode::External => State::Pending,
        };
    }

    async fn try_amend(
        self: &Arc<Self>,
        mut row: InteractionRow,
        state: Option<State>,
        change: &(dyn Fn(&mut InteractionMeta) + Send + Sync),
    ) -> Result<Option<Interaction>, VaultError> {
        let group = row.group;
        let version = row.version;
        let mut meta = self.open_meta(&row)?;
        let keys = keys_of(&meta, &self.settings);
        change(&mut meta);
        check_meta(&meta)?;
        let now = self.clock.now();
        meta.times.updated_at = Some(now);
        if let Some(state) = state {
            row.state = state;
            if state == State::Processed {
                meta.times.processed_at.get_or_insert(now);
            }
        }
        row.start_hour = start_hour(&meta);
        row.sealed_meta = self.seal_meta(row.tenant, group, &meta)?;
        let id = self.public_id(row.tenant, group)?;
        let (kind, state) = (row.kind, row.state);
        let new_keys = keys_of(&meta, &self.settings);
        let done = if keys == new_keys {
            let checks = vec![Check::Version(group, version), Check::NotErased(group.leaf(0))];
            self.apply("interaction.amend", checks, vec![Write::UpdateInteraction(row)]).await?.is_ok()
        } else {
            let entry = Entry { tenant: row.tenant, group, keys: new_keys };
            let (done, answer) = oneshot::channel();
            self.submit(Op::Rekey(Box::new(Rekey { row, entry, done }))).await?;
            answer.await.map_err(|_| VaultError::Unavailable(None))??
        };
        if !done {
            self.readable(group.leaf(0))?;
            return Ok(None);
        }
        Ok(Some(Interaction { id, group, kind, state, version: version + 1, meta }))
    }
}

/// Limits on what one record may hold.
fn check_meta(meta: &InteractionMeta) -> Result<(), VaultError> {
    let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > 1_024);
    if [&meta.session_id, &meta.master_id, &meta.case_id, &meta.collection_id].into_iter().any(long)
        || meta.external_ids.iter().any(|id| id.len() > 1_024)
    {
        return Err(VaultError::Invalid("an id has at most 1,024 bytes"));
    }
    if meta.external_ids.len() > 32 || meta.participants.len() > 200 {
        return Err(VaultError::Invalid("an interaction has at most 32 external ids and 200 participants"));
    }
    Ok(())
}

fn start_hour(meta: &InteractionMeta) -> i64 {
    meta.started_at.as_second().div_euclid(3_600)
}

/// The last path component of a file name from anywhere, at most 255 bytes; `None` when nothing is left.
fn last_component(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next()?.trim();
    let mut end = last.len().min(255);
    while !last.is_char_boundary(end) {
        end -= 1;
    }
    let clean: String = last[..end].chars().filter(|c| !c.is_control()).collect();
    (!clean.is_empty() && clean != "." && clean != "..").then_some(clean)
}

/// A body of bytes that are at hand already.
pub fn body_of(bytes: impl Into<bytes::Bytes>) -> BodyStream {
    let bytes = bytes.into();
    Box::pin(stream::once(async move { Ok(bytes) }))
}
