//! Erasing: single contents, interactions, batches, orders.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use jiff::Timestamp;
use keyforest::{Group, Leaf, LeafSet};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::committer::{Accepted, Erase, Op, Target};
use super::journal::Record;
use super::read::ROWS;
use super::vault::{Inner, Vault};
use super::{ErasureItem, ErasureItemState, ErasureView, Lookup, Order, Plan, PlanItem, PublicId, VaultError};
use crate::crypto::record::{self, Place};
use crate::model::{Actor, Scope, Selector, TenantId};
use crate::ports::{InteractionRow, PurgeKind, PurgeRow, PurgeState};

/// Deletes remembered that were not answered.
const MAX_UNANSWERED: usize = 100_000;

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
        let row = inner.find_row(actor, id).await?;
        let guard = inner.unanswered.begin(actor.credential, row.group.leaf(0), inner.settings.retry_grace);
        let contents = inner.count(&[row.group]).await?;
        let accepted = inner.erase(actor, vec![target(&row)], Vec::new(), contents).await?;
        inner.answer_sealed(actor, row.group, accepted, guard).await
    }

    /// Erases one content; returns only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_content(&self, actor: &Actor, id: &str, leaf: Leaf) -> Result<(), VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionDelete])?;
        let row = inner.find_row(actor, id).await?;
        if inner.readable(leaf).is_err() {
            return inner.answer_gone(actor, Some(row.group), Some(leaf)).await;
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

    /// Erases many interactions in one go; unknown and already erased ids are passed over; returns how many were erased,
    /// only after *sealed*. Scope: InteractionDelete.
    pub async fn erase_interactions(&self, actor: &Actor, ids: &[String]) -> Result<usize, VaultError> {
        let inner = &self.inner;
        inner.allow_change(actor, &[Scope::InteractionDelete])?;
        if ids.len() > inner.settings.max_order_interactions {
            return Err(VaultError::TooLarge);
        }
        let (rows, hidden) = inner.rows_of_ids(actor.tenant, ids).await?;
        let mut waits = hidden;
        let mut erased = 0;
        if !rows.is_empty() {
            let groups: Vec<Group> = rows.iter().map(|row| row.group).collect();
            let contents = inner.count(&groups).await?;
            let targets = rows.iter().map(target).collect();
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
        let (found, missing) = inner.find_all(actor.tenant, &order.selector).await?;
        let plan = inner.plan_of(&found, missing).await?;
        if order.plan_hash.is_some_and(|hash| hash != plan.hash) {
            return Err(VaultError::Conflict("what the selector names has changed since the plan was made"));
        }
        if found.is_empty() {
            return Ok((None, plan));
        }
        let erased_before = inner.count_erased(actor.tenant, &plan.missing);
        let text = (order.reference.is_some() || order.reason.is_some()).then_some(OrderText {
            selector: order.selector,
            reference: order.reference.clone(),
            reason: order.reason,
        });
        let text = text.map(|text| serde_json::to_vec(&text)).transpose().map_err(VaultError::internal)?;
        let targets = found.iter().map(|found| target(&found.row)).collect();
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

fn target(row: &InteractionRow) -> Target {
    Target { group: row.group, extra: row.extra_groups.clone(), block: row.directory_block }
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
        let (row, contents) = tokio::join!(self.row(group), self.count(&groups));
        let row = row?;
        if row.tenant == tenant { Ok((target(&row), contents?)) } else { Err(VaultError::NotFound) }
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
    async fn wait(&self, purges: &[Uuid]) -> Result<(), VaultError> {
        self.wait_for(purges, self.settings.seal_timeout).await
    }

    pub(super) async fn wait_for(&self, purges: &[Uuid], limit: Duration) -> Result<(), VaultError> {
        let all = async {
            let mut poisoned = self.shared.poisoned.subscribe();
            for purge in purges {
                let Some(mut sealed) = self.shared.awaiting(*purge) else {
                    // Not on its way: sealed already, or never accepted by this process.
                    let row = self.metadata.purge(*purge).await.map_err(|error| self.port(error))?;
                    match row {
                        Some(row) if self.is_sealed(&row) => continue,
                        Some(_) => return Err(VaultError::StillDue),
                        None => return Err(VaultError::NotFound),
                    }
                };
                tokio::select! {
                    sealed = sealed.wait_for(|sealed| *sealed) => {
                        sealed.map_err(|_| VaultError::StillDue)?;
                    }
                    _ = poisoned.wait_for(|poisoned| *poisoned) => return Err(VaultError::StillDue),
                }
            }
            Ok(())
        };
        match tokio::time::timeout(limit, all).await {
            Ok(waited) => waited,
            Err(_) => Err(self.still_due(purges).await),
        }
    }

    /// What is answered of erasures whose seal was waited for too long: *still due* once the journal in the key state has them,
    /// so that an older copy of the database does not forget what was promised. Else nothing is promised.
    async fn still_due(&self, purges: &[Uuid]) -> VaultError {
        for purge in purges {
            if self.shared.awaiting(*purge).is_none() || self.shared.journaled.has(*purge) {
                continue;
            }
            let row = match self.metadata.purge(*purge).await {
                Ok(Some(row)) if row.kind == PurgeKind::Order => row,
                Ok(_) => continue,
                Err(error) => return self.port(error),
            };
            let Some(record) = Record::of(row) else { continue };
            let forest = Arc::clone(&self.shared.forest);
            let appended = tokio::task::spawn_blocking(move || forest.journal_append(&record.encode())).await;
            match appended {
                Ok(Ok(position)) => self.shared.journaled.note(position, *purge),
                Ok(Err(error)) => {
                    if matches!(error, keyforest::SealError::Unknown(_)) {
                        self.shared.poison();
                    }
                    tracing::error!(error = &error as &dyn std::error::Error, "the purge journal could not be written");
                    return VaultError::Unavailable(None);
                }
                Err(error) => return VaultError::internal(error),
            }
            if self.shared.awaiting(*purge).is_none() {
                // Sealed meanwhile, and looked for before it was noted.
                self.shared.journaled.forget_of(*purge);
            }
        }
        VaultError::StillDue
    }

    /// The test of *sealed* is the puncture itself: the row may lag behind.
    fn is_sealed(&self, row: &PurgeRow) -> bool {
        let first = row.set.interactions.iter().next().map(|group| Group(group.0).leaf(0));
        let first = first.or_else(|| row.set.leaves.iter().next());
        row.state == PurgeState::Sealed
            || (self.shared.awaiting(row.id).is_none()
                && first.is_some_and(|leaf| {
                    matches!(self.shared.forest.status(leaf), Ok(keyforest::LeafStatus::Punctured))
                }))
    }

    /// A delete of what is erased or hidden already. Waits for the erasure under way; then success for a retry of a delete
    /// by the same credential that was never answered, else *gone*.
    async fn answer_gone(&self, actor: &Actor, group: Option<Group>, leaf: Option<Leaf>) -> Result<(), VaultError> {
        let Some(leaf) = leaf.or_else(|| group.map(|group| group.leaf(0))) else { return Err(VaultError::Gone) };
        let unanswered = self.unanswered.was(actor.credential, leaf);
        // While the seal is still to come, the grace begins anew with every attempt.
        let again = unanswered.then(|| self.unanswered.begin(actor.credential, leaf, self.settings.retry_grace));
        if let Some(purge) = self.shared.hidden.covering(leaf) {
            self.wait(&[purge]).await?;
        }
        again.map_or(Err(VaultError::Gone), |again| {
            again.answered();
            Ok(())
        })
    }

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
        for id in external.into_iter().filter(|id| !id.is_empty()) {
            let found = self.find_by_key(tenant, &Lookup::External(id.clone())).await?;
            rows.extend(found.into_iter().next_back().map(|(row, _)| row));
        }
        rows.retain(|row| row.tenant == tenant && self.readable(row.group.leaf(0)).is_ok());
        rows.sort_by_key(|row| row.group);
        rows.dedup_by_key(|row| row.group);
        hidden.sort_unstable();
        hidden.dedup();
        Ok((rows, hidden))
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
    fn count_erased(&self, tenant: TenantId, ids: &[String]) -> u64 {
        let erased = |id: &&String| {
            let group = self.decode_id(tenant, id);
            group.is_some_and(|group| matches!(self.readable(group.leaf(0)), Err(VaultError::Gone)))
        };
        ids.iter().filter(erased).count() as u64
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

/// By credential and leaf: until when a retry is answered as success; no end while the delete is under way.
type UnansweredUntil = HashMap<(Uuid, u64), Option<Instant>>;

/// Deletes whose *done* was never told: the seal came too late, or the client went away. A retry by the same credential
/// within the grace after that is answered as success, so that a lost answer does not read as *never existed*.
#[derive(Default)]
pub struct Unanswered {
    entries: Arc<Mutex<UnansweredUntil>>,
}

/// A delete being answered.
pub struct Answering {
    entries: Arc<Mutex<UnansweredUntil>>,
    key: (Uuid, u64),
    grace: Duration,
    answered: bool,
}

impl Unanswered {
    fn begin(&self, credential: Uuid, leaf: Leaf, grace: Duration) -> Answering {
        Answering { entries: Arc::clone(&self.entries), key: (credential, leaf.0), grace, answered: false }
    }

    /// Whether a delete by this credential was never answered.
    fn was(&self, credential: Uuid, leaf: Leaf) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&(credential, leaf.0)).is_some_and(|until| until.is_none_or(|until| until > now()))
    }

    /// A purge that was not sealed before the last stop: its orderer was not answered.
    pub fn remember_recovered(&self, purge: &PurgeRow, grace: Duration) {
        let Some(credential) = purge.credential else { return };
        if purge.kind != PurgeKind::Order || purge.set.interactions.len() + purge.set.leaves.len() > 10_000 {
            return;
        }
        let groups = purge.set.interactions.iter().map(|group| Group(group.0).leaf(0));
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for leaf in groups.chain(purge.set.leaves.iter()) {
            entries.insert((credential, leaf.0), Some(now() + grace));
        }
    }
}

impl Answering {
    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_UNANSWERED {
            let now = now();
            entries.retain(|_, until| until.is_none_or(|until| until > now));
        }
        if entries.len() < MAX_UNANSWERED {
            entries.insert(self.key, Some(now() + self.grace));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a duration, not a date")]
fn now() -> Instant {
    Instant::now()
}
