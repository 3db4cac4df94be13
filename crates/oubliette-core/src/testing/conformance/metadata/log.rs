//! What is kept for the log: seals, arrivals, ingest batches, places of erasures.

use super::*;
use crate::ports::{
    ArrivalRow, BatchRow, Certified, CoverRow, ReceiptPlace, RemovalPlace, RemovedPurge, SealRow, StoredSet,
};

fn seal(epoch: u64) -> SealRow {
    SealRow { epoch, at: at(epoch as i64), facts: vec![epoch as u8; 150] }
}

/// A sealed erasure.
fn sealed(id: u128, epoch: u64) -> PurgeRow {
    PurgeRow {
        state: PurgeState::Sealed,
        sealed_at: Some(at(400)),
        sealed_epoch: Some(epoch),
        ..erasure(id, &[id as u64], &[])
    }
}

fn certified(row: &PurgeRow, entry: u64, first: u64) -> Certified {
    let found_at = vec![-1 - i64::try_from(row.id.as_u128()).unwrap(), 7];
    let place = ReceiptPlace { entry, first, receipts: 2, blobs: 3 };
    Certified { id: row.id, place, manifest: vec![entry as u8; 300], found_at }
}

pub(super) fn certify(row: &PurgeRow, entry: u64, first: u64) -> Write {
    Write::CertifyPurge(Box::new(certified(row, entry, first)))
}

fn number(row: &PurgeRow) -> u128 {
    row.id.as_u128()
}

/// The first of an epoch stays; they come by epoch and go up to one.
pub async fn seals_are_kept_by_epoch_until_forgotten<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    write(store, [9, 3, 5].map(|epoch| Write::InsertSeal(seal(epoch))).into()).await;
    write(store, vec![Write::InsertSeal(SealRow { facts: vec![1], ..seal(5) })]).await;
    assert_eq!(store.seals(2).await.unwrap(), [seal(3), seal(5)]);
    write(store, vec![Write::DeleteSeals(5), Write::InsertSeal(seal(11))]).await;
    let fixture = fixture.reopen().await;
    let store = &*fixture.metadata();
    assert_eq!(store.seals(9).await.unwrap(), [seal(9), seal(11)]);
    write(store, vec![Write::DeleteSeals(u64::from(u32::MAX))]).await;
    assert!(store.seals(9).await.unwrap().is_empty());
}

/// What comes in with one transaction lies in one row, in order; a transaction that did not happen brings nothing.
pub async fn arrivals_of_a_commit_lie_in_one_row<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    some_rows(store).await;
    write(store, vec![Write::NoteArrivals(vec![1, 2]), Write::NoteArrivals(vec![3])]).await;
    refused(store, vec![Write::NoteArrivals(vec![4]), Write::InsertInteraction(interaction(1))]).await;
    let failed = apply(store, vec![Check::Interaction(Group(99))], vec![Write::NoteArrivals(vec![5])]).await;
    assert_eq!(failed.unwrap(), Applied::Failed(0));
    write(store, vec![Write::NoteArrivals(vec![6])]).await;
    let found = store.arrivals(9).await.unwrap();
    let items: Vec<&[u8]> = found.iter().map(|row| row.items.as_slice()).collect();
    assert_eq!(items, [&[1, 2, 3][..], &[6]]);
    assert!(found[0].serial < found[1].serial);
    assert_eq!(store.arrivals(1).await.unwrap(), found[..1]);
    write(store, vec![Write::DeleteArrivals(vec![found[0].serial, 4_000])]).await;
    assert_eq!(store.arrivals(9).await.unwrap(), found[1..]);
}

/// Neighbours share a commit and lose nothing by it.
pub async fn arrivals_of_racing_transactions_are_all_kept<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = fixture.metadata();
    let racing = (0..200_u8).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let check = if number % 4 == 0 { Check::Interaction(Group(9)) } else { Check::NotErased(Leaf(9)) };
            apply(&*store, vec![check], vec![Write::NoteArrivals(vec![number])]).await.unwrap()
        })
    });
    for done in racing.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    let rows: Vec<ArrivalRow> = store.arrivals(1_000).await.unwrap();
    let mut noted: Vec<u8> = rows.into_iter().flat_map(|row| row.items).collect();
    noted.sort_unstable();
    assert_eq!(noted, (0..200_u8).filter(|number| number % 4 != 0).collect::<Vec<_>>());
}

/// By place, each once, and in order from an entry on.
pub async fn ingest_batches_are_found_by_place_and_by_entry<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let batch = |entry: u64| BatchRow { entry, items: vec![entry as u8; 2_000] };
    for (entry, places) in [(4, vec![0, 1, 900]), (7, vec![1]), (12, vec![1, 2])] {
        write(store, vec![Write::InsertBatch(batch(entry), places)]).await;
    }
    refused(store, vec![Write::InsertBatch(batch(7), vec![3])]).await;
    assert_eq!(store.batches_at(&[0], 0, 9).await.unwrap(), [batch(4)]);
    assert_eq!(store.batches_at(&[1, 2, 0], 0, 9).await.unwrap(), [batch(4), batch(7), batch(12)]);
    assert_eq!(store.batches_at(&[1, 2, 0], 0, 2).await.unwrap(), [batch(4), batch(7)]);
    assert_eq!(store.batches_at(&[1, 2, 0], 8, 2).await.unwrap(), [batch(12)]);
    assert!(store.batches_at(&[3, u64::MAX], 0, 9).await.unwrap().is_empty());
    assert!(store.batches_at(&[1], u64::MAX, 9).await.unwrap().is_empty());
    assert_eq!(store.batches(5, 1).await.unwrap(), [batch(7)]);
    assert_eq!(store.batches(0, 9).await.unwrap().len(), 3);
}

/// What was stated stays; place and manifest come with the certificate, and only the first.
pub async fn an_erasure_is_certified_once<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let row = PurgeRow { stated: vec![8; 90], ..sealed(1, 4) };
    let open = erasure(2, &[5], &[]);
    write(store, vec![Write::InsertPurge(row.clone()), Write::InsertPurge(open.clone())]).await;
    refused(store, vec![certify(&open, 1, 0)]).await;
    refused(store, vec![certify(&sealed(3, 4), 1, 0)]).await;
    assert_eq!(store.manifest(row.id).await.unwrap(), None);
    let found = store.purge(row.id).await.unwrap().unwrap();
    assert_eq!((&found.stated, found.place, found.removal), (&row.stated, None, None));
    let first = certified(&row, 6, 2);
    write(store, vec![certify(&row, 6, 2)]).await;
    write(store, vec![certify(&row, 8, 0)]).await;
    let found = store.purge(row.id).await.unwrap().unwrap();
    assert_eq!((&found.stated, found.place), (&row.stated, Some(first.place)));
    assert_eq!(store.manifest(row.id).await.unwrap(), Some(first.manifest));
    assert_eq!(store.purges_at(&[-2, 7, 3]).await.unwrap(), [(-2, row.id), (7, row.id)]);
    assert!(store.purges_at(&[0, -1]).await.unwrap().is_empty());
    let places = vec![5; 10_001];
    assert_eq!(store.purges_at(&places).await.unwrap_err().kind, PortErrorKind::Refused);
}

/// As many bytes as were asked for, and one set at least; in the order asked.
pub async fn what_erasures_cover_comes_in_pieces_and_without_their_rows<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut rows = [1, 2, 3, 4].map(|id| sealed(id, 4));
    for row in &mut rows {
        row.set.leaves = (0..3_000).map(|number| Leaf(number * 1_000 + row.id.as_u128() as u64)).collect();
    }
    rows[2].set = PurgeSet::default();
    rows[3].tenant = None;
    rows[3].kind = PurgeKind::Upkeep;
    write(store, rows.iter().cloned().map(Write::InsertPurge).collect()).await;
    write(store, vec![certify(&rows[0], 6, 2)]).await;
    let cover = |at: usize| CoverRow {
        id: rows[at].id,
        tenant: rows[at].tenant,
        kind: rows[at].kind,
        set: StoredSet::new(rows[at].set.encode()),
    };
    let ids = [3, 9, 2, 0, 1].map(|at| rows.get(at).map_or(Uuid::from_u128(77), |row| row.id));
    let size = rows[0].set.encode().len();
    assert_eq!(store.covers(&ids, usize::MAX).await.unwrap(), [cover(3), cover(2), cover(0), cover(1)]);
    assert_eq!(store.covers(&ids, 0).await.unwrap(), [cover(3)]);
    assert_eq!(store.covers(&ids, size).await.unwrap(), [cover(3)]);
    assert_eq!(store.covers(&ids[1..], 1).await.unwrap(), [cover(2)]);
    assert_eq!(store.covers(&ids, size + 20).await.unwrap(), [cover(3), cover(2), cover(0)]);
    assert!(store.covers(&[Uuid::from_u128(77)], 9).await.unwrap().is_empty());
    assert_eq!(store.covers(&vec![rows[0].id; 1_001], 9).await.unwrap_err().kind, PortErrorKind::Refused);

    let brief = store.purge_brief(rows[0].id).await.unwrap().unwrap();
    let whole = store.purge(rows[0].id).await.unwrap().unwrap();
    assert_eq!((brief.set, brief.place, brief.sealed_order.len()), (PurgeSet::default(), whole.place, 0));
    assert_eq!((brief.id, brief.tenant, brief.kind, brief.state), (whole.id, whole.tenant, whole.kind, whole.state));
    assert_eq!(
        (brief.accepted_at, brief.sealed_epoch, brief.stated),
        (whole.accepted_at, whole.sealed_epoch, whole.stated)
    );
    assert!(store.purge_brief(Uuid::from_u128(77)).await.unwrap().is_none());
}

/// First those that are not sealed, then by epoch; not upkeep, not what is certified or was removed before there was a log.
pub async fn erasures_wait_for_the_log_from_acceptance_on<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut rows = [(1, 9), (2, 4), (3, 5), (4, 4), (5, 4)].map(|(id, epoch)| sealed(id, epoch));
    rows[2].kind = PurgeKind::Upkeep;
    rows[3].removed_at = Some(at(500));
    let open = erasure(7, &[5], &[]);
    let upkeep = PurgeRow { kind: PurgeKind::Upkeep, ..erasure(8, &[6], &[]) };
    write(store, rows.iter().cloned().chain([open.clone(), upkeep]).map(Write::InsertPurge).collect()).await;
    write(store, vec![certify(&rows[4], 6, 0)]).await;
    assert_eq!(store.waiting_purges(9).await.unwrap(), [open.id, rows[1].id, rows[0].id]);
    assert_eq!(store.waiting_purges(2).await.unwrap(), [open.id, rows[1].id]);
}

/// By epoch, time of acceptance and id, up to an epoch; not upkeep, not what was removed before there was a log.
pub async fn uncertified_erasures_come_by_epoch<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let mut rows = [(1, 9), (2, 4), (3, 4), (4, 5), (5, 4), (6, 4)].map(|(id, epoch)| sealed(id, epoch));
    rows[1].accepted_at = at(50);
    rows[2].accepted_at = at(50);
    rows[4].kind = PurgeKind::Upkeep;
    rows[5].removed_at = Some(at(500));
    let open = PurgeRow { state: PurgeState::Planned, ..erasure(7, &[5], &[]) };
    write(store, rows.iter().cloned().chain([open]).map(Write::InsertPurge).collect()).await;
    let found = async |epoch, limit| {
        let found = store.uncertified_purges(epoch, limit).await.unwrap();
        found.iter().map(number).collect::<Vec<_>>()
    };
    assert_eq!(found(u64::MAX, 9).await, [2, 3, 4, 1]);
    assert_eq!(found(5, 9).await, [2, 3, 4]);
    assert_eq!(found(9, 1).await, [2]);
    write(store, vec![certify(&rows[1], 6, 0), certify(&rows[0], 7, 4), certify(&rows[2], 7, 1)]).await;
    assert_eq!(found(9, 9).await, [4]);
    let in_entry = store.purges_in_entry(7).await.unwrap();
    assert_eq!(in_entry.iter().map(number).collect::<Vec<_>>(), [3, 1]);
    assert!(store.purges_in_entry(u64::MAX).await.unwrap().is_empty());
    let manifests = [(rows[2].id, vec![7; 300]), (rows[0].id, vec![7; 300])];
    assert_eq!(store.manifests_in_entry(7).await.unwrap(), manifests);
    assert!(store.manifests_in_entry(u64::MAX).await.unwrap().is_empty());
}

/// Due from the removal of a certified erasure until the log tells of it; the first word stays.
pub async fn removals_are_due_until_they_are_logged<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let rows = [1, 2, 3].map(|id| sealed(id, 4));
    write(store, rows.iter().cloned().map(Write::InsertPurge).collect()).await;
    let logged = |id: usize, entry, index| Write::LogRemoval(rows[id].id, RemovalPlace { entry, index });
    write(store, vec![certify(&rows[0], 6, 0), certify(&rows[1], 6, 2)]).await;
    write(store, vec![Write::RemovedPurge(rows[2].id, at(900))]).await;
    refused(store, vec![logged(0, 7, 0)]).await;
    refused(store, vec![logged(2, 7, 0)]).await;
    write(store, vec![Write::RemovedPurge(rows[0].id, at(990)), Write::RemovedPurge(rows[1].id, at(980))]).await;
    let removed = |id: usize, seconds| RemovedPurge { id: rows[id].id, blobs: 3, at: at(seconds) };
    assert_eq!(store.removals_due(9).await.unwrap(), [removed(1, 980), removed(0, 990)]);
    assert_eq!(store.removals_due(1).await.unwrap(), [removed(1, 980)]);
    write(store, vec![logged(0, 8, 0), logged(1, 8, 1)]).await;
    write(store, vec![logged(1, 9, 5)]).await;
    assert!(store.removals_due(9).await.unwrap().is_empty());
    assert_eq!(store.removals_in_entry(8).await.unwrap(), [removed(0, 990), removed(1, 980)]);
    assert!(store.removals_in_entry(9).await.unwrap().is_empty());
    let found = store.purge(rows[1].id).await.unwrap().unwrap();
    assert_eq!(found.removal, Some(RemovalPlace { entry: 8, index: 1 }));
}

/// A copy of a store is made of the same rows in one go.
pub async fn an_erasure_may_come_with_its_place_in_one_transaction<F: Fixture>() {
    let fixture = F::fresh().await;
    let store = &*fixture.metadata();
    let row = PurgeRow { removed_at: Some(at(500)), ..sealed(1, 4) };
    let place = RemovalPlace { entry: 9, index: 2 };
    write(store, vec![Write::InsertPurge(row.clone()), certify(&row, 6, 2), Write::LogRemoval(row.id, place)]).await;
    let found = store.purge(row.id).await.unwrap().unwrap();
    assert_eq!((found.place, found.removal), (Some(certified(&row, 6, 2).place), Some(place)));
    assert!(store.removals_due(9).await.unwrap().is_empty());
}
