//! Finding and reading.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use keyforest::{Group, Leaf};

use super::vault::{Inner, Vault};
use super::{ByteRange, Content, ContentReader, ContentStream, Interaction, Lookup, PublicId, VaultError};
use crate::crypto::{BlobContext, BlobRead, OpenError, record};
use crate::directory::{confirm, is_external, of_lookup, tags};
use crate::model::{Actor, ContentMeta, Participant, Scope, TenantId};
use crate::ports::{ContentRow, InteractionRow};

/// Rows read in one go.
pub(super) const ROWS: usize = 500;
/// How often something is looked up again that others replace meanwhile.
const LOOKS: usize = 8;
/// Any of these allows a look-up by a personal key.
pub(super) const LOOK_UP: &[Scope] =
    &[Scope::InteractionRead, Scope::MetadataWrite, Scope::InteractionWrite, Scope::InteractionPurge];
/// Interactions one look-up may give.
const MAX_FOUND: usize = 1_000_000;

impl Vault {
    /// One interaction by public id, else by external id. `Gone` when erased, `NotFound` otherwise.
    pub async fn interaction(&self, actor: &Actor, id: &str) -> Result<Interaction, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[Scope::InteractionRead, Scope::InteractionWrite])?;
        let row = inner.find_row(actor, id).await?;
        inner.open_interaction(&row)
    }

    /// Whether this is the public id of an interaction of the tenant that was erased, or is hidden and about to be. Read from
    /// the keys alone: ids that were never given out, other tenants' and other systems' are not.
    pub fn is_erased(&self, actor: &Actor, id: &str) -> bool {
        let group = self.inner.decode_id(actor.tenant, id);
        group.is_some_and(|group| matches!(self.inner.readable(group.leaf(0)), Err(VaultError::Gone)))
    }

    /// The interaction that an id names, for those who may erase but not read: its contents' names are needed to erase one.
    pub async fn interaction_to_erase(&self, actor: &Actor, id: &str) -> Result<Interaction, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[Scope::InteractionDelete, Scope::InteractionPurge])?;
        let row = inner.find_row(actor, id).await?;
        inner.open_interaction(&row)
    }

    /// Live interactions that a personal key names, in order of arrival. Scope: InteractionRead, MetadataWrite,
    /// InteractionWrite or InteractionPurge.
    pub async fn lookup(&self, actor: &Actor, key: &Lookup) -> Result<Vec<Interaction>, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, LOOK_UP)?;
        Ok(inner.find_by_key(actor.tenant, key).await?.into_iter().map(|(_, interaction)| interaction).collect())
    }

    /// The contents of a live interaction, by leaf.
    pub async fn contents(&self, actor: &Actor, interaction: &Interaction) -> Result<Vec<Content>, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[Scope::InteractionRead, Scope::InteractionWrite, Scope::InteractionDelete])?;
        inner.readable(interaction.group.leaf(0))?;
        inner.contents_of(actor.tenant, &[interaction.group]).await
    }

    /// Opens a content for streaming; when it was replaced since it was looked up, what replaced it.
    pub async fn read(
        &self,
        actor: &Actor,
        content: &Content,
        range: Option<ByteRange>,
    ) -> Result<ContentReader, VaultError> {
        let (mut content, mut looks) = (content.clone(), 0);
        loop {
            match self.open_this(actor, &content, range).await {
                Err(error) => content = self.newer(actor, content, &mut looks, error).await?,
                opened => return opened,
            }
        }
    }

    async fn open_this(
        &self,
        actor: &Actor,
        content: &Content,
        range: Option<ByteRange>,
    ) -> Result<ContentReader, VaultError> {
        let mut reader = self.prepare_this(actor, content, range).await?;
        reader.stream.open().await?;
        Ok(reader)
    }

    /// As [`Vault::read`], but nothing is read from the store yet: for an answer whose bytes another node may read with a key
    /// lent to it ([`ContentStream::lend`]). Polled here it opens the content first, so a damaged one ends the stream.
    pub async fn prepare(
        &self,
        actor: &Actor,
        content: &Content,
        range: Option<ByteRange>,
    ) -> Result<ContentReader, VaultError> {
        let (mut content, mut looks) = (content.clone(), 0);
        loop {
            match self.prepare_this(actor, &content, range).await {
                Err(error) => content = self.newer(actor, content, &mut looks, error).await?,
                prepared => return prepared,
            }
        }
    }

    async fn prepare_this(
        &self,
        actor: &Actor,
        content: &Content,
        range: Option<ByteRange>,
    ) -> Result<ContentReader, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[Scope::InteractionRead])?;
        inner.readable(content.interaction.leaf(0))?;
        let active = inner.use_key(content.leaf)?;
        let rows = inner.metadata.contents_by_leaf(&[content.leaf]).await.map_err(|error| inner.port(error))?;
        let row = rows.into_iter().next().ok_or(VaultError::NotFound)?;
        // The description must open for this tenant: a content of another one is not found.
        let meta = inner.open_content_meta(actor.tenant, &row).map_err(|error| match error {
            VaultError::Internal(Some(cause)) if cause.is::<record::RecordError>() => VaultError::NotFound,
            error => error,
        })?;
        let range = resolve(range, meta.length)?;
        let read = BlobRead {
            blobs: Arc::clone(&inner.blobs),
            blob: row.blob,
            context: BlobContext { tenant: actor.tenant, interaction: row.interaction, leaf: row.leaf, part: 0 },
            commitment: row.commitment,
            length: meta.length,
        };
        let stream = ContentStream::new(Arc::clone(inner), active, read, range.clone());
        Ok(ContentReader { meta, range, stream })
    }

    /// Reads a small content whole, or what replaced it meanwhile; `TooLarge` above `limit` bytes.
    pub async fn read_all(&self, actor: &Actor, content: &Content, limit: u64) -> Result<Vec<u8>, VaultError> {
        let (mut content, mut looks) = (content.clone(), 0);
        loop {
            match self.read_this(actor, &content, limit).await {
                Err(error) => content = self.newer(actor, content, &mut looks, error).await?,
                all => return all,
            }
        }
    }

    async fn read_this(&self, actor: &Actor, content: &Content, limit: u64) -> Result<Vec<u8>, VaultError> {
        if content.meta.length > limit {
            return Err(VaultError::TooLarge);
        }
        let mut reader = self.prepare_this(actor, content, None).await?;
        let mut all = Vec::with_capacity(usize::try_from(reader.meta.length).unwrap_or(0));
        while let Some(piece) = reader.stream.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    /// What replaced a content that is gone; otherwise `error`, why nothing could be done with it. Who asks by name so meets the old
    /// bytes or the new ones.
    pub(super) async fn newer(
        &self,
        actor: &Actor,
        content: Content,
        looks: &mut usize,
        error: VaultError,
    ) -> Result<Content, VaultError> {
        *looks += 1;
        if !matches!(error, VaultError::Gone | VaultError::NotFound) {
            return Err(error);
        }
        if *looks == LOOKS {
            return Err(VaultError::Unavailable(None));
        }
        let inner = &self.inner;
        inner.readable(content.interaction.leaf(0))?;
        let contents = inner.contents_of(actor.tenant, &[content.interaction]).await?;
        let same_name = |other: &Content| other.meta.key == content.meta.key && other.leaf != content.leaf;
        contents.into_iter().find(same_name).ok_or(error)
    }

    /// Whether a participant is not one of ours (agents, bots and other configured types).
    pub fn participant_is_external(&self, participant: &Participant) -> bool {
        is_external(participant, &self.inner.settings)
    }
}

/// What a range asks of a content (RFC 9110 §14.1.2). A range that begins inside is cut to the end.
fn resolve(range: Option<ByteRange>, length: u64) -> Result<std::ops::Range<u64>, VaultError> {
    let refused = Err(VaultError::Range { length });
    match range {
        None => Ok(0..length),
        Some(ByteRange::From(first, last)) => {
            let end = last.map_or(length, |last| last.saturating_add(1).min(length));
            if first >= length || first >= end { refused } else { Ok(first..end) }
        }
        Some(ByteRange::Suffix(count)) => {
            if count == 0 || length == 0 {
                refused
            } else {
                Ok(length.saturating_sub(count)..length)
            }
        }
    }
}

impl Inner {
    /// The group an id stands for: decoded first, else by external id.
    pub async fn find_row(&self, actor: &Actor, id: &str) -> Result<InteractionRow, VaultError> {
        if let Some(group) = self.decode_id(actor.tenant, id) {
            self.readable(group.leaf(0))?;
            let row = self.row(group).await?;
            return if row.tenant == actor.tenant { Ok(row) } else { Err(VaultError::NotFound) };
        }
        if id.is_empty() || id.len() > 1_024 {
            return Err(VaultError::NotFound);
        }
        let found = self.find_by_key(actor.tenant, &Lookup::External(id.to_owned())).await?;
        found.into_iter().next_back().map(|(row, _)| row).ok_or(VaultError::NotFound)
    }

    /// The group a public id of the tenant stands for, if it is one.
    pub fn decode_id(&self, tenant: TenantId, id: &str) -> Option<Group> {
        let uuid = (id.len() == 36).then(|| uuid::Uuid::try_parse(id).ok())??;
        self.id_cipher(tenant)?.decode(PublicId(uuid))
    }

    /// The row of a group that is readable.
    pub async fn row(&self, group: Group) -> Result<InteractionRow, VaultError> {
        let row = self.metadata.interaction(group).await.map_err(|error| self.port(error))?;
        match row {
            Some(row) => Ok(row),
            // Erased and swept between the check and the read, or issued and never used.
            None => Err(self.readable(group.leaf(0)).err().unwrap_or(VaultError::NotFound)),
        }
    }

    /// Opens a row.
    pub fn open_interaction(&self, row: &InteractionRow) -> Result<Interaction, VaultError> {
        Ok(Interaction {
            id: self.public_id(row.tenant, row.group)?,
            group: row.group,
            kind: row.kind,
            state: self.effective_state(row),
            version: row.version,
            meta: self.open_meta(row)?,
        })
    }

    /// Live interactions under a personal key, each confirmed by opening it, with their rows.
    pub async fn find_by_key(
        &self,
        tenant: TenantId,
        key: &Lookup,
    ) -> Result<Vec<(InteractionRow, Interaction)>, VaultError> {
        if !*self.lookups_ready.borrow() {
            return Err(VaultError::NotReady);
        }
        let (kind, text) = of_lookup(key);
        let region = self.settings.default_region.as_deref();
        let mut groups: Vec<Group> = tags(&self.lookup, tenant.0, kind, text, region)
            .into_iter()
            .flat_map(|tag| self.lookup.find(tag))
            .collect();
        groups.sort_unstable();
        groups.dedup();
        if groups.len() > MAX_FOUND {
            return Err(VaultError::Invalid("the key names more interactions than one request may"));
        }
        let mut found = Vec::with_capacity(groups.len());
        for some in groups.chunks(ROWS) {
            let rows = self.metadata.interactions(some).await.map_err(|error| self.port(error))?;
            for row in rows {
                if row.tenant != tenant || self.shared.hidden.covering(row.group.leaf(0)).is_some() {
                    continue;
                }
                match self.open_interaction(&row) {
                    Ok(interaction) if confirm(&interaction.meta, key, &self.settings) => {
                        found.push((row, interaction))
                    }
                    Ok(_) | Err(VaultError::Gone | VaultError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            tokio::task::yield_now().await;
        }
        // Without the lease others may have captured what this map does not know.
        if self.shared.lease.holds() { Ok(found) } else { Err(VaultError::Unavailable(None)) }
    }

    /// Whether a live interaction of the tenant has the session id.
    pub async fn session_in_use(&self, tenant: TenantId, session: &str) -> Result<bool, VaultError> {
        Ok(!self.find_by_key(tenant, &Lookup::Session(session.to_owned())).await?.is_empty())
    }

    /// Content rows of interactions that are neither hidden nor erased.
    ///
    /// # Errors
    /// Of the store, and when it cannot be told of a row whether it is erased: none is left out on a guess.
    pub async fn live_contents(&self, interactions: &[Group]) -> Result<Vec<ContentRow>, VaultError> {
        let mut live = Vec::new();
        for some in interactions.chunks(ROWS) {
            live.extend(self.live_contents_of(some).await?);
        }
        Ok(live)
    }

    /// A row whose content is gone while its interaction lives may have been replaced since it was read, and what replaced it is
    /// not among the rows then: they are read again, until nothing more is gone than the time before.
    async fn live_contents_of(&self, interactions: &[Group]) -> Result<Vec<ContentRow>, VaultError> {
        let mut gone_before = BTreeSet::new();
        let mut looks = 0;
        loop {
            let rows = self.metadata.contents(interactions).await.map_err(|error| self.port(error))?;
            let (mut live, mut gone) = (Vec::with_capacity(rows.len()), BTreeSet::new());
            for row in rows {
                match self.readable(row.leaf) {
                    Ok(()) => live.push(row),
                    Err(VaultError::Gone | VaultError::NotFound) => match self.readable(row.interaction.leaf(0)) {
                        Ok(()) => drop(gone.insert(row.leaf)),
                        Err(VaultError::Gone | VaultError::NotFound) => {}
                        Err(error) => return Err(error),
                    },
                    Err(error) => return Err(error),
                }
            }
            looks += 1;
            if gone.is_subset(&gone_before) {
                return Ok(live);
            }
            if looks == LOOKS {
                // Replaced without a pause. Of many interactions one may miss what was replaced just now; of one nothing is said on
                // a guess.
                return if interactions.len() > 1 { Ok(live) } else { Err(VaultError::Unavailable(None)) };
            }
            gone_before = gone;
        }
    }

    /// Contents of interactions that are neither hidden nor erased, with their descriptions. One that was replaced meanwhile is not
    /// missing: what replaced it is there.
    pub async fn contents_of(&self, tenant: TenantId, interactions: &[Group]) -> Result<Vec<Content>, VaultError> {
        let mut looks = 0;
        loop {
            let rows = self.live_contents(interactions).await?;
            let mut contents = Vec::with_capacity(rows.len());
            for row in &rows {
                match self.open_content_meta(tenant, row) {
                    Ok(meta) => contents.push(Content { interaction: row.interaction, leaf: row.leaf, meta }),
                    Err(VaultError::Gone) => {}
                    Err(error) => return Err(error),
                }
            }
            looks += 1;
            if contents.len() == rows.len() || looks == LOOKS {
                return Ok(contents);
            }
        }
    }

    /// Opens the description of a content.
    pub fn open_content_meta(&self, tenant: TenantId, row: &ContentRow) -> Result<ContentMeta, VaultError> {
        let place = record::Place::Content(tenant.0, row.interaction.0, row.leaf.0);
        let bytes =
            self.with_key(row.leaf, |key| record::open(key, place, &row.sealed_meta))?.map_err(VaultError::internal)?;
        // The parser's own words could quote what it read.
        serde_json::from_slice(&bytes).map_err(|_| VaultError::internal(record::RecordError))
    }

    pub(super) fn opened(&self, error: OpenError) -> VaultError {
        match error {
            OpenError::Revoked(_) => self.revoked(),
            OpenError::Store(error) => self.port(error),
            error @ (OpenError::Corrupt | OpenError::Range) => VaultError::internal(error),
        }
    }

    /// The leaves of contents that a request names must belong to the interaction it names.
    pub async fn content_row(&self, interaction: Group, leaf: Leaf) -> Result<ContentRow, VaultError> {
        let rows = self.metadata.contents_by_leaf(&[leaf]).await.map_err(|error| self.port(error))?;
        rows.into_iter().find(|row| row.interaction == interaction).ok_or(VaultError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_http_standard() {
        let bytes = |range| resolve(Some(range), 100).ok();
        assert_eq!(bytes(ByteRange::From(0, Some(9))), Some(0..10));
        assert_eq!(bytes(ByteRange::From(90, Some(900))), Some(90..100));
        assert_eq!(bytes(ByteRange::From(99, None)), Some(99..100));
        assert_eq!(bytes(ByteRange::From(100, None)), None);
        assert_eq!(bytes(ByteRange::From(5, Some(4))), None);
        assert_eq!(bytes(ByteRange::From(0, Some(u64::MAX))), Some(0..100));
        assert_eq!(bytes(ByteRange::Suffix(1)), Some(99..100));
        assert_eq!(bytes(ByteRange::Suffix(1_000)), Some(0..100));
        assert_eq!(bytes(ByteRange::Suffix(0)), None);
        assert!(resolve(Some(ByteRange::Suffix(1)), 0).is_err());
        assert_eq!(resolve(None, 0).ok(), Some(0..0));
    }
}
