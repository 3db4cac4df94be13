//! One round of the certifier.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use keyforest::LeafSet;
use oubliette_proof::Seconds;
use oubliette_proof::entry::{BatchEntry, Body, Entry, Event, EventCount};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batches::{batch_entry, removed_between};
use super::erasures::{Earlier, Whole};
use super::ledger::{Ledger, Mark};
use super::{Certifier, Eagerness};
use crate::ports::{
    ArrivalRow, BatchRow, Certified, Metadata, PurgeRow, ReceiptPlace, RemovalPlace, RemovedPurge, SealRow, Write,
};
use crate::proof::{Arrival, SealFacts, batch_places, purge_places, read_notes, write_arrivals};
use crate::service::VaultError;
use crate::service::vault::Inner;

/// Named moments of the certifier.
pub const CRASH_POINTS: &[&str] = &["certify.planned", "certify.built", "certify.appended", "certify.noted"];

/// Named value: what the next entries comprise.
pub const LOG_PLAN: &str = "log.plan";
/// Arrivals are told of this long after the last ones, or when there are so many.
const ARRIVALS_EVERY: SignedDuration = SignedDuration::from_secs(60);
const ITEMS: usize = 16_384;
/// Rows of arrivals looked at in one round.
const ARRIVAL_ROWS: usize = 4_096;
/// Rounds that seals wait for what came in before them.
const ROUNDS_OF_ARRIVALS: u32 = 256;
/// Seals told of in one round.
const SEALS: usize = 1_000;
/// Erasures looked at in one round; more only when one seal made more.
const ERASURES: usize = 1_000;
/// Removals told of in one entry.
const REMOVALS: usize = 1_000;

/// What an earlier run wrote cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what the metadata keeps for the log cannot be read")]
struct Unreadable;

/// What the next entries comprise beside seals: written down before the append, for what comes in later would change it.
/// Stored as JSON.
#[derive(Default, Serialize, Deserialize)]
struct Plan {
    /// Rows of arrivals.
    arrivals: Vec<u64>,
    /// Erasures whose blobs are gone.
    removals: Vec<Uuid>,
}

/// Entries over arrivals, and over removals, that the rows say the log may have and they have not noted.
pub(super) async fn settled(metadata: &dyn Metadata) -> Result<[u64; 2], VaultError> {
    let bytes = metadata.value(LOG_PLAN).await.map_err(|error| VaultError::Unavailable(Some(error)))?;
    let Some(bytes) = bytes else { return Ok([0; 2]) };
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|_| VaultError::internal(Unreadable))?;
    Ok([!plan.arrivals.is_empty(), !plan.removals.is_empty()].map(u64::from))
}

/// An entry on its way into the log, and what notes it there.
pub(super) struct Made {
    pub(super) entry: Entry,
    pub(super) noted: Noted,
}

impl Made {
    /// Items that came in.
    fn arrivals(&self) -> u64 {
        match &self.entry.body {
            Body::Ingest(batch) => batch.count,
            _ => 0,
        }
    }

    /// Whether something can be proved by the entry, other than that a seal was made.
    fn shows(&self) -> bool {
        !matches!(&self.noted, Noted::Seal(erasures) if erasures.is_empty())
    }
}

pub(super) enum Noted {
    Ingest { items: Vec<u8>, places: Vec<u64>, serials: Vec<u64> },
    Seal(Vec<Whole>),
    Removal(Vec<Uuid>),
}

impl Inner {
    /// Tells the log what is due; whether there is more. What fails is tried again by the next call.
    pub async fn certify(self: &Arc<Self>, certifier: &mut Certifier, eager: Eagerness) -> Result<bool, VaultError> {
        let told = self.certify_round(certifier, eager).await;
        if told.is_err() {
            // Whether the log took it is seen by reading it.
            certifier.ledger = None;
        }
        told
    }

    async fn certify_round(self: &Arc<Self>, certifier: &mut Certifier, eager: Eagerness) -> Result<bool, VaultError> {
        let (fresh, mut ledger) = match certifier.ledger.take() {
            Some(ledger) => (false, ledger),
            None => {
                self.tell_of_restore().await?;
                (true, Ledger::read(self).await?)
            }
        };
        if certifier.without_key.is_none() {
            certifier.without_key = Some(Arc::new(self.contents_without_key().await?));
        }
        let port = |error| self.port(error);
        let mut seals = self.metadata.seals(SEALS).await.map_err(port)?;
        let left = fresh && self.metadata.value(LOG_PLAN).await.map_err(port)?.is_some();
        if left {
            // First what an earlier run settled: what came in since belongs before the seals that come next.
            seals.clear();
        }
        let (mut erasures, cut) = self.erasures_of(&mut seals).await?;
        let mut more = left || cut || seals.len() == SEALS;

        let eager = if erasures.is_empty() { eager } else { Eagerness::All };
        let (plan, arrivals, removals) = self.settle_plan(certifier, fresh, eager).await?;
        more |= certifier.arrivals_left;
        if certifier.arrivals_left && !erasures.is_empty() && certifier.rounds_of_arrivals < ROUNDS_OF_ARRIVALS {
            // What is erased may be among those.
            certifier.rounds_of_arrivals += 1;
            seals.clear();
            erasures.clear();
        } else {
            certifier.rounds_of_arrivals = 0;
        }
        if seals.is_empty() && plan.arrivals.is_empty() && plan.removals.is_empty() {
            certifier.ledger = Some(ledger);
            return Ok(false);
        }
        let now = self.clock.now();
        let mut made = Vec::new();
        // First what came in: a certificate shows only what lies before the seal.
        made.extend(self.ingest(now, &plan, arrivals).await?);
        let seals_done = seals.last().map(|seal| seal.epoch);
        let without_key = certifier.without_key.clone().unwrap_or_default();
        self.seals(&mut made, &ledger, seals, (erasures, without_key)).await?;
        made.extend(self.removal(now, removals)?);
        self.shared.probe.reached("certify.built");

        self.append(&mut ledger, &made).await?;
        let noted: Vec<Mark> = made.iter().filter_map(|made| Mark::of(&made.entry.body)).collect();
        self.shared.probe.reached("certify.appended");
        let told_of_arrivals: u64 = made.iter().map(Made::arrivals).sum();
        let shows = made.iter().any(Made::shows);
        let mut writes = notes(&ledger, made)?;
        writes.extend(seals_done.map(Write::DeleteSeals));
        writes.push(ledger.note(&noted));
        if !plan.arrivals.is_empty() || !plan.removals.is_empty() {
            writes.push(Write::PutValue(LOG_PLAN.to_owned(), None));
        }
        if shows {
            // That the log has it is pinned, at a stop at the latest.
            self.apply_unchecked("log.noted", writes).await?;
        } else {
            self.note("log.noted", writes).await?;
        }
        ledger.noted(&noted);
        self.shared.probe.reached("certify.noted");
        if told_of_arrivals > 0 {
            let left = |arrived: u64| Some(arrived.saturating_sub(told_of_arrivals));
            let _ = self.arrived.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
            certifier.arrivals_at = Some(now);
        }
        certifier.ledger = Some(ledger);
        self.sweep.notify_one();
        Ok(more || plan.removals.len() == REMOVALS)
    }

    /// Erasures that these seals sealed. When they are too many at once, seals are left for the next round (and that is told).
    async fn erasures_of(&self, seals: &mut Vec<SealRow>) -> Result<(Vec<PurgeRow>, bool), VaultError> {
        let mut limit = ERASURES;
        let Some(last) = seals.last().map(|seal| seal.epoch) else { return Ok((Vec::new(), false)) };
        loop {
            let mut rows = self.metadata.uncertified_purges(last, limit).await.map_err(|error| self.port(error))?;
            if rows.len() < limit {
                return Ok((rows, false));
            }
            // The last seal's may be more than these: without it, unless it is the only one.
            let newest = rows.last().and_then(|row| row.sealed_epoch).unwrap_or(0);
            let keep = seals.partition_point(|seal| seal.epoch < newest);
            if let Some(bound) = seals[..keep].last().map(|seal| seal.epoch) {
                rows.retain(|row| row.sealed_epoch.is_some_and(|epoch| epoch <= bound));
                if !rows.is_empty() {
                    seals.truncate(keep);
                    return Ok((rows, true));
                }
            }
            limit *= 2;
        }
    }

    /// Settles which arrivals and removals the next entries comprise, and writes it down.
    async fn settle_plan(
        &self,
        certifier: &mut Certifier,
        fresh: bool,
        eager: Eagerness,
    ) -> Result<(Plan, Vec<ArrivalRow>, Vec<RemovedPurge>), VaultError> {
        let port = |error| self.port(error);
        if fresh && let Some(bytes) = self.metadata.value(LOG_PLAN).await.map_err(port)? {
            let plan: Plan = serde_json::from_slice(&bytes).map_err(|_| VaultError::internal(Unreadable))?;
            let mut arrivals = self.metadata.arrivals(ARRIVAL_ROWS * 2).await.map_err(port)?;
            arrivals.retain(|row| plan.arrivals.contains(&row.serial));
            let removals = self.planned_removals(&plan.removals).await?;
            return Ok((plan, arrivals, removals));
        }
        let now = self.clock.now();
        let last = *certifier.arrivals_at.get_or_insert(now);
        let due = eager == Eagerness::All
            || std::mem::take(&mut certifier.arrivals_left)
            || self.arrived.load(Ordering::Relaxed) >= ITEMS as u64
            || now.duration_since(last) >= ARRIVALS_EVERY
            || now < last;
        let mut arrivals = Vec::new();
        if due {
            arrivals = self.metadata.arrivals(ARRIVAL_ROWS).await.map_err(port)?;
            certifier.arrivals_at = Some(now);
            let mut items = 0;
            // An item has three bytes at least, and mostly more than thirty.
            let fits = arrivals.iter().take_while(|row| {
                items += row.items.len() / 32 + 1;
                items <= ITEMS
            });
            let fits = fits.count().max(1);
            certifier.arrivals_left = arrivals.len() > fits || arrivals.len() == ARRIVAL_ROWS;
            arrivals.truncate(fits);
        }
        let removals = self.metadata.removals_due(REMOVALS).await.map_err(port)?;
        let plan = Plan {
            arrivals: arrivals.iter().map(|row| row.serial).collect(),
            removals: removals.iter().map(|one| one.id).collect(),
        };
        if !arrivals.is_empty() || !removals.is_empty() {
            let value = serde_json::to_vec(&plan).map_err(VaultError::internal)?;
            self.note("log.plan", vec![Write::PutValue(LOG_PLAN.to_owned(), Some(value))]).await?;
            self.shared.probe.reached("certify.planned");
        }
        Ok((plan, arrivals, removals))
    }

    /// The removals that a plan names, in its order. What is due by now may have others before them, by a clock that was set
    /// back.
    async fn planned_removals(&self, ids: &[Uuid]) -> Result<Vec<RemovedPurge>, VaultError> {
        let due = self.metadata.removals_due(ids.len() * 2).await.map_err(|error| self.port(error))?;
        let mut due: HashMap<Uuid, RemovedPurge> = due.into_iter().map(|one| (one.id, one)).collect();
        let mut removals = Vec::with_capacity(ids.len());
        for id in ids {
            let removed = match due.remove(id) {
                Some(removed) => Some(removed),
                None => self.metadata.purge_brief(*id).await.map_err(|error| self.port(error))?.and_then(as_removed),
            };
            removals.extend(removed);
        }
        Ok(removals)
    }

    /// The entry over what came in.
    async fn ingest(
        self: &Arc<Self>,
        now: Timestamp,
        plan: &Plan,
        rows: Vec<ArrivalRow>,
    ) -> Result<Option<Made>, VaultError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let notes: Vec<u8> = rows.into_iter().flat_map(|row| row.items).collect();
        let (times, items) = read_notes(&notes).ok_or_else(|| VaultError::internal(Unreadable))?;
        let inner = Arc::clone(self);
        let work = move || {
            let receipts = inner.existed(&items)?;
            Ok::<_, VaultError>((items, batch_entry(times, receipts.iter().map(|receipt| receipt.commitment()))))
        };
        let (items, entry): (Vec<Arrival>, Option<BatchEntry>) =
            tokio::task::spawn_blocking(work).await.map_err(VaultError::internal)??;
        let entry = entry.ok_or_else(|| VaultError::internal(Unreadable))?;
        let noted = Noted::Ingest {
            items: write_arrivals(&items),
            places: batch_places(&items),
            serials: plan.arrivals.clone(),
        };
        Ok(Some(Made { entry: Entry { time: seconds(now)?, body: Body::Ingest(entry) }, noted }))
    }

    /// The entries of seals: one for each that punctured or erased something, spanning those before it that did not.
    ///
    /// After a restore the log is ahead of the rows ([`super::restored`]). Seals that it tells of already are recognised by their
    /// receipts; what an older copy of the rows makes of them otherwise is stated under the next seal that the log does not
    /// know.
    async fn seals(
        self: &Arc<Self>,
        made: &mut Vec<Made>,
        ledger: &Ledger,
        seals: Vec<SealRow>,
        (erasures, without_key): (Vec<PurgeRow>, Arc<LeafSet>),
    ) -> Result<(), VaultError> {
        let mut earlier = Earlier::of_round(&erasures, without_key);
        let mut rows = VecDeque::from(erasures);
        let (mut punctured, mut last, mut carried) = (0, None, Vec::new());
        for seal in seals {
            let facts = SealFacts::decode(&seal.facts).ok_or_else(|| VaultError::internal(Unreadable))?;
            punctured += facts.punctured;
            let mut whole = std::mem::take(&mut carried);
            while rows.front().is_some_and(|row| row.sealed_epoch.is_some_and(|epoch| epoch <= seal.epoch)) {
                if rows.front().is_some_and(|row| earlier.lacks(row)) {
                    earlier.read_ahead(self, rows.make_contiguous()).await?;
                }
                let Some(row) = rows.pop_front() else { break };
                let manifest = self.manifest_of(&row, &mut earlier).await?;
                whole.push(Whole::new(row, manifest)?);
            }
            let whole = self.recognised(ledger, seal.epoch, whole, made).await?;
            if whole.is_empty() && punctured == 0 {
                continue;
            }
            let (whole, head) = self.root_of(whole).await?;
            let before = last.into_iter().chain(ledger.state_before(seal.epoch)).max_by_key(|(epoch, _)| *epoch);
            let mut entry = facts.entry(before, seal.epoch);
            entry.punctured = punctured;
            entry.interactions = whole.iter().map(|one| one.manifest.interactions()).sum();
            entry.contents = whole.iter().map(|one| one.manifest.blobs()).sum();
            let count = EventCount { event: Event::Deleted, count: head.size };
            entry.events.extend((head.size > 0).then_some(count));
            (entry.receipts, entry.receipts_root) = (head.size, head.root);
            let state = (seal.epoch, entry.states[1]);
            let entry = Entry { time: seconds(seal.at)?, body: Body::Seal(entry) };
            if ledger.is_past(seal.epoch) && ledger.number(&entry.body).is_none() {
                // Counted, or spanned, by an entry that is there.
                (carried, punctured) = (whole, 0);
                continue;
            }
            (punctured, last) = (0, Some(state));
            made.push(Made { entry, noted: Noted::Seal(whole) });
        }
        Ok(())
    }

    /// The entry over blobs that are gone.
    fn removal(&self, now: Timestamp, removed: Vec<RemovedPurge>) -> Result<Option<Made>, VaultError> {
        let commitments = removed.iter().map(|one| self.salts.removed(one.id, one.blobs).commitment());
        let Some(entry) = batch_entry(removed_between(&removed), commitments) else { return Ok(None) };
        let noted = Noted::Removal(removed.iter().map(|one| one.id).collect());
        Ok(Some(Made { entry: Entry { time: seconds(now)?, body: Body::Removal(entry) }, noted }))
    }

    /// Appends what is not in the log yet.
    async fn append(&self, ledger: &mut Ledger, made: &[Made]) -> Result<(), VaultError> {
        let missing: Vec<Entry> =
            made.iter().map(|made| &made.entry).filter(|entry| ledger.number(&entry.body).is_none()).cloned().collect();
        if !missing.is_empty() {
            let (log, entries) = (Arc::clone(&self.log), missing.clone());
            let first = tokio::task::spawn_blocking(move || log.append(&entries)).await;
            let first = first.map_err(VaultError::internal)?.map_err(VaultError::internal)?;
            for (entry, number) in missing.iter().zip(first..) {
                ledger.appended(&entry.body, self.log.number_in_rows(number));
            }
        }
        Ok(())
    }
}

/// An erasure whose removal the log is to be told of.
fn as_removed(row: PurgeRow) -> Option<RemovedPurge> {
    let (place, at) = row.place.zip(row.removed_at).filter(|_| row.removal.is_none())?;
    Some(RemovedPurge { id: row.id, blobs: place.blobs, at })
}

fn seconds(at: Timestamp) -> Result<Seconds, VaultError> {
    let seconds = u64::try_from(at.as_second()).ok().and_then(Seconds::new);
    seconds.ok_or_else(|| VaultError::internal(Unreadable))
}

/// What notes entries that are in the log.
fn notes(ledger: &Ledger, made: Vec<Made>) -> Result<Vec<Write>, VaultError> {
    let mut writes = Vec::new();
    for Made { entry, noted } in made {
        let number = ledger.number(&entry.body).ok_or(VaultError::Internal(None))?;
        match noted {
            Noted::Ingest { items, places, serials } => {
                writes.push(Write::InsertBatch(BatchRow { entry: number, items }, places));
                writes.push(Write::DeleteArrivals(serials));
            }
            Noted::Seal(erasures) => {
                let mut first = 0;
                for Whole { row, manifest, .. } in erasures {
                    let (receipts, blobs) = (manifest.receipts(), manifest.blobs());
                    let certified = Certified {
                        id: row.id,
                        place: ReceiptPlace { entry: number, first, receipts, blobs },
                        found_at: purge_places(&row.set, &manifest),
                        manifest: manifest.encode(),
                    };
                    first += receipts;
                    writes.push(Write::CertifyPurge(Box::new(certified)));
                }
            }
            Noted::Removal(ids) => {
                let places = ids.into_iter().zip(0..);
                writes.extend(places.map(|(id, index)| Write::LogRemoval(id, RemovalPlace { entry: number, index })));
            }
        }
    }
    Ok(writes)
}
