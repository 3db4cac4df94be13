//! Erasing: single contents, interactions, batches, orders.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::answer::Answering;
use super::erasing::Named;
use super::ops::{Accepted, Erase, Op, Target};
use super::read::ROWS;
use super::vault::{Inner, Vault};
use super::{Content, ErasureItem, ErasureItemState, ErasureView, Lookup, Order, Plan, PlanItem, PublicId, VaultError};
use crate::crypto::record::{self, Place};
use crate::model::{Actor, Scope, Selector, TenantId};
use crate::ports::{InteractionRow, PurgeKind, PurgeRow, PurgeState};

/// What is sealed of an order; dies with it.
#[derive(Serialize, Deserialize)]
struct OrderText {
    selector: Selector,
    reference: Option<String>,
    reason: Option<String>,
}

/// An interaction found for an order.
struct Found {
    row: InteractionRow,
    id: PublicId,
    session_id: Option<String>,
}

impl Vault {
    /// Erases a whole interaction; returns only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_interaction(&self, actor: &Actor, id: &str) -> Result<(), VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionDelete])?;
        if let Some(group) = inner.decode_id(actor.tenant, id) {
            return inner.erase_group(actor, group).await;
        }
        let since = inner.growing.read_rows();
        let row = match inner.find_row(actor, id).await {
            Err(VaultError::NotFound) => {
                match inner.external_being_erased(actor.tenant, id) {
                    Named::Due(_, group) => return inner.answer_gone(actor, Some(group), None).await,
                    Named::Perhaps => inner.wait(&inner.shared.erasing.partly()).await?,
                    Named::Nothing => {}
                }
                return Err(VaultError::NotFound);
            }
            found => found?,
        };
        let guard = inner.unanswered.begin(actor.credential, row.group.leaf(0), inner.settings.retry_grace);
        let contents = inner.count(&[row.group]).await?;
        let accepted = inner.erase(actor, vec![Target::of(&row, &since)], Vec::new(), contents).await?;
        inner.answer_sealed(actor, row.group, accepted, guard).await
    }

    /// Erases one content; returns only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_content(&self, actor: &Actor, id: &str, leaf: Leaf) -> Result<(), VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionDelete])?;
        let row = inner.find_row(actor, id).await?;
        match inner.readable(leaf) {
            Err(VaultError::Gone) => return inner.answer_gone(actor, Some(row.group), Some(leaf)).await,
            other => other?,
        }
        inner.content_row(row.group, leaf).await?;
        let guard = inner.unanswered.begin(actor.credential, leaf, inner.settings.retry_grace);
        let accepted = inner.erase(actor, Vec::new(), vec![leaf], 1).await?;
        match accepted.id {
            Some(purge) => inner.wait(&[purge]).await?,
            None => {
                guard.answered();
                return inner.answer_gone(actor, Some(row.group), Some(leaf)).await;
            }
        }
        guard.answered();
        Ok(())
    }

    /// Erases a content that was looked up by its name, or what replaced it since; otherwise as [`Vault::erase_content`].
    /// `before` is told of each leaf before its erasure is begun.
    pub async fn erase_named(
        &self,
        actor: &Actor,
        id: &str,
        content: &Content,
        before: impl Fn(Leaf),
    ) -> Result<(), VaultError> {
        let (mut content, mut looks) = (content.clone(), 0);
        loop {
            before(content.leaf);
            match self.erase_content(actor, id, content.leaf).await {
                Err(error) => content = self.newer(actor, content, &mut looks, error).await?,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Erases many interactions in one go; unknown and already erased ids are passed over; returns how many were erased,
    /// only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_interactions(&self, actor: &Actor, ids: &[String]) -> Result<usize, VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionDelete])?;
        if ids.len() > inner.settings.max_order_interactions {
            return Err(VaultError::TooLarge);
        }
        let since = inner.growing.read_rows();
        let (rows, hidden) = inner.rows_of_ids(actor.tenant, ids).await?;
        let mut waits = hidden;
        let mut erased = 0;
        if !rows.is_empty() {
            let groups: Vec<Group> = rows.iter().map(|row| row.group).collect();
            let contents = inner.count(&groups).await?;
            let targets = rows.iter().map(|row| Target::of(row, &since)).collect();
            let accepted = inner.erase(actor, targets, Vec::new(), contents).await?;
            erased = accepted.groups.len();
            waits.extend(accepted.id);
            waits.extend(accepted.covered_by);
        }
        // Ids that another order is erasing count as done only once that order is sealed.
        inner.wait(&waits).await?;
        Ok(erased)
    }

    /// What an order would erase; changes nothing. Scope: InteractionPurge.
    pub async fn plan(&self, actor: &Actor, selector: &Selector) -> Result<Plan, VaultError> {
        self.inner.allow(actor, &[Scope::InteractionPurge])?;
        let (found, missing) = self.inner.find_all(actor.tenant, selector).await?;
        self.inner.plan_of(&found, missing).await
    }

    /// Accepts an order: returns once everything it names is *hidden* and the order is in the journal; the seal follows.
    /// `None` when it names nothing live. Scope: InteractionPurge.
    pub async fn order(&self, actor: &Actor, order: Order) -> Result<(Option<Uuid>, Plan), VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionPurge])?;
        if order.reference.as_ref().is_some_and(|text| text.len() > 1_000)
            || order.reason.as_ref().is_some_and(|text| text.len() > 10_000)
        {
            return Err(VaultError::Invalid("a reference has at most 1,000 bytes and a reason 10,000"));
        }
        let since = inner.growing.read_rows();
        let (found, missing) = inner.find_all(actor.tenant, &order.selector).await?;
        let plan = inner.plan_of(&found, missing).await?;
        if order.plan_hash.is_some_and(|hash| hash != plan.hash) {
            return Err(VaultError::Conflict("what the selector names has changed since the plan was made"));
        }
        if found.is_empty() {
            return Ok((None, plan));
        }
        let erased_before = inner.count_erased(actor.tenant, &plan.missing)?;
        let text = (order.reference.is_some() || order.reason.is_some()).then_some(OrderText {
            selector: order.selector,
            reference: order.reference.clone(),
            reason: order.reason,
        });
        let text = text.map(|text| serde_json::to_vec(&text)).transpose().map_err(VaultError::internal)?;
        let targets = found.iter().map(|found| Target::of(&found.row, &since)).collect();
        let reference = order.reference;
        let accepted = inner.hand_over(|done| {
            let mut erase = Erase {
                targets,
                contents: plan.contents,
                order: text,
                reference,
                early: true,
                ..Erase::order(actor, done)
            };
            erase.stated.legal_basis = order.legal_basis;
            erase.stated.keep("not-found", plan.missing.len() as u64 - erased_before);
            erase.stated.keep("already-erased", erased_before);
            erase
        });
        let accepted = accepted.await?;
        // This is answered before the seal: streams at other nodes have ended by then as those here have.
        if let Some(set) = accepted.set.filter(|set| !inner.shared.lenders.is_back(set)) {
            let lenders = Arc::clone(&inner.shared.lenders);
            tokio::task::spawn_blocking(move || lenders.wait_back(&set)).await.map_err(VaultError::internal)?;
        }
        Ok((accepted.id, plan))
    }

    /// One erasure of the tenant. Scope: InteractionPurge or InteractionDelete.
    pub async fn erasure(&self, actor: &Actor, id: Uuid) -> Result<ErasureView, VaultError> {
        let row = self.inner.purge_of(actor, id).await?;
        Ok(self.inner.view(row))
    }

    /// Its items from position `from` on, at most `limit`. Scope as [`Vault::erasure`].
    pub async fn erasure_items(
        &self,
        actor: &Actor,
        id: Uuid,
        from: usize,
        limit: usize,
    ) -> Result<Vec<ErasureItem>, VaultError> {
        let inner = &self.inner;
        let row = inner.purge_of(actor, id).await?;
        let sealed = inner.is_sealed(&row);
        let state = if sealed { ErasureItemState::Sealed } else { ErasureItemState::Hidden };
        let groups = row.set.interactions.as_slice().iter().skip(from).take(limit.min(1_000));
        groups.map(|group| Ok(ErasureItem { id: inner.public_id(actor.tenant, Group(*group))?, state })).collect()
    }

    /// Erasures that were ordered, newest first. Scope as [`Vault::erasure`].
    pub async fn erasures(
        &self,
        actor: &Actor,
        before: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<ErasureView>, VaultError> {
        let inner = &self.inner;
        inner.allow(actor, &[Scope::InteractionPurge, Scope::InteractionDelete])?;
        let (mut before, limit) = (before, limit.min(1_000));
        let mut views = Vec::new();
        while views.len() < limit {
            let rows = inner.metadata.purges(actor.tenant, before, limit).await.map_err(|error| inner.port(error))?;
            let Some(last) = rows.last() else { break };
            before = Some((last.accepted_at, last.id));
            // Replacements and upkeep are nobody's order.
            let orders = rows.into_iter().filter(|row| row.kind == PurgeKind::Order);
            views.extend(orders.take(limit - views.len()).map(|row| inner.view(row)));
        }
        Ok(views)
    }

    /// Waits until an erasure is sealed; `StillDue` when `limit` runs out.
    pub async fn wait_sealed(&self, id: Uuid, limit: Duration) -> Result<(), VaultError> {
        self.inner.wait_for(&[id], limit).await
    }
}

impl Inner {
    /// Erases the interaction that a public id names.
    async fn erase_group(&self, actor: &Actor, group: Group) -> Result<(), VaultError> {
        let leaf = group.leaf(0);
        match self.readable(leaf) {
            Err(VaultError::Gone) => return self.answer_gone(actor, Some(group), None).await,
            other => other?,
        }
        let guard = self.unanswered.begin(actor.credential, leaf, self.settings.retry_grace);
        // A committer without work looks at the rows itself, which spares the way to a reading thread and back. A busy one
        // would let everybody else wait for it.
        let accepted = if self.committer_rests() {
            self.hand_over(|done| Erase { named: Some(group), ..Erase::order(actor, done) }).await
        } else {
            match self.erasable(actor.tenant, group).await {
                Ok((target, contents)) => self.erase(actor, vec![target], Vec::new(), contents).await,
                Err(error) => Err(error),
            }
        };
        match accepted {
            Ok(accepted) => self.answer_sealed(actor, group, accepted, guard).await,
            Err(VaultError::Gone) => {
                guard.answered();
                self.answer_gone(actor, Some(group), None).await
            }
            Err(error) => {
                if matches!(error, VaultError::NotFound) {
                    guard.answered();
                }
                Err(error)
            }
        }
    }

    /// What erasing an interaction of the tenant takes, and how many contents it has.
    pub(super) async fn erasable(&self, tenant: TenantId, group: Group) -> Result<(Target, u64), VaultError> {
        let groups = [group];
        let since = self.growing.read_rows();
        let (row, contents) = tokio::join!(self.row(group), self.count(&groups));
        let row = row?;
        if row.tenant == tenant { Ok((Target::of(&row, &since), contents?)) } else { Err(VaultError::NotFound) }
    }

    /// Waits for the seal of what was accepted.
    async fn answer_sealed(
        &self,
        actor: &Actor,
        group: Group,
        accepted: Accepted,
        guard: Answering,
    ) -> Result<(), VaultError> {
        match accepted.id {
            Some(purge) => self.wait(&[purge]).await?,
            None => {
                guard.answered();
                return self.answer_gone(actor, Some(group), None).await;
            }
        }
        guard.answered();
        Ok(())
    }

    /// Hands an erasure to the committer and waits until it is accepted.
    pub(super) async fn hand_over(
        &self,
        erase: impl FnOnce(oneshot::Sender<Result<Accepted, VaultError>>) -> Erase,
    ) -> Result<Accepted, VaultError> {
        let (done, answer) = oneshot::channel();
        self.submit(Op::Erase(Box::new(erase(done)))).await?;
        answer.await.map_err(|_| VaultError::Unavailable(None))?
    }

    async fn erase(
        &self,
        actor: &Actor,
        targets: Vec<Target>,
        leaves: Vec<Leaf>,
        contents: u64,
    ) -> Result<Accepted, VaultError> {
        self.hand_over(|done| Erase { targets, leaves, contents, ..Erase::order(actor, done) }).await
    }

    /// Waits for the seals a delete's answer depends on.
    async fn count(&self, groups: &[Group]) -> Result<u64, VaultError> {
        let set: LeafSet = groups.iter().map(|group| Leaf(group.0)).collect();
        self.metadata.count_contents(&set).await.map_err(|error| self.port(error))
    }

    /// Live rows of public or external ids, once each, and the erasures that cover ids already hidden.
    async fn rows_of_ids(
        &self,
        tenant: TenantId,
        ids: &[String],
    ) -> Result<(Vec<InteractionRow>, Vec<Uuid>), VaultError> {
        let mut hidden = Vec::new();
        let mut groups = Vec::new();
        let mut external = Vec::new();
        for id in ids {
            match self.decode_id(tenant, id) {
                Some(group) => match self.shared.hidden.covering(group.leaf(0)) {
                    Some(purge) => hidden.push(purge),
                    None => groups.push(group),
                },
                None => external.push(id),
            }
        }
        groups.sort_unstable();
        groups.dedup();
        let mut rows = Vec::with_capacity(groups.len());
        for some in groups.chunks(ROWS) {
            rows.extend(self.metadata.interactions(some).await.map_err(|error| self.port(error))?);
        }
        let mut perhaps = false;
        for id in external.into_iter().filter(|id| !id.is_empty()) {
            let found = self.find_by_key(tenant, &Lookup::External(id.clone())).await?;
            match found.into_iter().next_back() {
                Some((row, _)) => rows.push(row),
                None => match self.external_being_erased(tenant, id) {
                    // Named before, and its seal is still to come.
                    Named::Due(erasure, _) => hidden.push(erasure),
                    Named::Perhaps => perhaps = true,
                    Named::Nothing => {}
                },
            }
        }
        if perhaps {
            hidden.extend(self.shared.erasing.partly());
        }
        let mut live = Vec::with_capacity(rows.len());
        for row in rows.into_iter().filter(|row| row.tenant == tenant) {
            match self.readable(row.group.leaf(0)) {
                Ok(()) => live.push(row),
                // By another erasure since it was looked for above: that one's seal is waited for too.
                Err(VaultError::Gone) => hidden.extend(self.shared.hidden.covering(row.group.leaf(0))),
                Err(VaultError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        live.sort_by_key(|row| row.group);
        live.dedup_by_key(|row| row.group);
        hidden.sort_unstable();
        hidden.dedup();
        Ok((live, hidden))
    }

    /// Everything a selector names that is live, once each by group, and the requested ids and sessions that name nothing.
    async fn find_all(&self, tenant: TenantId, selector: &Selector) -> Result<(Vec<Found>, Vec<String>), VaultError> {
        if selector.is_empty() {
            return Err(VaultError::Invalid("the selector names nothing"));
        }
        if selector.len() > self.settings.max_order_interactions {
            return Err(VaultError::TooLarge);
        }
        let mut missing = Vec::new();
        let mut rows: HashMap<Group, InteractionRow> = HashMap::new();
        let mut by_group: HashMap<Group, &String> = HashMap::new();
        let mut external = Vec::new();
        for id in &selector.ids {
            match self.decode_id(tenant, id) {
                Some(group) => {
                    by_group.insert(group, id);
                }
                None => external.push(id),
            }
        }
        let (found, _) = self.rows_of_ids(tenant, &selector.ids).await?;
        for row in found {
            by_group.remove(&row.group);
            rows.insert(row.group, row);
        }
        missing.extend(by_group.into_values().cloned());
        for id in external {
            if id.is_empty() || self.find_by_key(tenant, &Lookup::External(id.clone())).await?.is_empty() {
                missing.push(id.clone());
            }
        }
        let sessions = selector.sessions.iter().map(|text| (text, Lookup::Session(text.clone())));
        let phones = selector.phones.iter().map(|text| (text, Lookup::Phone(text.clone())));
        let emails = selector.emails.iter().map(|text| (text, Lookup::Email(text.clone())));
        for (text, key) in sessions.chain(phones).chain(emails) {
            let found = self.find_by_key(tenant, &key).await?;
            if found.is_empty() && matches!(key, Lookup::Session(_)) {
                missing.push(text.clone());
            }
            rows.extend(found.into_iter().map(|(row, _)| (row.group, row)));
        }
        if rows.len() > self.settings.max_order_interactions {
            return Err(VaultError::TooLarge);
        }
        let mut rows: Vec<InteractionRow> = rows.into_values().collect();
        rows.sort_by_key(|row| row.group);
        let mut found = Vec::with_capacity(rows.len());
        for (count, row) in rows.into_iter().enumerate() {
            let interaction = match self.open_interaction(&row) {
                Ok(interaction) => interaction,
                Err(VaultError::Gone | VaultError::NotFound) => continue,
                Err(error) => return Err(error),
            };
            let session_id = interaction.meta.session_id;
            found.push(Found { id: interaction.id, session_id, row });
            if count % ROWS == ROWS - 1 {
                tokio::task::yield_now().await;
            }
        }
        missing.sort_unstable();
        missing.dedup();
        Ok((found, missing))
    }

    async fn plan_of(&self, found: &[Found], missing: Vec<String>) -> Result<Plan, VaultError> {
        let groups: Vec<Group> = found.iter().map(|found| found.row.group).collect();
        let mut each: HashMap<Group, u64> = HashMap::new();
        if found.len() <= 1_000 {
            for content in self.live_contents(&groups).await? {
                *each.entry(content.interaction).or_default() += 1;
            }
        }
        let contents = if found.len() <= 1_000 { each.values().sum() } else { self.count(&groups).await? };
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"oubliette/plan/1");
        hash.update(&contents.to_be_bytes());
        for found in found {
            // The version changes with every content that comes or goes.
            hash.update(&found.row.group.0.to_be_bytes());
            hash.update(&found.row.version.to_be_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        let items = found.iter().map(|found| PlanItem {
            id: found.id,
            group: found.row.group,
            session_id: found.session_id.clone(),
            contents: each.get(&found.row.group).copied().unwrap_or(0),
        });
        Ok(Plan { items: items.collect(), missing, contents, hash: digest })
    }

    /// How many of these ids are of something that was here and is erased, or being erased.
    fn count_erased(&self, tenant: TenantId, ids: &[String]) -> Result<u64, VaultError> {
        let mut erased = 0;
        for group in ids.iter().filter_map(|id| self.decode_id(tenant, id)) {
            match self.readable(group.leaf(0)) {
                Err(VaultError::Gone) => erased += 1,
                Ok(()) | Err(VaultError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(erased)
    }

    pub(super) async fn purge_of(&self, actor: &Actor, id: Uuid) -> Result<PurgeRow, VaultError> {
        self.allow(actor, &[Scope::InteractionPurge, Scope::InteractionDelete])?;
        let row = self.metadata.purge(id).await.map_err(|error| self.port(error))?;
        row.filter(|row| row.tenant == Some(actor.tenant)).ok_or(VaultError::NotFound)
    }

    pub(super) fn view(&self, row: PurgeRow) -> ErasureView {
        let sealed = self.is_sealed(&row);
        let text = row.order_leaf.and_then(|leaf| {
            let place = Place::Order(*row.id.as_bytes());
            let bytes = self.with_key(leaf, |key| record::open(key, place, &row.sealed_order)).ok()?.ok()?;
            serde_json::from_slice::<OrderText>(&bytes).ok()
        });
        let (reference, reason) = text.map_or((None, None), |text| (text.reference, text.reason));
        let unmarked = self.shared.unmarked.seal_of(row.id);
        ErasureView {
            id: row.id,
            state: if sealed { PurgeState::Sealed } else { row.state },
            interactions: row.interactions,
            contents: row.contents,
            accepted_at: row.accepted_at,
            sealed_at: row.sealed_at.or(unmarked.map(|seal| seal.0)),
            sealed_epoch: row.sealed_epoch.or(unmarked.map(|seal| seal.1)),
            certified: row.place.is_some_and(|place| self.log.entry_in_rows(place.entry).is_some()),
            removed_at: row.removed_at,
            retained_until: row.retained_until,
            reference,
            reason,
        }
    }
}
