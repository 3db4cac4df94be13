//! Writes what a batch left in its books: one statement a table and kind of change, rows as arrays, in bounded pieces.

use std::pin::Pin;

use oubliette_core::ports::{BatchRow, PurgeRow, SealRow};
use tokio_postgres::types::ToSql;

use super::books::{Books, Interaction, Purge};
use super::covers;
use super::ledger::{Change, Ledger};
use super::rows::{purge_kind_number, stored, to_nanos};
use super::statements as sql;
use crate::postgres::{Parameter, PostgresError, Session, in_order};

/// Rows in one statement, at most.
const ROWS: usize = 5_000;

/// Sealed bytes in one statement, roughly at most.
const BYTES: usize = 8 << 20;

type Column<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// One statement to run.
struct Order<'a> {
    text: &'static str,
    columns: Vec<Column<'a>>,
    /// Rows it has to change.
    rows: Option<usize>,
}

/// The statements of a batch, in order.
#[derive(Default)]
pub(super) struct Orders<'a>(Vec<Order<'a>>);

/// A number that was checked to fit.
fn int(number: u64) -> i64 {
    stored(number).unwrap_or(i64::MAX)
}

/// Adds a statement for each piece of the rows: the columns are given as functions of a row.
macro_rules! rows {
    ($orders:expr, $text:expr, $rows:expr, $bytes:expr, [$($column:expr),+ $(,)?]) => {{
        let rows = $rows;
        for piece in pieces(&rows, $bytes) {
            let columns: Vec<Column<'a>> = vec![$(Box::new(piece.iter().map($column).collect::<Vec<_>>())),+];
            $orders.0.push(Order { text: $text, columns, rows: Some(piece.len()) });
        }
    }};
}

impl<'a> Orders<'a> {
    /// What makes the database what the books say.
    pub(super) fn of(books: Books<'a>) -> Self {
        let mut orders = Self::default();
        let interactions = Interactions::of(books.interactions.changes());

        // What goes, before what comes: a number or a place may be used again.
        let mut contents = (Vec::new(), Vec::new());
        let (mut gone, mut switched) = (Vec::new(), Vec::new());
        for (leaf, change) in books.contents.changes() {
            match change {
                Change::Insert(content) => contents.0.extend(content.new.map(|row| (row, content.blob))),
                Change::Update(content) => match content.new {
                    // Removed and put again.
                    Some(row) => {
                        gone.push((row.interaction.0, leaf));
                        contents.0.push((row, content.blob));
                    }
                    None => switched.push((content.interaction, leaf, content.blob)),
                },
                Change::Delete => contents.1.push(leaf),
            }
        }
        orders.contents_gone(contents.1, gone, &books.parts);
        let (mut placed, mut freed) = (Vec::new(), Vec::new());
        for (blob, change) in books.blobs.changes() {
            match change {
                Change::Insert((interaction, leaf)) => placed.push((blob, interaction, leaf)),
                Change::Update((interaction, leaf)) => {
                    freed.push(blob.clone());
                    placed.push((blob, interaction, leaf));
                }
                Change::Delete => freed.push(blob),
            }
        }
        rows!(orders, sql::DELETE_BLOBS, freed, |blob| blob.len(), [|blob| blob.clone()]);
        orders.list(sql::DELETE_CONTENTS_OF, &interactions.deleted);
        orders.list(sql::DELETE_EXTRA_GROUPS, &interactions.regrouped);
        rows!(orders, sql::DELETE_INTERACTIONS, interactions.deleted, |_| 0, [|group| *group]);

        let row = |(group, one): &(u64, Interaction<'a>)| (*group, one.clone());
        rows!(
            orders,
            sql::INSERT_INTERACTIONS,
            interactions
                .inserted
                .iter()
                .filter_map(|pair| { pair.1.new.map(|new| (row(pair).1, new)) })
                .collect::<Vec<_>>(),
            |(_, new)| new.sealed_meta.len(),
            [
                |(_, new)| int(new.group.0),
                |(_, new)| i64::from(new.tenant.0),
                |(_, new)| i16::from(new.kind.to_u8()),
                |(now, _)| i16::from(now.state),
                |(now, _)| now.start_hour,
                |(now, _)| i16::from(now.next_leaf),
                |(now, _)| now.extra.len() as i32,
                |(_, new)| int(new.directory_block),
                |(now, _)| int(now.version),
                |(now, _)| now.sealed.unwrap_or_default(),
            ]
        );
        rows!(
            orders,
            sql::UPDATE_INTERACTIONS,
            interactions.updated,
            |(_, now)| now.sealed.map_or(0, <[u8]>::len),
            [
                |(group, _)| int(*group),
                |(_, now)| i16::from(now.state),
                |(_, now)| now.start_hour,
                |(_, now)| i16::from(now.next_leaf),
                |(_, now)| now.extra.len() as i32,
                |(_, now)| int(now.version),
                |(_, now)| now.sealed.unwrap_or_default(),
            ]
        );
        rows!(
            orders,
            sql::UPDATE_STATES,
            interactions.stated,
            |_| 0,
            [
                |(group, _)| int(*group),
                |(_, now)| i16::from(now.state),
                |(_, now)| i16::from(now.next_leaf),
                |(_, now)| int(now.version),
            ]
        );
        rows!(
            orders,
            sql::INSERT_EXTRA_GROUPS,
            interactions.groups,
            |_| 0,
            [|(group, _, _)| int(*group), |(_, interaction, _)| int(*interaction), |(_, _, position)| *position,]
        );

        rows!(
            orders,
            sql::INSERT_CONTENTS,
            contents.0,
            |(row, _)| row.sealed_meta.len(),
            [
                |(row, _)| int(row.leaf.0),
                |(row, _)| int(row.interaction.0),
                |(row, _)| i16::from(row.kind.to_u8()),
                |(row, _)| i16::from(row.size_class.0),
                |(_, blob)| blob.clone(),
                |(row, _)| row.commitment.as_slice(),
                |(row, _)| row.sealed_meta.as_slice(),
            ]
        );
        rows!(
            orders,
            sql::SWITCH_BLOBS,
            switched,
            |_| 0,
            [|(interaction, _, _)| int(*interaction), |(_, leaf, _)| int(*leaf), |(_, _, blob)| blob.clone(),]
        );
        rows!(
            orders,
            sql::INSERT_BLOBS,
            placed,
            |(blob, _, _)| blob.len(),
            [|(blob, _, _)| blob.clone(), |(_, interaction, _)| int(*interaction), |(_, _, leaf)| int(*leaf),]
        );

        let (mut blocks, mut closed) = (Vec::new(), Vec::new());
        for (number, change) in books.directory.changes() {
            match change {
                Change::Insert(block) | Change::Update(block) => {
                    blocks.extend(block.new.map(|(entries, sealed)| (number, block.leaf, entries, sealed)));
                }
                Change::Delete => closed.push(int(number)),
            }
        }
        rows!(orders, sql::DELETE_DIRECTORY, closed, |_| 0, [|block| *block]);
        rows!(
            orders,
            sql::PUT_DIRECTORY,
            blocks,
            |(_, _, _, sealed)| sealed.len(),
            [
                |(block, _, _, _)| int(*block),
                |(_, leaf, _, _)| int(*leaf),
                |(_, _, entries, _)| i16::from(*entries),
                |(_, _, _, sealed)| *sealed,
            ]
        );

        orders.purges(books.purges.changes());
        let removed: Vec<i64> = books.covers.removed.changes().into_iter().map(|(serial, _)| serial).collect();
        orders.list(sql::DELETE_COVERS, &removed);

        orders.log(books.seals_done, books.seals, books.arrivals, books.arrived, books.batches);

        let (mut credentials, mut revoked) = (Vec::new(), Vec::new());
        for (id, change) in books.credentials.changes() {
            if let Change::Insert(credential) | Change::Update(credential) = change {
                match credential.new {
                    Some(row) => credentials.push((row, credential.revoked_at)),
                    None => revoked.push((id, credential.revoked_at)),
                }
            }
        }
        rows!(
            orders,
            sql::INSERT_CREDENTIALS,
            credentials,
            |_| 0,
            [
                |(row, _)| row.id,
                |(row, _)| i64::from(row.tenant.0),
                |(row, _)| row.kind.name(),
                |(row, _)| i64::from(row.scopes.to_bits()),
                |(row, _)| row.label.as_str(),
                |(row, _)| row.secret_hash.as_slice(),
                |(row, _)| to_nanos(row.created_at),
                |(row, _)| row.expires_at.map(to_nanos),
                |(_, revoked_at)| *revoked_at,
            ]
        );
        rows!(orders, sql::REVOKE_CREDENTIALS, revoked, |_| 0, [|(id, _)| *id, |(_, at)| *at]);

        let mut tenants = Vec::new();
        for (tenant, change) in books.tenants.changes() {
            if let Change::Insert(name) = change {
                tenants.push((tenant, name));
            }
        }
        rows!(
            orders,
            sql::INSERT_TENANTS,
            tenants,
            |_| 0,
            [|(tenant, _)| i64::from(*tenant), |(_, name)| name.clone()]
        );

        let (mut values, mut dropped) = (Vec::new(), Vec::new());
        for (name, change) in books.values.changes() {
            match change {
                Change::Insert(Some(value)) => values.push((name, value)),
                _ => dropped.push(name),
            }
        }
        rows!(
            orders,
            sql::PUT_VALUES,
            values,
            |(_, value)| value.len(),
            [|(name, _)| name.clone(), |(_, value)| *value]
        );
        if !dropped.is_empty() {
            orders.0.push(Order { text: sql::DELETE_VALUES, columns: vec![Box::new(dropped)], rows: None });
        }

        for ((), change) in books.counts.changes() {
            if let Change::Update(counts) = change {
                if counts.new_epoch {
                    orders.0.push(Order {
                        text: sql::SET_EPOCH,
                        columns: vec![Box::new(int(counts.epoch))],
                        rows: Some(1),
                    });
                }
                if counts.added > 0 {
                    let columns: Vec<Column<'a>> = vec![Box::new(counts.added)];
                    orders.0.push(Order { text: sql::ADD_EXTRA_GROUP_SERIAL, columns, rows: Some(1) });
                }
            }
        }
        orders
    }

    /// Whether nothing has to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the count of the commit.
    pub(super) fn count(&mut self, slot: i32, count: i64, holder: uuid::Uuid) {
        let columns: Vec<Column<'a>> = vec![Box::new(slot), Box::new(count), Box::new(holder)];
        self.0.push(Order { text: sql::COUNT_COMMIT, columns, rows: Some(1) });
    }

    /// Runs them in one round trip and checks how many rows they changed.
    pub(super) async fn run(&self, session: &Session) -> Result<(), PostgresError> {
        let values: Vec<Vec<Parameter<'_>>> = self
            .0
            .iter()
            .map(|order| order.columns.iter().map(|column| &**column as Parameter<'_>).collect())
            .collect();
        type Changed = Result<u64, PostgresError>;
        let mut requests: Vec<Pin<Box<dyn Future<Output = Changed> + Send + '_>>> = Vec::new();
        for (order, values) in self.0.iter().zip(&values) {
            requests.push(Box::pin(session.execute(order.text, values)));
        }
        for (order, changed) in self.0.iter().zip(in_order(requests).await) {
            let changed = changed?;
            if let Some(rows) = order.rows.map(|rows| rows as u64).filter(|rows| *rows != changed) {
                return Err(PostgresError::Rows { changed, expected: rows });
            }
        }
        Ok(())
    }

    /// Contents that go by themselves, and those that are written anew under their old leaf.
    fn contents_gone(
        &mut self,
        leaves: Vec<u64>,
        mut gone: Vec<(u64, u64)>,
        parts: &std::collections::HashMap<u64, Vec<u64>>,
    ) {
        let owner: std::collections::HashMap<u64, u64> =
            parts.iter().flat_map(|(interaction, leaves)| leaves.iter().map(|leaf| (*leaf, *interaction))).collect();
        gone.extend(leaves.into_iter().filter_map(|leaf| owner.get(&leaf).map(|interaction| (*interaction, leaf))));
        rows!(self, sql::DELETE_CONTENTS, gone, |_| 0, [|(interaction, _)| int(*interaction), |(_, leaf)| int(*leaf)]);
    }

    fn purges(&mut self, changes: Vec<(uuid::Uuid, Change<Purge<'a>>)>) {
        let (mut new, mut marked) = (Vec::new(), Vec::new());
        let mut changed = Vec::new();
        for (_, change) in changes {
            if let Change::Insert(purge) | Change::Update(purge) = change {
                changed.push(purge.clone());
                match purge.new {
                    Some(row) => new.push((row, purge)),
                    None => marked.push(purge),
                }
            }
        }
        let worded: Vec<(i64, &PurgeRow)> =
            new.iter().filter(|(_, purge)| !purge.drop_order).map(|(row, purge)| (purge.serial, *row)).collect();
        let mut covers = Vec::new();
        for (row, purge) in new.iter().filter(|(_, purge)| !purge.removed) {
            covers.extend(covers::cut(&row.set).into_iter().map(|(chunk, piece)| (chunk, purge.serial, piece)));
        }
        let dropped: Vec<i64> = marked.iter().filter(|purge| purge.drop_order).map(|purge| purge.serial).collect();
        rows!(
            self,
            sql::INSERT_PURGE_IDS,
            new.iter().map(|(row, purge)| (row.id, purge.serial)).collect::<Vec<_>>(),
            |_| 0,
            [|(id, _)| *id, |(_, serial)| *serial]
        );
        rows!(
            self,
            sql::INSERT_PURGE_SETS,
            new.iter().map(|(row, purge)| (purge.serial, row.set.encode())).collect::<Vec<_>>(),
            |(_, set)| set.len(),
            [|(serial, _)| *serial, |(_, set)| set.clone()]
        );
        rows!(
            self,
            sql::INSERT_PURGES,
            new,
            |_| 0,
            [
                |(_, purge)| purge.serial,
                |(row, _)| row.id,
                |(row, _)| row.tenant.map(|tenant| i64::from(tenant.0)),
                |(row, _)| row.credential,
                |(row, _)| purge_kind_number(row.kind),
                |(_, purge)| i16::from(purge.state),
                |(row, _)| int(row.interactions),
                |(row, _)| int(row.contents),
                |(row, _)| row.order_leaf.map(|leaf| int(leaf.0)),
                |(row, _)| to_nanos(row.accepted_at),
                |(_, purge)| purge.sealed.map(|(_, at)| at),
                |(_, purge)| purge.sealed.map(|(epoch, _)| epoch),
                |(_, purge)| purge.removed_at,
                |(_, purge)| purge.retained_until,
                |(row, _)| row.stated.as_slice(),
            ]
        );
        rows!(
            self,
            sql::INSERT_COVERS,
            covers,
            |(_, _, piece)| piece.groups.len() + piece.leaves.len(),
            [
                |(chunk, _, _)| *chunk,
                |(_, serial, _)| *serial,
                |(_, _, piece)| piece.groups.clone(),
                |(_, _, piece)| piece.leaves.clone(),
            ]
        );
        rows!(
            self,
            sql::INSERT_PURGE_ORDERS,
            worded,
            |(_, row)| row.sealed_order.len(),
            [|(serial, _)| *serial, |(_, row)| row.sealed_order.as_slice(),]
        );
        rows!(
            self,
            sql::MARK_PURGES,
            marked,
            |_| 0,
            [
                |purge| purge.serial,
                |purge| i16::from(purge.state),
                |purge| purge.sealed.map(|(_, at)| at),
                |purge| purge.sealed.map(|(epoch, _)| epoch),
                |purge| purge.removed_at,
                |purge| purge.retained_until,
            ]
        );
        self.list(sql::DELETE_PURGE_ORDERS, &dropped);
        self.certificates(changed);
    }

    /// Places in the log: after the rows they are places of.
    fn certificates(&mut self, changed: Vec<Purge<'a>>) {
        let certified: Vec<_> =
            changed.iter().filter_map(|purge| purge.certificate.map(|row| (purge.serial, row))).collect();
        let places: Vec<(i64, i64)> =
            certified.iter().flat_map(|(serial, row)| row.found_at.iter().map(|place| (*place, *serial))).collect();
        let removals: Vec<_> =
            changed.iter().filter_map(|purge| purge.removal.map(|place| (purge.serial, place))).collect();
        rows!(
            self,
            sql::INSERT_MANIFESTS,
            certified.clone(),
            |(_, row)| row.manifest.len(),
            [|(serial, _)| *serial, |(_, row)| row.manifest.as_slice()]
        );
        rows!(
            self,
            sql::CERTIFY_PURGES,
            certified,
            |_| 0,
            [
                |(serial, _)| *serial,
                |(_, row)| int(row.place.entry),
                |(_, row)| int(row.place.first),
                |(_, row)| int(row.place.receipts),
                |(_, row)| int(row.place.blobs),
            ]
        );
        rows!(self, sql::INSERT_PURGE_PLACES, places, |_| 0, [|(place, _)| *place, |(_, serial)| *serial]);
        rows!(
            self,
            sql::LOG_REMOVALS,
            removals,
            |_| 0,
            [|(serial, _)| *serial, |(_, (entry, _))| *entry, |(_, (_, index))| *index]
        );
    }

    /// What waits for the log, and what it was told.
    fn log(
        &mut self,
        seals_done: Ledger<(), u64>,
        seals: Ledger<u64, &'a SealRow>,
        arrivals: Ledger<u64, &'a [u8]>,
        arrived: Ledger<u64, ()>,
        batches: Ledger<u64, (&'a BatchRow, &'a [u64])>,
    ) {
        for (_, epoch) in seals_done.inserted() {
            self.0.push(Order { text: sql::DELETE_SEALS, columns: vec![Box::new(int(epoch))], rows: None });
        }
        let seals: Vec<&SealRow> = seals.inserted().map(|(_, row)| row).collect();
        if !seals.is_empty() {
            // A second one of an epoch changes no row.
            let columns: Vec<Column<'a>> = vec![
                Box::new(seals.iter().map(|row| int(row.epoch)).collect::<Vec<_>>()),
                Box::new(seals.iter().map(|row| to_nanos(row.at)).collect::<Vec<_>>()),
                Box::new(seals.iter().map(|row| row.facts.as_slice()).collect::<Vec<_>>()),
            ];
            self.0.push(Order { text: sql::INSERT_SEALS, columns, rows: None });
        }
        let arrived: Vec<i64> = arrived.inserted().map(|(serial, ())| int(serial)).collect();
        self.list(sql::DELETE_ARRIVALS, &arrived);
        let items = arrivals.inserted().map(|(_, items)| items).collect::<Vec<_>>().concat();
        if !items.is_empty() {
            self.0.push(Order { text: sql::INSERT_ARRIVAL, columns: vec![Box::new(items)], rows: Some(1) });
        }
        let batches: Vec<_> = batches.inserted().map(|(_, batch)| batch).collect();
        let places: Vec<(i64, i64)> =
            batches.iter().flat_map(|(row, places)| places.iter().map(|place| (int(*place), int(row.entry)))).collect();
        rows!(
            self,
            sql::INSERT_BATCHES,
            batches,
            |(row, _)| row.items.len(),
            [|(row, _)| int(row.entry), |(row, _)| row.items.as_slice()]
        );
        rows!(self, sql::INSERT_BATCH_PLACES, places, |_| 0, [|(place, _)| *place, |(_, entry)| *entry]);
    }

    /// A statement over a list of numbers that changes as many rows as there are.
    fn list(&mut self, text: &'static str, numbers: &[i64]) {
        for piece in numbers.chunks(ROWS) {
            self.0.push(Order { text, columns: vec![Box::new(piece.to_vec())], rows: None });
        }
    }
}

/// Interactions by what happens to them.
#[derive(Default)]
struct Interactions<'a> {
    inserted: Vec<(u64, Interaction<'a>)>,
    updated: Vec<(u64, Interaction<'a>)>,
    stated: Vec<(u64, Interaction<'a>)>,
    deleted: Vec<i64>,
    /// Those whose extra groups are written anew or go.
    regrouped: Vec<i64>,
    /// Extra group, interaction, position.
    groups: Vec<(u64, u64, i32)>,
}

impl<'a> Interactions<'a> {
    fn of(changes: Vec<(u64, Change<Interaction<'a>>)>) -> Self {
        let mut all = Self::default();
        for (group, change) in changes {
            let (now, stored) = match change {
                Change::Delete => {
                    all.deleted.push(int(group));
                    all.regrouped.push(int(group));
                    continue;
                }
                Change::Insert(now) => (now, false),
                Change::Update(now) => (now, true),
            };
            if now.regrouped {
                all.regrouped.push(int(group));
                all.groups.extend(now.extra.iter().zip(0..).map(|(extra, position)| (*extra, group, position)));
            }
            match (stored, now.new, now.sealed) {
                // Removed and put again.
                (true, Some(_), _) => {
                    all.deleted.push(int(group));
                    all.regrouped.push(int(group));
                    all.inserted.push((group, now));
                }
                (_, Some(_), _) => all.inserted.push((group, now)),
                (_, None, Some(_)) => all.updated.push((group, now)),
                (_, None, None) => all.stated.push((group, now)),
            }
        }
        all
    }
}

/// Cuts rows where they are many or large.
fn pieces<T>(rows: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut pieces, mut begin, mut size) = (Vec::new(), 0, 0);
    for (position, row) in rows.iter().enumerate() {
        let more = bytes(row);
        if position > begin && (position - begin == ROWS || size + more > BYTES) {
            pieces.push(&rows[begin..position]);
            (begin, size) = (position, 0);
        }
        size += more;
    }
    if begin < rows.len() {
        pieces.push(&rows[begin..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_by_rows_and_by_bytes_and_lose_nothing() {
        let rows: Vec<usize> = (0..12_001).collect();
        let cut = pieces(&rows, |_| 0);
        assert_eq!(cut.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [5_000, 5_000, 2_001]);
        assert_eq!(cut.concat(), rows);
        let cut = pieces(&rows[..5], |row| if *row == 3 { 2 * BYTES } else { BYTES / 2 });
        assert_eq!(cut.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert!(pieces(&rows[..0], |_| 0).is_empty());
    }
}
