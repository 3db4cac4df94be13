//! The committer: one thread through which everything goes that touches the directory.
//!
//! It takes what has queued up, makes *one* transaction of it (so a directory block is re-sealed once a batch, not once an
//! interaction), and only after that is durable hides, journals, hands over to the sealer and answers. Being the only
//! writer of directory blocks in this process it needs no retries; the transaction still checks each block's leaf, so that a
//! second process could not lose an entry.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use jiff::{SignedDuration, Timestamp};
use keyforest::{Group, Lane, Leaf, LeafStatus};
use oubliette_proof::Seconds;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::VaultError;
use super::blocks::{Blocks, OpenBlock, Resealed};
use super::growing::Planning;
use super::journal;
use super::noting::Noting;
use super::ops::{Accepted, Erase, Insert, Op, Rekey, Target};
use super::sealer::Readying;
use super::shared::Pending;
use super::vault::{Inner, lanes};
use crate::crypto::record::{self, Place};
use crate::directory::{Entry, tags};
use crate::model::TenantId;
use crate::ports::{Check, PurgeKind, PurgeRow, PurgeSet, PurgeState, Write, this_thread_may_wait};
use crate::proof::{Arrival, write_note};

/// Named moments of the committer.
pub const CRASH_POINTS: &[&str] = &["commit.before", "commit.after", "commit.hidden", "commit.journaled"];

/// Operations in one batch, and interactions erased in one, at most.
const BATCH_OPS: usize = 256;
const BATCH_WEIGHT: usize = 20_000;

/// Starts the thread; it ends when the vault is dropped. A thread of its own may wait for the disk, so that reading, writing
/// and flushing for a batch need no further ones: a change of thread costs a tenth of a flush.
pub fn start(inner: Weak<Inner>, queue: mpsc::Receiver<Op>, next_block: u64) -> Result<(), VaultError> {
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        this_thread_may_wait();
        runtime.block_on(run(inner, queue, next_block));
    };
    let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(work);
    thread.map(drop).map_err(VaultError::internal)
}

async fn run(inner: Weak<Inner>, mut queue: mpsc::Receiver<Op>, next_block: u64) {
    let mut open = OpenBlock::new(next_block);
    let mut held: Option<Op> = None;
    loop {
        let first = match held.take() {
            Some(op) => op,
            None => match queue.recv().await {
                Some(op) => op,
                None => return,
            },
        };
        let mut weight = first.weight();
        let mut alone = first.alone();
        let mut ops = vec![first];
        while !alone && ops.len() < BATCH_OPS && weight < BATCH_WEIGHT {
            match queue.try_recv() {
                Ok(op) if op.alone() => {
                    held = Some(op);
                    alone = true;
                }
                Ok(op) => {
                    weight += op.weight();
                    ops.push(op);
                }
                Err(_) => break,
            }
        }
        let Some(inner) = inner.upgrade() else { return };
        inner.committing.store(true, Ordering::Relaxed);
        commit(&inner, ops, &mut open).await;
        inner.committing.store(false, Ordering::Relaxed);
    }
}

struct Planned {
    erase: Erase,
    id: Uuid,
    set: PurgeSet,
    covered_by: Vec<Uuid>,
    groups: HashSet<u64>,
    entries: Vec<Entry>,
}

async fn commit(inner: &Arc<Inner>, ops: Vec<Op>, open: &mut OpenBlock) {
    let mut inserts = Vec::new();
    let mut erases = Vec::new();
    let mut rekey = None;
    for op in ops {
        match op {
            Op::Insert(insert) => inserts.push(*insert),
            Op::Erase(erase) => erases.push(*erase),
            Op::Rekey(change) => rekey = Some(*change),
        }
    }
    if inner.shared.is_poisoned() {
        refuse_all(inserts, erases.into_iter().map(|erase| erase.done).collect(), rekey, || {
            VaultError::Unavailable(None)
        });
        return;
    }
    let inserts = refuse_used_sessions(inner, inserts).await;
    let erases = look_for_named(inner, erases).await;
    // Until this ends, what was planned is hidden or came to nothing.
    let interactions = erases.iter().flat_map(|erase| &erase.targets).map(|target| Leaf(target.group.0));
    let planning = inner.growing.plan(interactions.collect());
    let mut planned = plan(inner, erases, &planning);
    let conditional = planned.iter().any(|plan| plan.erase.with.is_some());
    match write(inner, &inserts, &mut planned, rekey.as_ref(), open).await {
        Ok(Outcome::Done(readying)) => after_commit(inner, inserts, planned, rekey, readying),
        Ok(Outcome::Failed) => {
            open.forget();
            let dones = planned.into_iter().map(|plan| plan.erase.done).collect();
            if let Some(change) = rekey {
                let _ = change.done.send(Ok(false));
            }
            // Only who set a condition of its own hears that it did not hold, and not from a process that lost the vault.
            let gone = conditional && inner.shared.lease.holds();
            refuse_all(inserts, dones, None, || if gone { VaultError::Gone } else { VaultError::Unavailable(None) });
        }
        Err(error) => {
            open.forget();
            let internal = matches!(error, VaultError::Internal(_));
            tracing::warn!(error = &error as &dyn std::error::Error, "a batch was not committed");
            let dones = planned.into_iter().map(|plan| plan.erase.done).collect();
            refuse_all(inserts, dones, rekey, || {
                if internal { VaultError::Internal(None) } else { VaultError::Unavailable(None) }
            });
        }
    }
}

fn refuse_all(
    inserts: Vec<Insert>,
    erases: Vec<oneshot::Sender<Result<Accepted, VaultError>>>,
    rekey: Option<Rekey>,
    error: impl Fn() -> VaultError,
) {
    for insert in inserts {
        let _ = insert.done.send(Err(error()));
    }
    for done in erases {
        let _ = done.send(Err(error()));
    }
    if let Some(change) = rekey {
        let _ = change.done.send(Err(error()));
    }
}

/// Answers inserts whose session id a live interaction has, or one earlier in the batch.
async fn refuse_used_sessions(inner: &Arc<Inner>, inserts: Vec<Insert>) -> Vec<Insert> {
    let mut taken: HashSet<(TenantId, String)> = HashSet::new();
    let mut kept = Vec::with_capacity(inserts.len());
    for insert in inserts {
        let Some(session) = insert.unique_session.clone() else {
            kept.push(insert);
            continue;
        };
        let tenant = insert.row.tenant;
        let answer = if taken.contains(&(tenant, session.clone())) {
            Ok(true)
        } else {
            inner.session_in_use(tenant, &session).await
        };
        match answer {
            Ok(false) => {
                taken.insert((tenant, session));
                kept.push(insert);
            }
            Ok(true) => {
                let _ = insert.done.send(Err(VaultError::Conflict("the session id is in use")));
            }
            Err(error) => {
                let _ = insert.done.send(Err(error));
            }
        }
    }
    kept
}

/// Finds the rows of erasures that only name an interaction; answers those that name none.
async fn look_for_named(inner: &Inner, erases: Vec<Erase>) -> Vec<Erase> {
    let mut found = Vec::with_capacity(erases.len());
    for mut erase in erases {
        match erase.named.take() {
            None => found.push(erase),
            Some(group) => match inner.erasable(erase.tenant, group).await {
                Ok((target, contents)) => {
                    erase.targets.push(target);
                    erase.contents += contents;
                    found.push(erase);
                }
                Err(error) => drop(erase.done.send(Err(error))),
            },
        }
    }
    found
}

/// Leaves out of each erasure what is hidden or erased already, here or earlier in the batch. One of which that cannot be told of
/// something is answered and left out itself: nothing is taken for erased on a guess.
fn plan(inner: &Inner, erases: Vec<Erase>, planning: &Planning<'_>) -> Vec<Planned> {
    let mut groups_taken: HashMap<u64, Uuid> = HashMap::new();
    let mut leaves_taken: HashMap<u64, Uuid> = HashMap::new();
    let mut all = Vec::with_capacity(erases.len());
    for mut erase in erases {
        let id = Uuid::new_v4();
        let mut covered_by = Vec::new();
        let mut groups = HashSet::new();
        let named = erase.targets.len() + erase.leaves.len();
        let unknown = Cell::new(None);
        let live = |leaf: Leaf, covered_by: &mut Vec<Uuid>, taken: Option<Uuid>| {
            let cover = taken.or_else(|| inner.shared.hidden.covering(leaf));
            match cover {
                Some(other) => {
                    covered_by.push(other);
                    false
                }
                None => match inner.shared.forest.status(leaf) {
                    Ok(status) => status == LeafStatus::Live,
                    Err(error) => {
                        unknown.set(Some(error));
                        false
                    }
                },
            }
        };
        let targets = std::mem::take(&mut erase.targets);
        erase.targets = targets
            .into_iter()
            .filter(|target| {
                let taken = groups_taken.get(&target.group.0).copied();
                // A group named twice in one order counts once and does not wait for itself.
                let itself = taken.is_none() && groups.contains(&target.group.0);
                !itself && live(target.group.leaf(0), &mut covered_by, taken) && groups.insert(target.group.0)
            })
            .collect();
        let mut leaves = HashSet::new();
        erase.leaves.retain(|leaf| {
            let group = Group::of(*leaf).0;
            let taken = groups_taken.get(&group).or_else(|| leaves_taken.get(&leaf.0)).copied();
            let itself = taken.is_none() && (groups.contains(&group) || leaves.contains(&leaf.0));
            !itself && live(*leaf, &mut covered_by, taken) && leaves.insert(leaf.0)
        });
        if let Some(error) = unknown.take() {
            tracing::error!(error = &error as &dyn std::error::Error, "whether something is erased cannot be told");
            let _ = erase.done.send(Err(VaultError::Unavailable(None)));
            continue;
        }
        groups_taken.extend(groups.iter().map(|group| (*group, id)));
        leaves_taken.extend(leaves.iter().map(|leaf| (*leaf, id)));
        if erase.kind == PurgeKind::Order {
            erase.stated.keep("already-erased", (named - erase.targets.len() - erase.leaves.len()) as u64);
        }
        let number = |group: Group| Leaf(group.0);
        let groups_of = |target: &Target| {
            let extra = target.extra.iter().copied().chain(planning.listed(target.group));
            extra.map(number).collect::<Vec<_>>()
        };
        let set = PurgeSet {
            interactions: erase.targets.iter().map(|target| number(target.group)).collect(),
            groups: erase.targets.iter().flat_map(groups_of).collect(),
            leaves: erase.leaves.iter().copied().collect(),
        };
        covered_by.sort_unstable();
        covered_by.dedup();
        all.push(Planned { erase, id, set, covered_by, groups, entries: Vec::new() });
    }
    all
}

enum Outcome {
    /// Durable, with the seal that is being made ready for it.
    Done(Option<Readying>),
    Failed,
}

async fn write(
    inner: &Arc<Inner>,
    inserts: &[Insert],
    planned: &mut [Planned],
    rekey: Option<&Rekey>,
    open: &mut OpenBlock,
) -> Result<Outcome, VaultError> {
    let mut wanted: Vec<u64> = planned.iter().flat_map(|plan| plan.erase.targets.iter().map(|t| t.block)).collect();
    wanted.extend(rekey.map(|change| change.row.directory_block));
    let mut blocks = Blocks::load(inner, open, wanted).await?;
    for (position, plan) in planned.iter_mut().enumerate() {
        for target in &plan.erase.targets {
            plan.entries.extend(blocks.remove(target.block, target.group, position));
        }
    }
    if let Some(change) = rekey {
        blocks.replace(change.row.directory_block, change.entry.clone());
    }
    let mut blocks_of_inserts = Vec::with_capacity(inserts.len());
    for insert in inserts {
        blocks_of_inserts.push(blocks.place(&insert.entry).await?);
    }
    // Who notes seals at this moment notes all there are; nobody waits for that here.
    let noting = inner.shared.try_note();
    let seals = noting.as_ref().map_or_else(Vec::new, |noting| noting.writes(inner.settings.telling));
    let writes = assemble(inner, inserts, &blocks_of_inserts, planned, rekey, &mut blocks, seals).await?;
    blocks.keep_newest();
    let Some((checks, writes)) = writes else { return Ok(Outcome::Done(None)) };
    let sets: Vec<&PurgeSet> =
        planned.iter().map(|plan| &plan.set).filter(|set| **set != PurgeSet::default()).collect();
    let readying = inner.sealer.get_ready(&sets);
    inner.shared.probe.reached("commit.before");
    let applied = inner.apply("batch", checks, writes).await?;
    inner.shared.probe.reached("commit.after");
    if applied.is_err() {
        return Ok(Outcome::Failed);
    }
    noting.into_iter().for_each(Noting::done);
    Ok(Outcome::Done(readying))
}

/// Lists everything to check and to write; `None` when there is nothing.
async fn assemble(
    inner: &Arc<Inner>,
    inserts: &[Insert],
    blocks_of_inserts: &[u64],
    planned: &mut [Planned],
    rekey: Option<&Rekey>,
    blocks: &mut Blocks<'_>,
    seals: Vec<Write>,
) -> Result<Option<(Vec<Check>, Vec<Write>)>, VaultError> {
    let Resealed { mut checks, mut writes, puncture } = blocks.reseal(planned.len()).await?;
    let mut arrivals = Vec::new();
    for (insert, block) in inserts.iter().zip(blocks_of_inserts) {
        let mut row = insert.row.clone();
        row.directory_block = *block;
        arrivals.push(Arrival::of_interaction(&row));
        arrivals.extend(insert.contents.iter().map(|content| Arrival::of_content(row.tenant, content)));
        writes.push(Write::InsertInteraction(row));
        writes.extend(insert.contents.iter().cloned().map(Write::InsertContent));
    }
    let now = inner.clock.now();
    if !arrivals.is_empty() && inner.settings.telling {
        inner.arrived.fetch_add(arrivals.len() as u64, Ordering::Relaxed);
        writes.push(Write::NoteArrivals(write_note(now, &arrivals)));
    }
    if let Some(change) = rekey {
        checks.push(Check::Version(change.row.group, change.row.version));
        checks.push(Check::NotErased(change.row.group.leaf(0)));
        writes.push(Write::UpdateInteraction(change.row.clone()));
    }
    for (plan, directory) in planned.iter_mut().zip(puncture) {
        plan.set.leaves.extend(directory);
        if let Some((more_checks, more_writes)) = plan.erase.with.take() {
            checks.extend(more_checks);
            writes.extend(more_writes);
        }
        if plan.set != PurgeSet::default() {
            writes.push(Write::InsertPurge(purge_row(inner, plan, now).await?));
        }
    }
    writes.extend(seals);
    Ok((!writes.is_empty()).then_some((checks, writes)))
}

async fn purge_row(inner: &Arc<Inner>, plan: &mut Planned, now: Timestamp) -> Result<PurgeRow, VaultError> {
    let mut order_leaf = None;
    let mut sealed_order = Vec::new();
    plan.erase.stated.reference =
        plan.erase.reference.take().and_then(|reference| inner.salts.reference(plan.id, &reference));
    plan.erase.stated.backup_horizon = inner.backup_horizon(now);
    if let Some(text) = plan.erase.order.take() {
        let leaf = inner.allocate_leaf(lanes::ORDERS).await?;
        let place = Place::Order(*plan.id.as_bytes());
        sealed_order = inner.with_key(leaf, |key| record::seal(key, place, text))?.map_err(VaultError::internal)?;
        plan.set.leaves.extend([leaf]);
        order_leaf = Some(leaf);
    }
    Ok(PurgeRow {
        id: plan.id,
        tenant: Some(plan.erase.tenant),
        credential: plan.erase.credential,
        kind: plan.erase.kind,
        // Nothing can stop an erasure between acceptance and planning today, so both are this one transaction.
        state: PurgeState::Planned,
        set: plan.set.clone(),
        interactions: plan.set.interactions.len() as u64,
        contents: plan.erase.contents,
        order_leaf,
        sealed_order,
        accepted_at: now,
        sealed_at: None,
        sealed_epoch: None,
        removed_at: None,
        retained_until: None,
        stated: plan.erase.stated.encode(),
        place: None,
        removal: None,
    })
}

fn after_commit(
    inner: &Arc<Inner>,
    inserts: Vec<Insert>,
    planned: Vec<Planned>,
    rekey: Option<Rekey>,
    readying: Option<Readying>,
) {
    let region = inner.settings.default_region.as_deref();
    let tags_of = |entry: &Entry| -> Vec<u64> {
        entry.keys.iter().flat_map(|(kind, text)| tags(&inner.lookup, entry.tenant.0, *kind, text, region)).collect()
    };
    // Hide first: from here on every read answers *gone*, and streams end.
    let mut pending = Vec::new();
    let mut answers = Vec::new();
    for plan in planned {
        let mut accepted = Accepted { id: None, groups: plan.groups, covered_by: plan.covered_by, set: None };
        if plan.set == PurgeSet::default() {
            answers.push((plan.erase.done, accepted));
            continue;
        }
        let set = Arc::new(plan.set);
        (accepted.id, accepted.set) = (Some(plan.id), Some(Arc::clone(&set)));
        inner.shared.expect(plan.id);
        inner.shared.erasing.remember(plan.id, plan.entries.iter().flat_map(|entry| inner.ids_of(entry)));
        if plan.entries.len() < plan.erase.targets.len() {
            // Of a block whose key is gone.
            inner.shared.erasing.remember_more(plan.id);
        }
        inner.shared.hidden.insert(plan.id, &set);
        inner.shared.active.revoke(&set);
        inner.shared.lenders.take_back(&set);
        let removals: Vec<_> =
            plan.entries.iter().flat_map(|e| tags_of(e).into_iter().map(|tag| (tag, e.group))).collect();
        inner.lookup.remove(&removals);
        let record = plan.erase.early.then(|| journal::Record {
            id: plan.id,
            tenant: plan.erase.tenant,
            credential: plan.erase.credential,
            interactions: set.interactions.len() as u64,
            contents: plan.erase.contents,
            at: inner.clock.now(),
            set: Arc::clone(&set),
            stated: plan.erase.stated.encode(),
        });
        pending.push((Pending { id: plan.id, set }, record));
        answers.push((plan.erase.done, accepted));
    }
    inner.shared.probe.reached("commit.hidden");
    for insert in &inserts {
        inner.lookup.insert(&tags_of(&insert.entry), insert.entry.group);
        inner.shared.note_live(insert.entry.group);
    }
    if let Some(change) = &rekey {
        inner.lookup.insert(&tags_of(&change.entry), change.entry.group);
    }
    let journaled = write_journal(inner, &mut pending);
    inner.shared.probe.reached("commit.journaled");
    let handed_over = inner.sealer.purge(pending.into_iter().map(|(pending, _)| pending).collect(), readying);
    for (done, accepted) in answers {
        let _ = done.send(match (&journaled, &handed_over) {
            (Ok(()), Ok(())) => Ok(accepted),
            _ => Err(VaultError::Unavailable(None)),
        });
    }
    for insert in inserts {
        let _ = insert.done.send(Ok(()));
    }
    if let Some(change) = rekey {
        let _ = change.done.send(Ok(true));
    }
}

/// Appends the records of erasures whose answer precedes the seal; durable on return. Waits for the disk.
fn write_journal(inner: &Inner, pending: &mut [(Pending, Option<journal::Record>)]) -> Result<(), VaultError> {
    for (_, record) in pending {
        if let Some(record) = record.take() {
            inner.shared.journal(&record)?;
        }
    }
    Ok(())
}

impl Inner {
    /// Until when sealed copies of what is erased now may lie in backups, if that is told.
    fn backup_horizon(&self, now: Timestamp) -> Option<Seconds> {
        let until = now.checked_add(SignedDuration::try_from(self.settings.backup_horizon?).ok()?).ok()?;
        Seconds::new(u64::try_from(until.as_second()).ok()?)
    }

    /// Whether the committer waits for work.
    pub fn committer_rests(&self) -> bool {
        !self.committing.load(Ordering::Relaxed) && self.committer.capacity() == self.committer.max_capacity()
    }

    /// Issues a leaf of a system lane, adding buckets when the supply is used up.
    pub async fn allocate_leaf(&self, lane: Lane) -> Result<Leaf, VaultError> {
        loop {
            match self.shared.forest.allocate_leaf(lane) {
                Ok(leaf) => return Ok(leaf),
                Err(keyforest::ForestError::Unprovisioned) => self.provision().await?,
                Err(error) => return Err(VaultError::internal(error)),
            }
        }
    }
}
